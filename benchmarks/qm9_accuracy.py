"""Accuracy of relaxed QM9 molecules against their DFT geometries.

    python benchmarks/qm9_accuracy.py [--molecules 200] [--fmax 0.02 ...]

The paper's 359-molecule database (or, with --builtin, the built-in one); molecules outside of it,
from their DFT geometry and from N(0, 0.1 A) noise on every coordinate. RMSD after superposition,
and the mean error of the bonds.
"""

from __future__ import annotations

import argparse

import common
import numpy as np

from losiko_torch import default_database

HEADER = (
    "| targets | start | fmax (1/A) | mean RMSD (A) | median | largest | mean bond error (A) "
    "| converged | median steps | molecules/s |\n|---|---|---|---|---|---|---|---|---|---|"
)


def row(molecules, database, targets: str, noise: float, fmax: float, dtype: str) -> str:
    starts = common.with_noise(molecules, noise)
    options = {"targets": targets, "fmax": fmax, "dtype": dtype}
    found = common.relaxation(starts, molecules, database, **options)
    distances = found.distances
    start = f"DFT + N(0, {noise} A)" if noise else "DFT geometry"
    return (
        f"| {targets} | {start} | {fmax} | {distances.mean():.3f} | {np.median(distances):.3f} "
        f"| {distances.max():.3f} | {found.bonds.mean():.4f} | {found.converged:.1%} "
        f"| {found.steps:.0f} | {len(molecules) / found.seconds:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--fmax", type=float, nargs="+", default=[0.02])
    parser.add_argument("--targets", nargs="+", default=["locally-linear", "nearest"])
    parser.add_argument("--paper-soap", action="store_true", help="r_cut 4, n 6, l 6, sigma 0.5")
    parser.add_argument("--builtin", action="store_true", help="the built-in database instead")
    parser.add_argument("--components", default="512", help="a number, or all")
    parser.add_argument("--choosing", action="store_true", help="the molecules for choosing")
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    common.one_core()
    qm9 = common.QM9()
    soap = common.PAPER if arguments.paper_soap else common.SHARP
    if arguments.builtin:
        database = default_database()
    else:
        components = None if arguments.components == "all" else int(arguments.components)
        database = qm9.paper_database(components, **soap)
    pick = qm9.choosing if arguments.choosing else qm9.reporting
    molecules = pick(arguments.molecules)
    print(f"{database}\n{database.descriptor}")
    print(f"{len(molecules)} molecules, {arguments.dtype}, one core\n\n{HEADER}")
    for targets in arguments.targets:
        for noise in (0.0, 0.1):
            for fmax in arguments.fmax:
                line = row(molecules, database, targets, noise, fmax, arguments.dtype)
                print(line, flush=True)


if __name__ == "__main__":
    main()
