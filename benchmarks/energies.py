"""Relaxing by similarity against relaxing by energies: GFN2-xTB and MMFF94, on one core in one run.

    python benchmarks/energies.py [--molecules 200] [--rounds 3] [--fitted 359.losiko 3800.losiko]

The reporting molecules of QM9 from N(0, 0.1 A) on every coordinate (the same starts for all),
brought back by: `relax` with the paper's 359-molecule database and the sharp descriptor (r_cut 3,
n 8, l 6, sigma 0.3), float32, defaults, `locally-linear` and `nearest`, all molecules in one call,
with a database ten times as large (every 35th id of QM9, without these molecules), and with the
database that is built in (`organic`: learned targets of GFN2-xTB's quality);
GFN2-xTB (tblite's ASE calculator, ASE's L-BFGS, fmax 0.05 eV/A, at most 500 steps), one molecule
after the other; RDKit's MMFF94 (MMFFOptimizeMolecule, at most 1,000 iterations), with bonds
perceived from the true geometry, which is not timed. Molecules that RDKit cannot perceive or has no
parameters for are counted and left out of its row.

Printed is a table: milliseconds a molecule (median over the rounds; the candidates alternate, after
one call of each on a few molecules, so that nothing is loaded or compiled in the timing), how many
times as long as `locally-linear` it takes (median of the ratios in each round), processor time over
wall time (1: one core), RMSD after superposition on the DFT geometry, mean error of the bonds, the
share converged, and the median number of evaluations (which RDKit does not report).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import common
import numpy as np
from ase import Atoms
from cases.energies import ForceField, Relaxed, xtb_relaxed

from losiko_torch import EnvironmentDatabase, relax

NOISE = 0.1
WARM_UP = 3


#: A method: from starts to relaxed molecules.
Candidate = Callable[[list[Atoms]], list[Relaxed]]


def losiko(database: EnvironmentDatabase | str, targets: str) -> Candidate:
    def run(starts: list[Atoms]) -> list[Relaxed]:
        results = relax(starts, database, targets=targets)
        return [Relaxed(result.atoms, result.converged, result.n_steps) for result in results]

    return run


def row(
    name: str,
    relaxed: list[Relaxed],
    molecules: list[Atoms],
    wall: np.ndarray,
    processor: np.ndarray,
    times: np.ndarray,
) -> str:
    distances, bonds = common.deviations((one.atoms for one in relaxed), molecules)
    evaluations = np.median([one.evaluations for one in relaxed])
    return (
        f"| {name} | {len(relaxed)} | {1000 * np.median(wall):.1f} | {np.median(times):.3g} "
        f"| {np.median(processor / wall):.2f} "
        f"| {distances.mean():.3f} | {np.median(distances):.3f} | {distances.max():.3f} "
        f"| {bonds.mean():.4f} | {np.mean([one.converged for one in relaxed]):.1%} "
        f"| {'-' if np.isnan(evaluations) else f'{evaluations:.0f}'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--fitted", nargs="*", default=[], help="databases that learned.py --keep saved"
    )
    arguments = parser.parse_args()
    common.one_core()
    qm9 = common.QM9()
    database = qm9.paper_database(**common.SHARP)
    molecules = qm9.reporting(arguments.molecules)
    large = qm9.large_database(molecules)
    starts = common.with_noise(molecules, NOISE)
    field = ForceField(molecules)
    everything = np.ones(len(molecules), dtype=bool)
    candidates: dict[str, tuple[Candidate, np.ndarray]] = {
        "losiko, locally-linear": (losiko(database, "locally-linear"), everything),
        "losiko, locally-linear, large database": (losiko(large, "locally-linear"), everything),
        "losiko, nearest": (losiko(database, "nearest"), everything),
        "losiko, built in, learned": (losiko("organic", "learned"), everything),
        "GFN2-xTB": (xtb_relaxed, everything),
        "MMFF94": (field.run, field.usable),
    }
    for path in arguments.fitted:
        fitted = EnvironmentDatabase.load(path)
        name = f"losiko, learned, {len(fitted.structures):,} molecules"
        candidates[name] = (losiko(fitted, "learned"), everything)
    given = {
        name: [starts[k] for k in np.flatnonzero(usable)]
        for name, (_, usable) in candidates.items()
    }
    for name, (run, _) in candidates.items():
        run(given[name][:WARM_UP])
    wall: dict[str, list[float]] = {name: [] for name in candidates}
    processor: dict[str, list[float]] = {name: [] for name in candidates}
    relaxed: dict[str, list[Relaxed]] = {}
    for _ in range(arguments.rounds):
        for name, (run, _) in candidates.items():
            began, used = time.perf_counter(), time.process_time()
            relaxed[name] = run(given[name])
            wall[name].append((time.perf_counter() - began) / len(given[name]))
            processor[name].append((time.process_time() - used) / len(given[name]))

    print(f"{database}\n{large}\n{len(molecules)} molecules, {arguments.rounds} rounds, one core")
    print(
        f"MMFF94: {field.unperceived} molecules not perceived by RDKit, {field.unparametrised} "
        "without parameters\n\n"
        "| | molecules | ms a molecule | / losiko | CPU/wall | mean RMSD (A) | median | largest "
        "| mean bond error (A) | converged | evaluations |\n" + "|---" * 11 + "|"
    )
    ours = np.array(wall["losiko, locally-linear"])
    for name, (_, usable) in candidates.items():
        truth = [molecules[k] for k in np.flatnonzero(usable)]
        times = np.array(wall[name])
        print(row(name, relaxed[name], truth, times, np.array(processor[name]), times / ours))


if __name__ == "__main__":
    main()
