"""Where the time of a relaxation on one GPU goes, part by part, in one call of under eight minutes.

    python benchmarks/device_check.py [--atoms N] [--molecules N] [--dry]

Ceilings of the card first, then every part of an evaluation alone, with learned and locally-linear
targets, and what could take its place; launches, waits and busy time of whole steps; compilation of
kernels for another set of elements; whole relaxations in large and small batches, the same one
twice, and 1,000 molecules against the processor. Times are medians of five. Printed are tables for
benchmarks/README.md. ``--dry`` runs everything with a few atoms on the processor, to see that it
runs: its times say nothing. $LOSIKO_DATA is the folder with QM9; ``--dry`` takes ASE's molecules.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial

import common
import numpy as np
import torch
from ase import Atoms
from ase.collections import g2
from device_parts import Clock, ceilings, learned_parts, linear_parts, optimizer_parts

from losiko_torch import Batch, EnvironmentDatabase, relax
from losiko_torch.database.builtin import default_database
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.settings import make_target
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.relaxation.batch_loop import advance, begin
from losiko_torch.relaxation.batch_state import Limits
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.finished import Finished
from losiko_torch.relaxation.stages import ROUNDS

#: Molecules with which the processor is compared, and atoms of a small batch.
COMPARED, SMALL_BATCH = 1000, 20_000
#: Elements of the molecules whose parts are timed.
ELEMENTS = {1, 6, 7, 8}


def steps(clock: Clock, objective: Objective, batch: Batch, count: int) -> None:
    """Print wall time, launches, busy time and waits of steps of the first structures."""
    here = Coordinates.fixed_cell(batch, torch.ones_like(batch.positions))
    some = torch.zeros(batch.n_systems, dtype=torch.bool, device=clock.device)
    some[:count] = True
    optimizer, ended = LBFGS(), Finished.at_start(batch)
    now = begin(objective, here, some, optimizer)
    # Nobody converges: all steps are alike.
    limits = Limits(200, 0.0, ROUNDS)
    clock.title(f"Steps of {now.n_atoms:,} atoms", "step", "ms", "waits", "launches", "busy, ms")
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if clock.device == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    for step in range(2 * ROUNDS):
        clock.wait()
        began = time.perf_counter()
        launched, busy, profiled = "", "", step >= 2 * ROUNDS - 2
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if clock.device == "cuda":
                torch.cuda.set_sync_debug_mode("warn")
            if profiled:
                with torch.profiler.profile(activities=kinds) as profile:
                    now, _ = advance(objective, optimizer, now, limits, ended)
                    clock.wait()
                events = profile.key_averages()
                launched = str(sum(each.count for each in events if "LaunchKernel" in each.key))
                own = (getattr(each, "self_device_time_total", 0) for each in events)
                busy = f"{sum(own) / 1e3:.2f}"
            else:
                now, _ = advance(objective, optimizer, now, limits, ended)
            if clock.device == "cuda":
                torch.cuda.set_sync_debug_mode("default")
        clock.wait()
        assert now is not None
        waits = sum("synchron" in str(each.message) for each in caught)
        took = 1e3 * (time.perf_counter() - began)
        print(f"| {step} | {took:.2f} | {waits} | {launched} | {busy} |", flush=True)


def compilation(clock: Clock, database: EnvironmentDatabase, molecules: list[Atoms]) -> None:
    """Print how long a first relaxation of other sets of elements takes, and the next.

    On a GPU also the time of all kernels of a first relaxation, one after the other and at once.
    """
    clock.title("Compilation of kernels", "elements", "first, s", "again, s")
    before = os.environ.get("TRITON_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRITON_CACHE_DIR"] = folder
        for wanted in ({1, 6, 8}, {1, 6}):
            some = [each for each in molecules if set(each.numbers.tolist()) == wanted][:20]
            work = partial(relax, some, database, max_steps=2, device=clock.device)
            took = [common.seconds(work), common.seconds(work)]
            print(f"| {sorted(wanted)} | {took[0]:.1f} | {took[1]:.2f} |", flush=True)
    if before is None:
        del os.environ["TRITON_CACHE_DIR"]
    else:
        os.environ["TRITON_CACHE_DIR"] = before
    if clock.device == "cuda":
        script = os.path.join(os.path.dirname(__file__), "compile_ahead.py")
        subprocess.run([sys.executable, script], check=True)


def whole(clock: Clock, database: EnvironmentDatabase, molecules: list[Atoms]) -> None:
    """Print whole relaxations: large batches, small ones, twice the same, and the processor."""
    columns = ("molecules", "what", "s", "molecules a second", "peak, kB an atom")
    clock.title("Whole relaxations", *columns)
    n_atoms = sum(map(len, molecules))

    def timed(what: str, some: list[Atoms], **options) -> list:
        if clock.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        results = relax(some, database, **{"device": clock.device, **options})
        took = time.perf_counter() - began
        peak = ""
        if clock.device == "cuda" and "batch_atoms" in options:
            size = min(options["batch_atoms"], n_atoms)
            peak = f"{torch.cuda.max_memory_allocated() / size / 1e3:.0f}"
        print(
            f"| {len(some):,} | {what} | {took:.1f} | {len(some) / took:.0f} | {peak} |", flush=True
        )
        return results

    timed("warm-up", molecules[:100])
    large = timed("batches of 300,000 atoms", molecules, batch_atoms=300_000)
    timed(f"batches of {SMALL_BATCH:,}", molecules, batch_atoms=SMALL_BATCH)
    again = timed("the same once more", molecules, batch_atoms=300_000)
    same = sum(
        np.array_equal(one.atoms.positions, other.atoms.positions)
        for one, other in zip(large, again, strict=True)
    )
    here = timed("the processor", molecules[:COMPARED], device="cpu")
    apart = [
        float(np.sqrt(np.square(one.atoms.positions - other.atoms.positions).sum(1).mean()))
        for one, other in zip(large, here, strict=False)
    ]
    reasons = sum(one.reason == other.reason for one, other in zip(large, here, strict=False))
    print(
        f"\nBit by bit the same twice: {same:,} of {len(large):,}. Against the processor: RMSD "
        f"{np.mean(apart):.1e} A on average, {np.max(apart):.1e} at most; {reasons:,} of "
        f"{len(here):,} reasons the same."
    )


def noisy(count_atoms: int, count: int, dry: bool) -> tuple[list[Atoms], ...]:
    """Return noisy molecules of four elements, so many atoms of them; any; and all as they are."""
    if dry:
        every = [g2[name] for name in ("CH3CONH2", "CH3OH", "C3H8", "HCOOH", "CH3NO2", "C2H6")]
    else:
        qm9 = common.QM9()
        order = np.random.default_rng(0).permutation(len(qm9.ids))
        most = max(count, count_atoms // 10)
        every = [qm9.molecule(k) for k in order[:most].tolist()]
    alike, size = [], 0
    for atoms in every:
        if set(atoms.numbers.tolist()) == ELEMENTS and size < count_atoms:
            alike.append(atoms)
            size += len(atoms)
    return common.with_noise(alike, 0.1), common.with_noise(every[:count], 0.1), every


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--atoms", type=int, default=100_000, help="of the parts (100,000)")
    parser.add_argument("--molecules", type=int, default=20_000, help="relaxed whole (20,000)")
    parser.add_argument("--dry", action="store_true", help="run all of it, tiny, on the processor")
    asked = parser.parse_args()
    if not asked.dry and not torch.cuda.is_available():
        sys.exit("no CUDA device: run this where torch sees a GPU, or with --dry to try it out")
    if asked.dry:
        asked.atoms, asked.molecules = 20, 4
    device = "cpu" if asked.dry else "cuda"
    clock = Clock(device, 1 if asked.dry else 5)
    card = "processor, dry" if asked.dry else torch.cuda.get_device_name()
    print(f"{card}, torch {torch.__version__}; `benchmarks/device_check.py`")
    alike, some, every = noisy(asked.atoms, asked.molecules, asked.dry)
    ceilings(clock, asked.atoms)
    database = default_database().to(device)
    batch = Batch.from_atoms(alike, torch.float32, device)
    learned_parts(clock, database, batch)
    linear_parts(clock, database, batch)
    objective = Objective(database, make_target("learned")).restricted(batch.numbers)
    optimizer_parts(clock, batch, objective)
    for count in (batch.n_systems, max(1, batch.n_systems // 200)):
        steps(clock, objective, batch, count)
    compilation(clock, database, every)
    whole(clock, database, some)
    print(f"\nAll of it: {time.perf_counter() - clock.began:.0f} s")


if __name__ == "__main__":
    main()
