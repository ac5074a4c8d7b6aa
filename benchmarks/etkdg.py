"""Drug-like molecules from RDKit's ETKDG: by the built-in database, and by MMFF94 from there.

    python benchmarks/etkdg.py [--largest 60] [--molecules N] [--first 0]

The molecules are those of ``notebooks/cases/unseen.py``, one conformer each, which the built-in
database's second part leaves out. Wherever a method ends, GFN2-xTB goes on to the minimum near by:
the energy that it gains, and the bonds and the RMSD that it changes, are the errors. Those of the
ETKDG geometry itself stand beside.
"""

from __future__ import annotations

import argparse

import common
import numpy as np
from ase import Atoms
from cases import unseen
from cases.drawings import by_mmff, drawn, geometry
from cases.energies import xtb_energy, xtb_relaxed

from losiko_torch import relax
from losiko_torch.database.builtin import default_database

SEED = 11
#: Force in eV/Angstrom at which GFN2-xTB has reached its minimum.
FMAX = 0.01


def embedded(smiles: str) -> tuple[Atoms, Atoms] | None:
    """Return a molecule's ETKDG geometry, and what MMFF94 makes of it; None without either."""
    try:
        molecule = drawn(smiles, SEED)
    except ValueError:
        return None
    relaxed = by_mmff(molecule)
    return None if relaxed is None else (geometry(molecule), relaxed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--largest", type=int, default=60, help="atoms of a molecule")
    parser.add_argument("--molecules", type=int, help="how many, spread over the list")
    arguments = parser.parse_args()
    common.one_core()
    known = set(default_database().environments)
    found = [embedded(smiles) for smiles in unseen.NAMED["drugs"].values()]
    pairs = [
        pair
        for pair in found
        if pair is not None and len(pair[0]) <= arguments.largest and known >= set(pair[0].numbers)
    ]
    if arguments.molecules is not None and arguments.molecules < len(pairs):
        places = np.linspace(0, len(pairs) - 1, arguments.molecules).astype(int)
        pairs = [pairs[k] for k in places]
    starts, by_mmff = zip(*pairs, strict=True)
    results = relax(starts)
    reliable = np.mean([one.reliable for one in results])
    ends = {
        "ETKDG": list(starts),
        "losiko_torch, learned": [one.atoms for one in results],
        "MMFF94": list(by_mmff),
    }
    print(f"{len(starts)} of {len(found)} molecules; {reliable:.0%} called reliable")
    print(
        "| end | molecules | energy above the minimum (eV): mean | median | 95th percentile "
        "| bonds (A) | RMSD (A) |\n" + "|---" * 7 + "|"
    )
    for name, every in ends.items():
        minima = xtb_relaxed(every, fmax=FMAX)
        pairs = [(a, b.atoms) for a, b in zip(every, minima, strict=True) if b.converged]
        above = np.array([xtb_energy(a) - xtb_energy(b) for a, b in pairs])
        moved, bonds = common.deviations((a for a, _ in pairs), [b for _, b in pairs])
        print(
            f"| {name} | {len(pairs)} | {above.mean():.3f} | {np.median(above):.3f} "
            f"| {np.quantile(above, 0.95):.3f} | {bonds.mean():.4f} | {moved.mean():.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
