"""Settings for molecules, one change a row, on the molecules set apart for choosing them.

    python benchmarks/molecule_settings.py [--molecules 100] [--noise 0.1]

The paper's 359-molecule database with other descriptors, other references and ridges, other weights
of atoms, a start with `nearest`, and a coarse descriptor followed by a sharp one. From N(0, noise)
on every coordinate; RMSD after superposition on the DFT geometry, mean error of the bonds,
processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import common
import numpy as np
from ase import Atoms
from cases.in_turn import relax_in_turn

from losiko_torch import EnvironmentDatabase, Result, Stage, relax, score

#: Changes to the descriptor (r_cut 3 A, n_max 8, l_max 6, sigma 0.3 A), each with the fmax (1/A)
#: that is best for it of a few.
DESCRIPTORS: list[tuple[dict[str, Any], float]] = [
    ({}, 0.02),
    ({"sigma": 0.2}, 0.01),
    ({"sigma": 0.15}, 0.005),
    ({"sigma": 0.15, "n_max": 10}, 0.008),
    ({"sigma": 0.15, "n_max": 10, "l_max": 9}, 0.01),
    ({"sigma": 0.1, "n_max": 12, "l_max": 9}, 0.008),
    ({"r_cut": 2.5}, 0.01),
    ({"r_cut": 3.5, "n_max": 10}, 0.02),
    ({"r_cut": 4.0, "n_max": 10}, 0.02),
]
#: Changes to the options of relaxations, with the descriptor as it is.
CHANGES: list[dict[str, Any]] = [
    {"n_neighbors": 32},
    {"n_neighbors": 128},
    {"reg": 1e-4},
    {"reg": 1e-2},
    {"weights": {"H": 0.3}},
    {"weights": {"H": 3.0}},
    {"schedule": [Stage("nearest", max_steps=10)]},
    {"schedule": [Stage("nearest", max_steps=30)]},
]
#: ``fmax`` (1/A) at which the coarse descriptor stops before the sharp one goes on.
COARSE_FMAX = (0.1, 0.05, 0.02)
SHARPEST, SHARPEST_FMAX = {"sigma": 0.15}, 0.005


def row(name: str, run: Callable[[], list[Result]], molecules: list[Atoms]) -> str:
    began = time.process_time()
    results = run()
    milliseconds = 1000 * (time.process_time() - began) / len(molecules)
    distances, bonds = common.deviations((one.atoms for one in results), molecules)
    return (
        f"| {name} | {distances.mean():.4f} | {distances.max():.3f} | {bonds.mean():.4f} "
        f"| {np.mean([result.converged for result in results]):.0%} | {milliseconds:.0f} |"
    )


def trusted(starts: list[Atoms], database: EnvironmentDatabase) -> list[Atoms]:
    """Copies whose atoms weigh less in the loss the farther they are from their references."""
    copies = [atoms.copy() for atoms in starts]
    near = [result.matches.distance[:, 0] for result in score(starts, database)]
    typical = np.median(np.concatenate(near))
    for atoms, distance in zip(copies, near, strict=True):
        atoms.set_array("losiko_weight", 2 / (1 + distance / typical))
    return copies


def words(change: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in change.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--molecules", type=int, default=100)
    parser.add_argument("--noise", type=float, default=0.1)
    arguments = parser.parse_args()
    common.one_core()
    qm9 = common.QM9()
    molecules = qm9.choosing(arguments.molecules)
    starts = common.with_noise(molecules, arguments.noise)
    usual = qm9.paper_database(**common.SHARP)
    relax(starts[:3], usual)  # kernels are compiled before anything is timed
    print(f"{len(molecules)} molecules, N(0, {arguments.noise} A), float32, one core\n")
    print("| change | mean RMSD (A) | largest | mean bond error (A) | converged | ms a molecule |")
    print("|---|---|---|---|---|---|")
    for change, fmax in DESCRIPTORS:
        database = qm9.paper_database(**{**common.SHARP, **change})
        name = f"{words(change) or 'none'}, fmax {fmax}"
        print(row(name, lambda d=database, f=fmax: relax(starts, d, fmax=f), molecules), flush=True)
    for change in CHANGES:
        run = row(words(change), lambda c=change: relax(starts, usual, **c), molecules)
        print(run, flush=True)
    by_trust = trusted(starts, usual)
    print(row("atoms weighted by trust", lambda: relax(by_trust, usual), molecules), flush=True)
    sharp = qm9.paper_database(**{**common.SHARP, **SHARPEST})
    for fmax in COARSE_FMAX:
        name = f"to fmax {fmax}, then {words(SHARPEST)}, fmax {SHARPEST_FMAX}"
        how = {"fmax": fmax}, {"fmax": SHARPEST_FMAX}
        run = row(name, lambda h=how: relax_in_turn(starts, usual, sharp, *h), molecules)
        print(run, flush=True)


if __name__ == "__main__":
    main()
