"""Work of the processor around a run over all of QM9, the device's replaced by stand-ins.

    python benchmarks/host.py [--molecules N] [--batch-atoms N] [--profile]

Writes the 127,744 molecules of $LOSIKO_DATA/qm9/qm9.npz (--molecules: as many of them, at random)
with N(0, 0.1 A) on the coordinates into an archive, and relaxes that as `losiko relax --run` does:
from the archive into a run's folder, extended xyz and Parquet, with the built-in database and its
learned targets. Judging, the steps of a batch and the errors to expect are stand-ins that return at
once: a structure leaves after 8 to 20 steps, mostly 8 or 9, without the noise.

Printed are seconds of process time on one core by part, each without those inside of it. Tensor
operations that are left (verdict, choosing who stays in a batch) are a part of their own: a GPU
does them. What the processor does while a GPU works costs nothing as long as it is less. Shards
are those of a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import functools
import gc
import importlib
import pstats
import resource
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import common
import numpy as np
import torch
from archive_run import chosen_of, run_into, write_noisy
from torch.overrides import TorchFunctionMode

from losiko_torch.io import stream
from losiko_torch.io.table import table_of
from losiko_torch.loss.judge import Judged
from losiko_torch.loss.matching import Matching
from losiko_torch.loss.objective import Objective
from losiko_torch.relaxation import outcome, stages
from losiko_torch.relaxation import relaxer as relaxer_module
from losiko_torch.relaxation.execute import execute
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.relaxation.settings import Settings

#: Molecules of a first call.
WARM_UP = 50
#: The same noise on the atoms of every molecule, so that a stand-in can take it away.
NOISE = np.random.default_rng(common.REPORTING_SEED).normal(0, 0.1, (100, 3))
#: Atoms of a batch on a GPU of 80 GB.
BATCH_ATOMS = 290_000
TENSORS, GARBAGE, REST = "tensor operations", "garbage collection", "rest"
#: Part, module, and names in it, one of which the package has.
TIMED = (
    ("read", "losiko_torch.io.stream", "blocks_of"),
    ("check ahead", "losiko_torch.relaxation.execute", "cleared"),
    ("check", "losiko_torch.relaxation.relaxer", "Relaxer._ready"),
    ("batch", "losiko_torch.relaxation.relaxer", "queues"),
    ("batch", "losiko_torch.batching.evaluator", "Evaluator.batch"),
    ("batch", "losiko_torch.batching.evaluator", "Evaluator.restricted"),
    ("leave", "losiko_torch.relaxation.stages", "flow"),
    ("stand-ins", "losiko_torch.relaxation.stages", "begin"),
    ("stand-ins", "losiko_torch.relaxation.stages", "advance"),
    ("stand-ins", "losiko_torch.relaxation.stages", "judge"),
    ("stand-ins", "losiko_torch.relaxation.outcome", "judge"),
    ("stand-ins", "losiko_torch.relaxation.outcome", "judge_with_errors"),
    ("results", "losiko_torch.relaxation.stages", "results_of"),
    ("verdict", "losiko_torch.relaxation.outcome", "doubts_of"),
    ("symmetry", "losiko_torch.relaxation.relaxer", "escaped"),
    ("write Parquet", "losiko_torch.runs.folder", "table_of"),
    ("write Parquet", "losiko_torch.runs.folder", "pq.write_table"),
    ("write extxyz", "losiko_torch.runs.folder", "RunFolder.add"),
    ("join shards", "losiko_torch.runs.folder", "RunFolder.finish"),
)
#: Parts in threads of their own, beside that which keeps the device busy.
BESIDE = ("read", "check ahead", "write Parquet", "write extxyz")


class Clock(threading.local):
    """Seconds of a thread's process time that its parts take, without the parts inside."""

    # Of all threads.
    seconds: ClassVar[dict[str, float]] = defaultdict(float)
    calls: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        self.inside = [0.0]

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.thread_time()
        self.inside.append(0.0)
        try:
            yield
        finally:
            took = time.thread_time() - began
            own = took - self.inside.pop()
            self.seconds[name] += own
            self.calls[name] += 1
            self.inside[-1] += took


clock = Clock()


class Tensors(TorchFunctionMode):
    """Counts the time inside of tensor operations apart: less is lost on it than by dispatch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        began = time.thread_time()
        try:
            return func(*args, **(kwargs or {}))
        finally:
            took = time.thread_time() - began
            clock.inside[-1] += took
            clock.seconds[TENSORS] += took
            # Looking at a shape or a device is no operation.
            clock.calls[TENSORS] += func.__name__ != "__get__"


def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function, or one that makes an iterator, so that its time counts for a part."""

    @functools.wraps(work)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with clock.part(name):
            found = work(*args, **kwargs)
        return each_timed(name, found) if isinstance(found, Iterator) else found

    return wrapper


def each_timed(name: str, items: Iterator[Any]) -> Iterator[Any]:
    while True:
        with clock.part(name):
            item = next(items, None)
        if item is None:
            return
        yield item


def collecting() -> Callable[[str, dict], None]:
    """Return a callback of the garbage collector that counts its time apart."""
    inside: list[Any] = []

    def told(phase: str, info: dict) -> None:
        if phase == "start":
            inside.append(clock.part(GARBAGE))
            inside[-1].__enter__()
        elif inside:
            inside.pop().__exit__(None, None, None)

    return told


def watch() -> list[str]:
    """Wrap the functions of ``TIMED``; return those that the package lacks."""
    lacking = []
    gc.callbacks.append(collecting())
    for part, module, dotted in TIMED:
        owner: Any = importlib.import_module(module)
        *path, name = dotted.split(".")
        owner = functools.reduce(lambda here, each: getattr(here, each, None), path, owner)
        if not hasattr(owner, name):
            lacking.append(f"{module}.{dotted}")
            continue
        setattr(owner, name, timed(part, getattr(owner, name)))
    return lacking


# Stand-ins


@dataclass
class Standing:
    """Structures in the batch: numbers among all, atoms, and steps until each leaves."""

    system: torch.Tensor
    sizes: torch.Tensor
    left: torch.Tensor
    everyone: Any
    noise: torch.Tensor

    @property
    def n_atoms(self) -> int:
        return int(self.sizes.sum())

    def joined(self, other: Standing) -> Standing:
        names = ("system", "sizes", "left")
        return replace(
            self, **{each: torch.cat([vars(self)[each], vars(other)[each]]) for each in names}
        )


def begin(objective: Any, everyone: Any, systems: Any, *_: Any) -> Standing:
    numbers = systems.nonzero().squeeze(1)
    # Few take longer, as in a run.
    left = 8 + (torch.log(1 / (1 - _repeatable(numbers))) * 1.2).long().clamp(max=12)
    start = everyone.start
    counts = start.counts
    first = torch.cumsum(counts, 0) - counts
    place = torch.arange(start.n_atoms) - first[start.system_idx]
    noise = torch.as_tensor(NOISE)[place].to(start.positions)
    return Standing(numbers, counts[numbers], left, everyone, noise)


def _repeatable(numbers: torch.Tensor) -> torch.Tensor:
    return (numbers * 0.6180339887498949) % 1


def advance(
    objective: Any,
    optimizer: Any,
    now: Standing,
    limits: Any,
    finished: Any,
    watch: Any = None,
) -> tuple[Standing | None, int]:
    left = now.left - 1
    stays = left > 0
    gone = now.system[~stays]
    if not len(gone):
        return replace(now, left=left), 0
    finished.converged[gone] = True
    finished.n_steps[gone] = 9
    start = now.everyone.start
    atoms = start.mask(gone.tolist())[start.system_idx]
    for end in (finished.last, finished.best):
        end.positions[atoms] = start.positions[atoms] - now.noise[atoms]
    kept = replace(now, system=now.system[stays], sizes=now.sizes[stays], left=left[stays])
    return (kept if len(kept.system) else None), len(gone)


def judge(objective: Objective, batch: Any, since: Any = None) -> Judged:
    if since is not None:
        return replace(since, batch=batch)
    distances = batch.positions[:, 0].square() * 1e-4
    none = distances.new_zeros((len(distances), 0))
    terms = distances.new_zeros((0, batch.n_systems))
    return Judged(batch, distances, terms, Matching(none.long(), ()), none, none)


def judge_with_errors(
    objective: Objective, batch: Any, since: Any = None
) -> tuple[Judged, torch.Tensor]:
    errors = 0.02 + batch.positions[:, 1].square() * 1e-4
    return judge(objective, batch, since), errors


def standing_in(batch_atoms: int) -> Relaxer:
    """Put the stand-ins in; return a relaxer with the shards of a GPU."""
    # Kernels are the device's work: on a processor they would be loaded, or compiled, for nothing.
    relaxer_module.expect_atoms = lambda device, count: None
    stages.begin, stages.advance = begin, advance
    stages.judge = outcome.judge = judge
    outcome.judge_with_errors = judge_with_errors
    relaxer = Relaxer.make(None, None, Settings(batch_atoms=batch_atoms))
    return replace(relaxer, shard_atoms=relaxer_module.SHARD_ATOMS)


# The run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--molecules", type=int, help="all")
    parser.add_argument("--batch-atoms", type=int, default=BATCH_ATOMS)
    parser.add_argument("--profile", action="store_true", help="functions by their time")
    parser.add_argument("--keep", type=Path, help="folder of the run, to compare its files")
    asked = parser.parse_args()
    common.one_core()
    relaxer = standing_in(asked.batch_atoms)
    with tempfile.TemporaryDirectory() as name:
        archive = Path(name) / "noisy.npz"
        qm9 = common.QM9()
        write_noisy(archive, qm9, chosen_of(qm9, asked.molecules), NOISE.__getitem__)
        source = str(archive)
        path = asked.keep or Path(name) / "run"
        # Modules are loaded, and what elements need is made, before the clock starts.
        with Tensors():
            for each in execute(relaxer, islice(stream.streamed([source]), WARM_UP)):
                table_of(each.results)
        profile = cProfile.Profile() if asked.profile else None
        lacking = [] if asked.profile else watch()
        began, wall = time.process_time(), time.perf_counter()
        if profile is not None:
            profile.enable()
        with Tensors():
            ended = run_into(path, source, lambda _: relaxer)
        if profile is not None:
            profile.disable()
        total, wall = time.process_time() - began, time.perf_counter() - wall
        size = ended.structures_file.stat().st_size + ended.table_file.stat().st_size
        sizes = ended.table()["n_atoms"].to_numpy()
        if profile is not None:
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
            return
    counts = {"molecules": len(sizes), "atoms": int(sizes.sum())}
    report(SimpleNamespace(**counts, total=total, wall=wall, size=size))
    if lacking:
        print(f"not in this version: {', '.join(lacking)}")


def report(run: SimpleNamespace) -> None:
    parts = dict.fromkeys([part for part, *_ in TIMED], 0.0) | dict(clock.seconds)
    outside = ("stand-ins", TENSORS)
    parts[REST] = run.total - sum(parts.values())
    print(f"{run.molecules:,} molecules, {run.atoms:,} atoms; written {run.size / 1e6:,.0f} MB")
    print("| part | s | us a molecule |\n|---|---|---|")
    for part, took in parts.items():
        print(f"| {part} | {took:.2f} | {1e6 * took / run.molecules:.1f} |")
    host = run.total - sum(parts[each] for each in outside)
    print(f"| all but stand-ins and tensor operations | {host:.2f} | ", end="")
    print(f"{1e6 * host / run.molecules:.1f} |")
    beside = sum(parts[each] for each in BESIDE)
    print(f"| of it in threads that read and write | {beside:.2f} | ", end="")
    print(f"{1e6 * beside / run.molecules:.1f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(f"\nwall {run.wall:.1f} s, process {run.total:.1f} s; tensor operations ", end="")
    print(f"{clock.calls[TENSORS]:,}; peak memory {peak:,.0f} MB")


if __name__ == "__main__":
    main()
