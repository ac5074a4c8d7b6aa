"""Relaxation of all of QM9, from file to file, with one command.

    python benchmarks/qm9_all.py [--device cuda] [--molecules N] [--batch-atoms N]

Reads the 127,744 molecules of $LOSIKO_DATA/qm9/qm9.npz (--molecules: as many of them, at random),
adds N(0, 0.1 A) to every coordinate, relaxes them in one call with the paper's 359-molecule
database (sharp descriptor, `locally-linear`, float32) until converged or 200 steps, and writes the
results as extended xyz into a temporary folder, one by one where the package has `relax_iter`.
--device is cuda where there is one, else cpu (one core). Database and a first call on a few
molecules come before the clock starts. The molecules of the database are among those relaxed.

Printed are the device; seconds in all, and of reading (with the noise), relaxing and writing;
molecules and atoms a second; median evaluations, share converged; RMSD and mean bond error against
DFT of a sample of 2,000; peak GPU memory; and the least that the relaxation could have taken, as
`floor.py` counts it, at the rates measured on the device.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import common
import floor
import numpy as np
import timers
import torch
from ase import Atoms

from losiko_torch import EnvironmentDatabase, Result
from losiko_torch.io.writers import result_file
from losiko_torch.loss.settings import make_target

NOISE, MAX_STEPS = 0.1, 200
TARGETS = "locally-linear"
#: Molecules whose geometries are compared; whose neighbours are counted; of an untimed first call.
SAMPLE, NEIGHBORS_SAMPLE, WARM_UP = 2000, 500, 50


class Clock:
    """A stream from file to file, and the seconds that its parts take."""

    def __init__(self) -> None:
        self.reading = self.relaxing = 0.0

    def read(self, count: int | None) -> Iterator[Atoms]:
        """Yield molecules from the file, with noise."""
        began = time.perf_counter()
        qm9 = common.QM9()
        rng = np.random.default_rng(common.REPORTING_SEED)
        chosen = np.arange(len(qm9.ids))
        if count is not None:
            chosen = np.sort(rng.permutation(chosen)[:count])
        for k in chosen.tolist():
            atoms = qm9.molecule(k)
            atoms.positions += rng.normal(0, NOISE, atoms.positions.shape)
            atoms.info["qm9"] = k
            self.reading += time.perf_counter() - began
            yield atoms
            began = time.perf_counter()

    def relax(
        self, molecules: Iterable[Atoms], database: EnvironmentDatabase, **options
    ) -> Iterator[Result]:
        """Yield results as they are ready."""
        before, began = self.reading, time.perf_counter()
        for result in common.relaxed(molecules, database, **options):
            self.relaxing += time.perf_counter() - began - (self.reading - before)
            yield result
            before, began = self.reading, time.perf_counter()


@dataclass
class Tally:
    """Record of a stream of results: numbers of all, structures of a sample."""

    keep: set[int]
    steps: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    converged: list[bool] = field(default_factory=list)
    sample: list[Atoms] = field(default_factory=list)

    def of(self, results: Iterable[Result]) -> Iterator[Result]:
        for number, result in enumerate(results):
            self.steps.append(result.n_steps)
            self.sizes.append(len(result.atoms))
            self.converged.append(result.converged)
            if number in self.keep:
                self.sample.append(result.atoms)
            yield result


def errors(sample: list[Atoms]) -> str:
    """Rows of RMSDs and bond errors of a sample against the DFT geometries."""
    qm9 = common.QM9()
    molecules = [qm9.molecule(atoms.info["qm9"]) for atoms in sample]
    distances, bonds = common.deviations(sample, molecules)
    return (
        f"| RMSD of {len(sample):,} molecules: mean, median, largest (A) "
        f"| {distances.mean():.3f}, {np.median(distances):.3f}, {distances.max():.3f} |\n"
        f"| their mean bond error (A) | {bonds.mean():.4f} |"
    )


def least(
    tally: Tally, searches: int, database: EnvironmentDatabase, device: str
) -> tuple[float, floor.Machine]:
    """Seconds that the relaxation takes at least, and the rates that this follows from."""
    machine = floor.Machine.measure(device)
    evaluations = int(np.dot(tally.steps, tally.sizes))
    n_neighbors = make_target(TARGETS).n_neighbors
    some = tally.sample[:NEIGHBORS_SAMPLE]
    costs = floor.floor(database.to("cpu"), some, n_neighbors, evaluations, searches)
    return sum(cost.seconds(machine) for cost in costs.values()), machine


def name_of(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else "one CPU core"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--molecules", type=int, help="all")
    parser.add_argument("--batch-atoms", type=int, help="atoms at once; as many as fit")
    arguments = parser.parse_args()
    device = arguments.device
    if not device.startswith("cuda"):
        common.one_core()
    qm9 = common.QM9()
    database = qm9.paper_database(**common.SHARP).to(device)
    options = {
        "targets": TARGETS,
        "max_steps": MAX_STEPS,
        "dtype": "float32",
        "batch_atoms": arguments.batch_atoms,
    }
    for _ in common.relaxed(common.with_noise(qm9.reporting(WARM_UP), NOISE), database, **options):
        pass
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()

    count = len(qm9.ids) if arguments.molecules is None else arguments.molecules
    rng = np.random.default_rng(0)
    tally = Tally(set(rng.permutation(count)[:SAMPLE].tolist()))
    clock, began = Clock(), time.perf_counter()
    with timers.watching(parts=False) as watch, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "relaxed.extxyz"
        results = clock.relax(clock.read(arguments.molecules), database, **options)
        with result_file(path) as add:
            for result in tally.of(results):
                add([result])
        total = time.perf_counter() - began
        megabytes = path.stat().st_size / 1e6

    deviations = errors(tally.sample)
    print(f"{name_of(device)}; {database}\n\n| | |\n|---|---|")
    print(f"| molecules, atoms | {count:,}, {sum(tally.sizes):,} |")
    print(f"| seconds from file to file | {total:.1f} |")
    writing = total - clock.reading - clock.relaxing
    print(f"| of these reading, relaxing, writing ({megabytes:,.0f} MB) ", end="")
    print(f"| {clock.reading:.1f}, {clock.relaxing:.1f}, {writing:.1f} |")
    print(f"| molecules/s, atoms/s | {count / total:,.0f}, {sum(tally.sizes) / total:,.0f} |")
    print(f"| median evaluations, converged | {np.median(tally.steps):.0f}", end="")
    print(f", {np.mean(tally.converged):.2%} |\n{deviations}")
    if device.startswith("cuda"):
        print(f"| peak GPU memory (GB) | {torch.cuda.max_memory_allocated() / 1e9:.1f} |")
    searches = watch.atoms["Environments.nearest"]
    seconds, machine = least(tally, searches, database, device)
    print(f"| the relaxation at least (s), share of what it took at {machine} ", end="")
    print(f"| {seconds:.1f}, {seconds / clock.relaxing:.1%} |")


if __name__ == "__main__":
    main()
