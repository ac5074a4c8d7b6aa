"""Relaxing into the folder of a run, from where the run stopped."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
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
    """Open or create the folder of a run with the configuration ``asked``.

    Args:
        path: The folder.
        command: Command line that is kept in the record.
        sources: Files of structures that are kept in the record.
        database: File of the database that is kept in the record. None means the built-in one.
        asked: Configuration, see ``losiko_torch.runs.identity.configuration``.

    Raises:
        InputError: If the folder holds a run of another configuration, or something else.
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
    """Relax what is not done yet, join the results, and return the finished run.

    Args:
        folder: The run.
        structures: Returns a new stream of all its structures.
        relaxer: Returns a relaxer for batches of so many atoms. None means as many as fit.
        workers: Processes that relax.
        progress: Called with the number of structures just done.
    """
    if folder.finished:
        return folder
    # Sizes of a batch and of a shard and the number of threads must not change within a run: they
    # determine what lies together in a batch, and the last bits of sums.
    torch.set_num_threads(folder.record.get("threads", torch.get_num_threads()))
    made = relaxer(folder.record.get("first_batch_atoms"))
    if "first_batch_atoms" not in folder.record:
        size = made.evaluator.batch_atoms
        threads = torch.get_num_threads()
        sizes = {"first_batch_atoms": size, "batch_atoms": size, "shard_atoms": made.shard_atoms}
        folder = folder.updated(**sizes, threads=threads)
    record = folder.record
    made = replace(made, batch_atoms=record["batch_atoms"], shard_atoms=record["shard_atoms"])
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
    with _settled(), Behind(nullcontext(keep), WAITING) as writer:
        for shard in execute(made, structures(), workers, progress, done):
            writer.put(shard)
    return folder.finish(ended=_now())


@contextmanager
def _settled() -> Iterator[None]:
    """Leave what is there already, modules and the database, to no collection of garbage."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
