"""Shards relaxed by several processes, on one machine or many, through Ray.

Each worker is an actor of Ray with a GPU of its own or a share of the processor. The database is
put into Ray's store once, from which the workers of a node read the same memory. Ray restarts a
lost worker and repeats its shard; a shard that is lost time and again is given up, and its
structures fail.
"""

from __future__ import annotations

import math
import os
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import torch

from losiko_torch.batching.shards import RelaxedShard, Shard
from losiko_torch.database.element import Environments
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.errors import InputError, LosikoError, first_line
from losiko_torch.relaxation.outcome import failure
from losiko_torch.relaxation.relaxer import Progress, Relaxer
from losiko_torch.relaxation.settings import Settings
from losiko_torch.relaxation.watch import Watching
from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.pymatgen import outline
from losiko_torch.systems.rdkit import portable

#: Shards of a worker at a time: one that it works on, one that waits.
EACH = 2
#: Shards by which one may be ahead of the first that is not done: results wait for their turn.
AHEAD = 16
#: Repetitions of a shard whose worker was lost.
AGAIN = 3


def relaxed_by_workers(
    relaxer: Relaxer,
    shards: Iterator[Shard],
    workers: int,
    address: str | None,
    progress: Progress | None,
) -> Iterator[RelaxedShard]:
    """Yield shards as they are done.

    Args:
        relaxer: Relaxer that each worker makes again from the same settings and database.
        shards: Shards to be relaxed, read no faster than they are.
        workers: Number of processes.
        address: Address of a cluster of Ray. None means this machine, as long as it takes.
        progress: Function that is called with the number of structures that are done.

    Raises:
        InputError: If Ray is not installed, or there is no such cluster, or not what workers need.
    """
    with _ray(address) as ray:
        share = _share(ray.cluster_resources(), relaxer.evaluator.device.type, workers)
        threads = max(1, min(torch.get_num_threads(), int(share["num_cpus"])))
        database = ray.put(_packed(relaxer.evaluator.objective.database))
        settings = _put(ray, _for_a_worker(relaxer))
        actor = ray.remote(max_restarts=-1, max_task_retries=AGAIN, **share)(_Worker)
        told = database, settings, threads, relaxer.watching
        free = deque([actor.remote(*told) for _ in range(workers)] * EACH)
        given: dict[Any, tuple[Any, Shard]] = {}
        last = -1
        while True:
            while free and (not given or last - _first(given) < AHEAD):
                shard = next(shards, None)
                if shard is None:
                    break
                worker, last = free.popleft(), shard.number
                given[worker.relax.remote(_portable(shard))] = worker, shard
            if not given:
                return
            (done,), _ = ray.wait(list(given))
            worker, shard = given.pop(done)
            free.append(worker)
            try:
                relaxed, messages = ray.get(done)
            except ray.exceptions.RayActorError as error:
                if error.actor_init_failed:
                    raise InputError(f"workers cannot start: {_last_line(error)}") from error
                relaxed, messages = _given_up(shard, relaxer), []
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, LosikoError):
                    raise error.cause from None
                raise
            for message in messages:
                warnings.warn(message, stacklevel=2)
            if progress is not None:
                progress(len(shard.structures))
            yield relaxed


def _portable(shard: Shard) -> Shard:
    if isinstance(shard.structures, Molecules):
        return shard
    return shard._replace(structures=[portable(each) for each in shard.structures])


class _Worker:
    """Worker that relaxes one shard after the other."""

    def __init__(
        self, database: Mapping[str, Any], settings: Settings, threads: int, watching: Watching
    ):
        torch.set_num_threads(threads)
        made = Relaxer.make(None, _unpacked(database), settings)
        self.relaxer = replace(made, watching=watching)

    def relax(self, shard: Shard) -> tuple[RelaxedShard, list[str]]:
        """Return the relaxed shard, and the texts of warnings."""
        with warnings.catch_warnings(record=True) as caught:
            relaxed = self.relaxer.relax(shard, lambda count: None)
        self.relaxer = replace(self.relaxer, batch_atoms=relaxed.batch_atoms)
        return relaxed, [str(each.message) for each in caught]


def _put(ray: Any, settings: Settings) -> Any:
    """Put settings into Ray's store; ``InputError`` for what cannot be sent to a worker."""
    try:
        return ray.put(settings)
    except TypeError as error:
        raise InputError(
            f"the options of the relaxation cannot be sent to workers "
            f"({first_line(error)}): relax without workers"
        ) from error


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


def _first(given: Mapping[Any, tuple[Any, Shard]]) -> int:
    return min(shard.number for _, shard in given.values())


def _given_up(shard: Shard, relaxer: Relaxer) -> RelaxedShard:
    problem = f"the worker it was with was lost {AGAIN + 1} times (killed, out of memory, crashed)"
    results = [
        failure(outline(given), problem, number=number)
        for number, given in enumerate(shard.structures, shard.first)
    ]
    return RelaxedShard(shard.number, shard.first, results, relaxer.batch_atoms)


@contextmanager
def _ray(address: str | None) -> Iterator[Any]:
    """Connect to a cluster of Ray: one that is there, or one of this machine's own."""
    # By default Ray reports its use to its makers, and shows users messages meant for these.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
    except ImportError:
        raise InputError("workers need Ray: pip install 'losiko-torch[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        if address is None:
            ray.init(address="local", include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"no cluster of Ray at '{address}' ({first_line(error)})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _share(there: Mapping[str, float], device: str, workers: int) -> dict[str, float]:
    """Return the resources of each worker of the cluster."""
    cpus, gpus = there.get("CPU", 0), there.get("GPU", 0)
    if device != "cpu" and gpus < workers:
        raise InputError(f"{workers} workers need a GPU each, and there are {gpus:.0f}")
    # Ray takes whole processors, or parts of one.
    share = cpus / workers if workers > cpus else math.floor(cpus / workers)
    return {"num_cpus": share, "num_gpus": 0 if device == "cpu" else 1}


def _for_a_worker(relaxer: Relaxer) -> Settings:
    """Return the settings of a worker; the one GPU that it sees is the first there."""
    device = relaxer.evaluator.device.type
    return replace(relaxer.settings, batch_atoms=relaxer.batch_atoms, device=device)


def _packed(database: DatabaseRecord) -> dict[str, Any]:
    """Return a database with its tensors as arrays, which the processes of a node share."""
    database = database.to("cpu")
    environments = {
        number: {name: tensor.numpy() for name, tensor in part.tensors().items()}
        for number, part in database.environments.items()
    }
    # Geometries are what targets are fitted to: no relaxation looks at them.
    names = [each.name for each in fields(database) if each.name != "geometries"]
    given = {name: getattr(database, name) for name in names}
    return given | {"environments": environments}


def _unpacked(packed: Mapping[str, Any]) -> EnvironmentDatabase:
    """Return the database that ``_packed`` made arrays of."""
    with warnings.catch_warnings():
        # Shared arrays cannot be written to, and nobody does.
        warnings.filterwarnings("ignore", message=".*not writable.*")
        environments = {
            number: Environments.of_tensors(
                {name: torch.from_numpy(array) for name, array in part.items()}
            )
            for number, part in packed["environments"].items()
        }
    return EnvironmentDatabase(**{**packed, "environments": environments})
