"""Twenty molecules of another level of theory: fits that begin with the built-in networks.

    python benchmarks/start.py [--molecules 200] [--sizes 20 100 359]

Learned targets are fitted to the first so many of the paper's QM9 molecules (B3LYP), from random
networks and from those of the built-in database (GFN2-xTB), and relax molecules for reporting from
N(0, 0.1 A) and from their DFT geometry. The built-in networks as they are stand beside.
"""

from __future__ import annotations

import argparse
import time

import common
import numpy as np

from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.database.builtin import default_database


def chosen(qm9, size: int) -> list:
    """Return molecules spread over the paper's, so that few are as various as many."""
    paper = [qm9.molecule(k) for k in qm9.database_molecules]
    places = np.linspace(0, len(paper) - 1, size).round().astype(int)
    return [paper[k] for k in np.unique(places)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 100, 359])
    arguments = parser.parse_args()
    common.one_core()
    qm9 = common.QM9()
    molecules = qm9.reporting(arguments.molecules)
    builtin = default_database()
    soap = SOAP(species=common.SPECIES, **common.SHARP)

    def row(name: str, database: EnvironmentDatabase, minutes: float) -> None:
        cells = []
        for noise in (0.1, 0.0):
            starts = common.with_noise(molecules, noise) if noise else molecules
            done = common.relaxation(starts, molecules, database, targets="learned")
            cells.append(f"{done.distances.mean():.4f} / {done.bonds.mean():.4f}")
        print(f"| {name} | {minutes:.1f} | {' | '.join(cells)} |", flush=True)

    print(
        "| fitted to | minutes of fitting | from N(0, 0.1 A): RMSD / bonds (A) | from DFT |\n"
        "|---|---|---|---|"
    )
    row("built-in alone", builtin, 0.0)
    for size in arguments.sizes:
        plain = EnvironmentDatabase.build(chosen(qm9, size), soap)
        for name, start in (("random networks", None), ("built-in networks", builtin)):
            began = time.process_time()
            database = plain.fit(seed=0, start=start)
            row(f"{size} molecules, {name}", database, (time.process_time() - began) / 60)


if __name__ == "__main__":
    main()
