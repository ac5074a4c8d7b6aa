"""Execution of a relaxation: shard by shard in this process, or by several workers."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import Any

from losiko_torch.batching.shards import RelaxedShard, Shard
from losiko_torch.checks import whole
from losiko_torch.io.overlap import ahead
from losiko_torch.io.stream import Stream
from losiko_torch.relaxation.ray_workers import relaxed_by_workers
from losiko_torch.relaxation.relaxer import Progress, Relaxer
from losiko_torch.relaxation.stages import no_progress
from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.sound import cleared


@dataclass(frozen=True)
class Workers:
    """Processes that relax; results are the same with any.

    Attributes:
        count: Number of processes, through Ray. None means this process alone.
        ray_address: Address of a Ray cluster to use, "auto" for the one that this machine is part
            of. None starts Ray here for as long as it takes.

    Raises:
        InputError: For a number that is none.
    """

    count: int | None = None
    ray_address: str | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            whole("workers", self.count)


def execute(
    relaxer: Relaxer,
    structures: Any,
    workers: Workers = Workers(),
    progress: Progress | None = None,
    done: Container[int] = (),
) -> Iterator[RelaxedShard]:
    """Yield shards as they are relaxed, all but those whose numbers are ``done``.

    Args:
        relaxer: Relaxer.
        structures: Structures, as for ``relax``.
        workers: Processes that relax; with several, shards come in no fixed order.
        progress: Function that is called with the number of structures that have just finished.
        done: Numbers of shards to leave out.
    """
    every = relaxer.shards(structures)
    waiting: Iterator[Shard] = (shard for shard in every if shard.number not in done)
    if workers.count is not None or workers.ray_address is not None:
        return relaxed_by_workers(
            relaxer, waiting, workers.count or 1, workers.ray_address, progress
        )
    if isinstance(structures, Stream):
        waiting = ahead(map(_looked_at, waiting), 1)
    return _relaxed_here(relaxer, waiting, progress or no_progress)


def _looked_at(shard: Shard) -> Shard:
    """Return a shard that knows its sound molecules."""
    if not isinstance(shard.structures, Molecules):
        return shard
    return shard._replace(sound=cleared(shard.structures))


def _relaxed_here(
    relaxer: Relaxer, waiting: Iterator[Shard], progress: Progress
) -> Iterator[RelaxedShard]:
    for shard in waiting:
        relaxed = relaxer.relax(shard, progress)
        relaxer = replace(relaxer, batch_atoms=relaxed.batch_atoms)
        yield relaxed
