"""Learned targets beside locally-linear on molecules unlike those of the database.

    python benchmarks/unlike.py [DATABASE.losiko ...]

125 drugs, sugars, peptides, flavours and aromatics of 10 to 21 heavy atoms and 30 atoms at most
(``notebooks/cases/drug_like.py``), from N(0, 0.1 A) on every coordinate of their GFN2-xTB geometry
and from that geometry itself; by the built-in database and by others, such as those kept by
``benchmarks/learned.py``. Molecules with elements that a database does not know are left out there.
"""

from __future__ import annotations

import argparse
import time

import common
import numpy as np
from ase.data import chemical_symbols
from cases.drug_like import geometries

from losiko_torch import EnvironmentDatabase
from losiko_torch.database.builtin import default_database


def load(name: str) -> EnvironmentDatabase:
    return default_database() if name == "organic" else EnvironmentDatabase.load(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("databases", nargs="*", help="files beside the built-in database")
    arguments = parser.parse_args()
    common.one_core()
    molecules = geometries()
    print(
        "| database | start | targets | molecules | start RMSD (A) | mean RMSD | median "
        "| 95th percentile | bonds | evaluations | ms |\n" + "|---" * 11 + "|"
    )
    for name in ("organic", *arguments.databases):
        database = load(name)
        known = {chemical_symbols[z] for z in database.environments}
        usable = [each for each in molecules if set(each.get_chemical_symbols()) <= known]
        for start, noise in (("GFN2-xTB geometry", 0.0), ("N(0, 0.1 A)", 0.1)):
            starts = common.with_noise(usable, noise) if noise else usable
            before, _ = common.deviations(starts, usable)
            for targets in ("learned", "locally-linear"):
                began = time.process_time()
                done = common.relaxation(starts, usable, database, targets=targets)
                ms = 1000 * (time.process_time() - began) / len(usable)
                found = done.distances
                print(
                    f"| {name} | {start} | {targets} | {len(usable)} | {before.mean():.3f} "
                    f"| {found.mean():.4f} | {np.median(found):.4f} "
                    f"| {np.quantile(found, 0.95):.3f} | {done.bonds.mean():.4f} "
                    f"| {done.steps:.0f} | {ms:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
