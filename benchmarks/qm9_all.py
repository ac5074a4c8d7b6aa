"""All of QM9 on one GPU, from file to file, with one command of under eight minutes.

    python benchmarks/qm9_all.py [--targets learned|locally-linear] [--molecules N] [--once]
    python benchmarks/qm9_all.py --fit [STEPS] [--molecules N]

The 127,744 molecules of $LOSIKO_DATA/qm9/qm9.npz (--molecules: as many of them, at random) with
N(0, 0.1 A) on every coordinate are in an archive, and are relaxed as `losiko relax ARCHIVE --run
FOLDER` does: read from it, and written as extended xyz and as a table of Parquet; float32, on the
GPU or else on one core. There is a column for each kind of targets: learned ones of the built-in
database `qm9`, which were fitted to most of these very molecules, and locally-linear ones of the
paper's 359 molecules (sharp descriptor), which are among them too.

Printed are seconds of the first call, a few molecules of each set of elements (compilation,
mostly); then of the run, from the opening of the archive to the last byte, with the host's process
time, in which it waits for the GPU too; evaluations, convergence, RMSD and bond errors against DFT
of a sample, read back from what was written; GPU memory at its peak; and the least that all could
have taken, as `floor.py` and `floor_learned.py` count it at the rates measured on the device.

Unless --once is given the same run is done again, and `losiko relax` is called for the first 32,000
molecules, in batches so small that there are three shards: once as it is, and once killed (SIGKILL)
when the first shard is written and called again. Structures and tables are to be the same, byte by
byte. (On a large card all of QM9 may be one shard, of which a kill leaves nothing; 15,000 molecules
or fewer are one with learned targets.)

--fit fits learned targets to all molecules instead, with as many steps as is usual or STEPS, and
prints the seconds.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import common
import floor
import numpy as np
import timers
import torch
from archive_run import chosen_of, run_into, same, write_noisy
from floor_learned import floor_learned

from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.accelerators import kernels_for
from losiko_torch.database.builtin import builtin_database
from losiko_torch.io import stream
from losiko_torch.loss.settings import make_target
from losiko_torch.relaxation.queues import WINDOW, queues
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.relaxation.settings import Settings
from losiko_torch.runs.folder import RunFolder

NOISE, TARGETS = 0.1, ("learned", "locally-linear")
#: Molecules of each set of elements in the first call; whose geometries are compared; whose
#: neighbours are counted; of the run that is killed.
FIRST, SAMPLE, NEIGHBORS_SAMPLE, KILLED = 20, 2000, 500, 32_000
#: Shards of the run that is killed, and seconds between two looks at them.
SHARDS, LOOK = 3, 0.002
PROGRAM = [sys.executable, "-c", "from losiko_torch.cli import main; main()", "relax"]


@dataclass(frozen=True)
class Setup:
    """What is relaxed, and how.

    Attributes:
        qm9: All molecules.
        chosen: Places in it of those that are relaxed.
        archive: Archive of them, with noise.
        database: Database, on its device.
        named: Name or file of the database, for commands.
        settings: Options of the relaxation.
    """

    qm9: common.molecules.QM9
    chosen: np.ndarray
    archive: Path
    database: EnvironmentDatabase
    named: str
    settings: Settings

    @classmethod
    def of(cls, targets: str, count: int | None, folder: Path, device: str) -> Setup:
        """Write the archive into a folder, and prepare the database."""
        qm9 = common.QM9()
        chosen, archive = chosen_of(qm9, count), folder / "noisy.npz"
        write_noisy(archive, qm9, chosen, noise_of)
        if targets == "learned":
            named, database = "qm9", builtin_database("qm9").to(device)
        else:
            named = str(folder / "paper.losiko")
            qm9.paper_database(**common.SHARP).save(named)
            database = EnvironmentDatabase.load(named, device)
        settings = Settings(targets=targets, device=device, dtype="float32")
        return cls(qm9, chosen, archive, database, named, settings)

    def relaxer(self) -> Relaxer:
        return Relaxer.make(None, self.database, self.settings)

    @property
    def on_gpu(self) -> bool:
        return self.database.device.type == "cuda"

    def numbers(self, count: int | None = None) -> list[np.ndarray]:
        """Return the atomic numbers of the molecules, or of the first few."""
        ends = self.qm9.offsets
        return [self.qm9.numbers[ends[k] : ends[k + 1]] for k in self.chosen[:count].tolist()]


def noise_of(place: np.ndarray) -> np.ndarray:
    """Return N(0, 0.1 A) for as many atoms."""
    return np.random.default_rng(common.REPORTING_SEED).normal(0, NOISE, (len(place), 3))


@dataclass(frozen=True)
class Timed:
    """A finished run, and what it took: wall and process time in seconds, bytes of the GPU."""

    folder: RunFolder
    seconds: float
    process: float
    peak: int

    @classmethod
    def into(cls, path: Path, setup: Setup, relaxer: Relaxer) -> Timed:
        """Run into a folder."""
        if setup.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        process, began = time.process_time(), time.perf_counter()
        folder = run_into(path, str(setup.archive), lambda _: relaxer)
        took = time.perf_counter() - began, time.process_time() - process
        return cls(folder, *took, torch.cuda.max_memory_allocated() if setup.on_gpu else 0)

    def __str__(self) -> str:
        return f"{self.seconds:.1f}, {self.process:.1f}"


def first_call(setup: Setup, folder: Path) -> float:
    """Relax a few molecules of each set of elements; return the seconds."""
    alike = defaultdict(list)
    for k, numbers in zip(setup.chosen.tolist(), setup.numbers(), strict=True):
        own = alike[frozenset(numbers.tolist())]
        if len(own) < FIRST:
            own.append(k)
    archives = [folder / f"first{each}.npz" for each in range(len(alike))]
    for archive, some in zip(archives, alike.values(), strict=True):
        write_noisy(archive, setup.qm9, np.array(some), noise_of)
    began = time.perf_counter()
    kernels_for(setup.database.device)
    for archive in archives:
        run_into(archive.with_suffix(""), str(archive), lambda _: setup.relaxer())
    return time.perf_counter() - began


def facts(setup: Setup, folder: Path, once: bool) -> Iterator[tuple[str, str]]:
    """Yield the rows of a column."""
    yield "first call (s)", f"{first_call(setup, folder):.1f}"
    # One for both runs: as much memory may not be free before the second.
    relaxer = setup.relaxer()
    with timers.watching(parts=False) as watch:
        run = Timed.into(folder / "run", setup, relaxer)
    table = run.folder.table()
    sizes, steps = table["n_atoms"].to_numpy(), table["n_steps"].to_numpy()
    yield "molecules, atoms", f"{len(sizes):,}, {sizes.sum():,}"
    yield "seconds from file to file, process time", str(run)
    rates = len(sizes) / run.seconds, sizes.sum() / run.seconds
    yield "molecules/s, atoms/s", f"{rates[0]:,.0f}, {rates[1]:,.0f}"
    written = (run.folder.structures_file, run.folder.table_file)
    yield "written (MB)", ", ".join(f"{each.stat().st_size / 1e6:,.0f}" for each in written)
    shares = [np.mean(table[name].to_numpy()) for name in ("converged", "reliable")]
    yield "median evaluations", f"{np.median(steps):.0f}"
    yield "converged, reliable", f"{shares[0]:.2%}, {shares[1]:.2%}"
    yield from errors(setup, run.folder)
    at_once, shards = atoms_at_once(relaxer, setup.archive)
    yield "atoms of a batch, shards", f"{at_once:,}, {shards}"
    if setup.on_gpu:
        kilobytes = run.peak / at_once / 1e3
        yield "peak GPU memory (GB), kB an atom", f"{run.peak / 1e9:.1f}, {kilobytes:.0f}"
    evaluations = float(np.dot(steps, sizes))
    least = least_of(setup, run.folder, evaluations, watch.atoms["Environments.nearest"])
    yield (
        "least that it could take (s), share of what it took",
        (f"{least:.1f}, {least / run.seconds:.0%}"),
    )
    if not once:
        again = Timed.into(folder / "again", setup, relaxer)
        yield "a second time: seconds, process time", str(again)
        yield "the same byte by byte as the first", answer(same(run.folder, again.folder))
        yield from killed_and_resumed(setup, folder)


def atoms_at_once(relaxer: Relaxer, archive: Path) -> tuple[int, int]:
    """Return the most atoms that are in a batch, and the number of shards."""
    most = []
    for shard in relaxer.shards(stream.streamed([archive])):
        molecules, batch_atoms = shard.structures, relaxer.batch_atoms
        parts = queues(molecules.numbers, molecules.counts, batch_atoms)
        most.append(max(min(batch_atoms, molecules.counts[part].sum()) for part in parts))
    return max(most), len(most)


def errors(setup: Setup, run: RunFolder) -> Iterator[tuple[str, str]]:
    """Yield RMSDs and bond errors of a sample against the DFT geometries."""
    some = np.random.default_rng(0).permutation(len(setup.chosen))[:SAMPLE].tolist()
    relaxed = run.atoms(some)
    molecules = [setup.qm9.molecule(setup.chosen[k]) for k in some]
    distances, bonds = common.deviations((relaxed[k] for k in some), molecules)
    yield (
        f"RMSD of {len(some):,}: mean, median, largest (A)",
        (f"{distances.mean():.3f}, {np.median(distances):.3f}, {distances.max():.3f}"),
    )
    yield "their mean bond error (A)", f"{bonds.mean():.4f}"


def least_of(setup: Setup, run: RunFolder, evaluations: float, searches: float) -> float:
    """Return the seconds that relaxing takes at least, at the rates of the device."""
    some = np.random.default_rng(0).permutation(len(setup.chosen))[:NEIGHBORS_SAMPLE].tolist()
    relaxed = list(run.atoms(some).values())
    database, targets = setup.database.to("cpu"), setup.settings.targets
    if targets == "learned":
        costs = floor_learned(database.learned, relaxed, evaluations)
    else:
        n_neighbors = make_target(targets).n_neighbors
        costs = floor.floor(database, relaxed, n_neighbors, evaluations, searches)
    machine = rates_of(setup.database.device.type)
    return sum(cost.seconds(machine) for cost in costs.values())


@lru_cache
def rates_of(device: str) -> floor.Machine:
    """Return the rates of a device, measured once."""
    return floor.Machine.measure(device)


def killed_and_resumed(setup: Setup, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield whether a run that was killed ends as one that was not."""
    sizes = [len(each) for each in setup.numbers(KILLED)]
    # The cuts between shards cost less than a molecule each. (Shards may be larger, and fewer.)
    batch_atoms = -(-(sum(sizes) + (SHARDS - 1) * max(sizes)) // (SHARDS * WINDOW))
    command = [*PROGRAM, f"{setup.archive}@:{len(sizes)}", "-d", setup.named]
    command += ["--targets", str(setup.settings.targets), "--dtype", "float32"]
    command += ["--device", str(setup.database.device), "--batch-atoms", str(batch_atoms), "--run"]
    whole, path = folder / "whole", folder / "killed"
    seconds = common.seconds(lambda: waited(started(command, whole)))
    yield f"`losiko relax` of {len(sizes):,} (s)", f"{seconds:.1f}"
    done = killed(started(command, path), path)
    waited(started(command, path))
    ended = same(RunFolder.open(whole), RunFolder.open(path))
    yield (
        "killed after so many were written, and resumed",
        "too few" if done is None else f"{done:,}",
    )
    yield "the same byte by byte as the one not killed", answer(ended)


def started(command: list[str], path: Path) -> subprocess.Popen:
    """Start a run into a folder, or go on with it."""
    given = [*command, str(path)]
    return subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def killed(process: subprocess.Popen, path: Path) -> int | None:
    """Kill a run once a shard is written; return the structures done, None if it ended before."""
    while process.poll() is None and not RunFolder(path, {}).done():
        time.sleep(LOOK)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        waited(process)
        return None
    return RunFolder.open(path).n_done()


def waited(process: subprocess.Popen) -> None:
    """Wait for a run; exit unless it ends well, structures that failed or not."""
    _, told = process.communicate()
    if process.returncode not in (0, 1):
        sys.exit(told.decode())


def answer(is_so: bool) -> str:
    return "yes" if is_so else "no"


def fit(count: int | None, steps: int | None, device: str) -> None:
    """Print how long it takes to fit learned targets to QM9."""
    qm9 = common.QM9()
    molecules = [qm9.molecule(k) for k in chosen_of(qm9, count)]
    began = time.perf_counter()
    soap = SOAP(species=common.SPECIES, **common.SHARP).to(device)
    database = EnvironmentDatabase.build(molecules, soap)
    built = time.perf_counter()
    print(f"described after {built - began:.0f} s", file=sys.stderr, flush=True)
    info = database.fit(seed=0, steps=steps).learned.info
    took = time.perf_counter() - built
    print(f"{name_of(device)}; {database}\n\n| | |\n|---|---|")
    print(f"| molecules | {len(molecules):,} |")
    print(f"| seconds to describe them | {built - began:.1f} |")
    print(f"| seconds to fit | {took:.1f} |")
    print(f"| steps, ms a step | {info['steps']:,}, {1e3 * took / info['steps']:.1f} |")
    print(f"| error held out | {info['error']:.3f} |")


def name_of(device: str) -> str:
    where = torch.cuda.get_device_name() if device == "cuda" else "one core of a processor"
    return f"{where}, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--targets", choices=TARGETS, help="both")
    parser.add_argument("--molecules", type=int, help="all")
    parser.add_argument("--once", action="store_true", help="no run a second time, none killed")
    parser.add_argument("--fit", type=int, nargs="?", const=0, metavar="STEPS", help="fit instead")
    asked, began = parser.parse_args(), time.perf_counter()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        common.one_core()
    if asked.fit is not None:
        fit(asked.molecules, asked.fit or None, device)
        return
    columns = {}
    for targets in [asked.targets] if asked.targets else TARGETS:
        columns[targets] = {}
        with tempfile.TemporaryDirectory() as name:
            setup = Setup.of(targets, asked.molecules, Path(name), device)
            for row, value in facts(setup, Path(name), asked.once):
                columns[targets][row] = value
                # The table comes last: what is known by then is not lost.
                print(f"{targets}: {row}: {value}", file=sys.stderr, flush=True)
    print(f"{name_of(device)}; {rates_of(device)}\n")
    print(f"| | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for row in dict.fromkeys(row for column in columns.values() for row in column):
        print(f"| {row} | {' | '.join(each.get(row, '') for each in columns.values())} |")
    print(f"\nAll of it: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
