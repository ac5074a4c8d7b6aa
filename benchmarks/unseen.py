"""Ions, inner hydrogen bonds and drug-like molecules that the built-in database does not hold.

    python benchmarks/unseen.py ["inner hydrogen bonds"] [ions] [drugs] [--largest 30]

Their geometries are GFN2-xTB's, as those of the database (``notebooks/cases/unseen.py``). They
begin there and at N(0, 0.1 A) on every coordinate. Of an inner hydrogen bond the length H...X is
that of the shortest one in the reference geometry.
"""

from __future__ import annotations

import argparse

import common
import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from cases import unseen

from losiko_torch import relax
from losiko_torch.database.builtin import default_database

#: Elements that take a hydrogen bond.
ACCEPTORS = (7, 8, 9, 16, 17)
#: Distance over the sum of covalent radii from which on atoms are not bonded.
BONDED = 1.3


def inner_contact(atoms: Atoms) -> tuple[int, int]:
    """Return hydrogen of a polar bond and acceptor that are nearest without a bond."""
    radii, apart = covalent_radii[atoms.numbers], atoms.get_all_distances()
    bonded = (apart < BONDED * (radii[:, None] + radii)) & (apart > 0)
    polar = [
        h
        for h in np.flatnonzero(atoms.numbers == 1)
        if np.isin(atoms.numbers[bonded[h]], ACCEPTORS).any()
    ]
    near = {
        (h, x): apart[h, x]
        for h in polar
        for x in np.flatnonzero(np.isin(atoms.numbers, ACCEPTORS))
        if not bonded[h, x] and not (bonded[h] & bonded[x]).any()
    }
    return min(near, key=lambda pair: near[pair])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("groups", nargs="*", default=list(unseen.NAMED))
    parser.add_argument("--largest", type=int, default=60, help="atoms of a molecule")
    arguments = parser.parse_args()
    common.one_core()
    print(
        "| group | molecules | start | targets | mean RMSD (A) | median | bonds (A) "
        "| inner H...X off by (A) | reliable |\n" + "|---" * 9 + "|"
    )
    known = set(default_database().environments)
    for group in arguments.groups:
        good = [
            atoms
            for atoms in unseen.geometries(group, arguments.largest)
            if set(atoms.numbers) <= known
        ]
        for start, noise in (("GFN2-xTB geometry", 0.0), ("N(0, 0.1 A)", 0.1)):
            starts = common.with_noise(good, noise) if noise else good
            for targets in ("learned", "locally-linear"):
                results = relax(starts, targets=targets)
                found, bonds = common.deviations((one.atoms for one in results), good)
                off = "-"
                if group == "inner hydrogen bonds":
                    pairs = [inner_contact(atoms) for atoms in good]
                    apart = [
                        abs(one.atoms.get_distance(*pair) - atoms.get_distance(*pair))
                        for one, atoms, pair in zip(results, good, pairs, strict=True)
                    ]
                    off = f"{np.mean(apart):.3f}, at most {np.max(apart):.2f}"
                reliable = np.mean([one.reliable for one in results])
                print(
                    f"| {group} | {len(good)} | {start} | {targets} | {found.mean():.4f} "
                    f"| {np.median(found):.4f} | {bonds.mean():.4f} | {off} | {reliable:.0%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
