"""Relaxing into the folder of a run, from where it stopped, if it did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from ase import Atoms

from losiko_torch.batching.shards import WAITING, RelaxedShard
from losiko_torch.io.overlap import Behind
from losiko_torch.relaxation.execute import Workers, execute
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.runs.folder import RECORD, RunFolder
from losiko_torch.runs.identity import check_same


def folder_of(
    path: Path, command: list[str], sources: list[str], database: Path | None, asked: dict[str, Any]
) -> RunFolder:
    """The folder of a run of the configuration ``asked``, made if it is not there.

    Raises:
        InputError: If it holds a run of another configuration, naming the difference, or something
            else.
    """
    if (path / RECORD).exists():
        folder = RunFolder.open(path)
        check_same(path, folder.record["configuration"], asked)
        return folder
    record = {
        "version": asked["losiko_torch"],
        "state": "running",
        "command": command,
        "structures": sources,
        "database": None if database is None else str(database.resolve()),
        "configuration": asked,
        "started": _now(),
        "ended": None,
        "seconds": 0.0,
    }
    return RunFolder.create(path, record)


def go_on(
    folder: RunFolder,
    structures: Callable[[], Iterable[Atoms]],
    relaxer: Callable[[int | None], Relaxer],
    workers: Workers,
    progress: Callable[[int], None],
) -> RunFolder:
    """Relax what is not done yet, and put the results together.

    Args:
        folder: Of the run.
        structures: Makes the stream of all its structures.
        relaxer: Makes what relaxes them, given the atoms of a batch; None: as many as fit.
        workers: Processes that relax.
        progress: Function that is called with the number of structures just finished.
    """
    if folder.finished:
        return folder
    # What was found at the start holds for all shards: where they are cut follows from the size of
    # a batch, and the last bits of sums from the number of threads.
    torch.set_num_threads(folder.record.get("threads", torch.get_num_threads()))
    made = relaxer(folder.record.get("first_batch_atoms"))
    if "first_batch_atoms" not in folder.record:
        size = made.evaluator.batch_atoms
        threads = torch.get_num_threads()
        folder = folder.updated(first_batch_atoms=size, batch_atoms=size, threads=threads)
    made = replace(made, batch_atoms=folder.record["batch_atoms"])
    progress(folder.n_done())
    last = time.perf_counter()

    def keep(shard: RelaxedShard) -> None:
        nonlocal folder, last
        folder.add(shard)
        now = time.perf_counter()
        seconds = folder.record["seconds"] + now - last
        folder = folder.updated(batch_atoms=shard.batch_atoms, seconds=seconds)
        last = now

    done = set(folder.done())
    with Behind(nullcontext(keep), WAITING) as writer:
        for shard in execute(made, structures(), workers, progress, done):
            writer.put(shard)
    return folder.finish(ended=_now())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
