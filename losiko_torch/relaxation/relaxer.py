"""What relaxes shards of structures: here, or, given the same arguments, in another process."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from losiko_torch.batching.evaluator import Workplace
from losiko_torch.batching.shards import RelaxedShard, Shard, shards
from losiko_torch.checks import whole
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.loss.settings import Similarity
from losiko_torch.relaxation.groups import relax_group
from losiko_torch.relaxation.queues import WINDOW
from losiko_torch.relaxation.settings import Method
from losiko_torch.systems.selection import Selection, selections

#: Told of structures that have just finished.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Relaxer:
    """The arguments of ``relax``, checked, with what they make.

    Attributes:
        options: Those that another process makes the same of, given the same database.
        work: Where structures are judged, and how many atoms at once.
        method: How they are relaxed.
        select: From the number of a structure to which of its atoms may move.
        batch_atoms: Atoms at once, fewer than ``work`` says if memory ran out. Shards are cut by
            what that says.
    """

    options: Mapping[str, Any]
    work: Workplace
    method: Method
    select: Callable[[int], Selection]
    batch_atoms: int

    @classmethod
    def make(
        cls,
        structures: Any,
        database: EnvironmentDatabase | None,
        *,
        targets: str,
        n_neighbors: int | None,
        reg: float | None,
        degree: float,
        weights: Mapping[str, float] | None,
        movable: Any,
        device: torch.device | str | None,
        dtype: torch.dtype | str | None,
        batch_atoms: int | None,
        **how: Any,
    ) -> Relaxer:
        """From the arguments of ``relax``.

        ``structures`` are only counted, where they can be. ``InputError`` for arguments that make
        no sense.
        """
        similarity, method = checked(targets, n_neighbors, reg, degree, weights, **how)
        work = Workplace.make(database, similarity, device, dtype, batch_atoms)
        options = {
            "targets": targets,
            "n_neighbors": n_neighbors,
            "reg": reg,
            "degree": degree,
            "weights": weights,
            "movable": movable,
            "device": device,
            "dtype": dtype,
            "batch_atoms": work.batch_atoms,
            **how,
        }
        select = selections(movable, structures)
        return cls(options, work, method, select, work.batch_atoms)

    def shards(self, structures: Any) -> Iterator[Shard]:
        """Structures in shards of some batches, in input order."""
        return shards(structures, WINDOW * self.work.batch_atoms, self.method.n_starts)

    def relax(self, shard: Shard, progress: Progress) -> RelaxedShard:
        """One shard; ``progress`` counts copies, where there are several of a structure."""
        group = [
            self.work.prepare(given, self.select(number))
            for number, given in enumerate(shard.structures, shard.first)
        ]
        relaxed = relax_group(group, self.work, self.method, self.batch_atoms, progress)
        results = [replace(each, number=k) for k, each in enumerate(relaxed.results, shard.first)]
        return RelaxedShard(shard.number, shard.first, results, relaxed.batch_atoms)

    def run(
        self,
        structures: Any,
        workers: int | None = None,
        ray_address: str | None = None,
        progress: Progress | None = None,
        done: Container[int] = (),
    ) -> Iterator[RelaxedShard]:
        """All shards but those whose numbers are ``done``, as they are relaxed."""
        waiting = (shard for shard in self.shards(structures) if shard.number not in done)
        if workers is not None or ray_address is not None:
            from losiko_torch.relaxation.ray_workers import relaxed_by_workers

            count = 1 if workers is None else whole("workers", workers)
            return relaxed_by_workers(self, waiting, count, ray_address, progress)
        return self._relaxed_here(waiting, _in_inputs(progress, self.method.n_starts))

    def _relaxed_here(self, waiting: Iterator[Shard], progress: Progress) -> Iterator[RelaxedShard]:
        relaxer = self
        for shard in waiting:
            relaxed = relaxer.relax(shard, progress)
            relaxer = replace(relaxer, batch_atoms=relaxed.batch_atoms)
            yield relaxed


def checked(
    targets: str,
    n_neighbors: int | None,
    reg: float | None,
    degree: float,
    weights: Mapping[str, float] | None,
    **how: Any,
) -> tuple[Similarity, Method]:
    """Arguments of ``relax`` that no database is needed for; ``InputError`` if they are wrong."""
    similarity = Similarity.make(targets, n_neighbors, reg, degree, weights)
    return similarity, Method.make(targets=targets, n_neighbors=n_neighbors, reg=reg, **how)


def _in_inputs(progress: Progress | None, n_starts: int) -> Progress:
    """Counts finished copies, and tells of as many inputs as they make."""
    done = 0

    def finished(count: int) -> None:
        nonlocal done
        inputs = (done + count) // n_starts - done // n_starts
        done += count
        if progress is not None and inputs:
            progress(inputs)

    return finished
