"""Contacts between molecules: complexes with DFT geometries, relaxed by the built-in database.

    python benchmarks/contacts.py [--xtb 20]

Complexes of the Non-Covalent Interactions Atlas that no one here computed, and that no database
holds. They begin at their own geometry and at N(0, 0.1 A) on every coordinate. The shortest contact
is that of the two molecules, beside their van der Waals radii, in the DFT geometry; it is lost if
it ends more than 1.25 times as long. GFN2-xTB relaxes the first ones of each kind from the same
starts, with their charge.
"""

from __future__ import annotations

import argparse

import ase.io
import common
import numpy as np
from ase import Atoms
from ase.data import vdw_radii
from cases.energies import xtb_relaxed

from losiko_torch import Result, relax, rmsd
from losiko_torch.database.builtin import default_database

KINDS = {
    "hydrogen bonds": "hydrogen_bonds",
    "ionic hydrogen bonds": "ionic_hydrogen_bonds",
    "hydrogen bonds, S, P, halogens": "hydrogen_bonds_S_P_halogens",
    "halogen bonds": "halogen_bonds",
}
#: Length over that of the DFT geometry from which on a contact is lost.
LOST = 1.25
#: Van der Waals radius (Angstrom) of elements that ASE has none for.
OTHERS = 2.0


def complexes(name: str) -> list[Atoms]:
    found = ase.io.read(common.data_folder() / "complexes" / f"{name}.extxyz", ":")
    known = set(default_database().environments)
    for atoms in found:
        atoms.pbc = False
    return [atoms for atoms in found if set(atoms.numbers) <= known]


def shortest_contact(atoms: Atoms) -> tuple[int, int]:
    """Return the atoms of the two molecules that are nearest beside their radii."""
    first = np.zeros(len(atoms), dtype=bool)
    begin, _, end = str(atoms.info["first"]).partition("-")
    first[int(begin) - 1 : int(end or begin)] = True
    radii = np.nan_to_num(vdw_radii[atoms.numbers], nan=OTHERS)
    apart = atoms.get_all_distances() / (radii[:, None] + radii)
    apart[~(first[:, None] & ~first)] = np.inf
    i, j = np.unravel_index(apart.argmin(), apart.shape)
    return int(i), int(j)


def row(name: str, start: str, how: str, ends: list[Atoms], good: list[Atoms], told: str) -> str:
    pairs = [shortest_contact(each) for each in good]
    was = np.array([each.get_distance(*pair) for each, pair in zip(good, pairs, strict=True)])
    now = np.array([each.get_distance(*pair) for each, pair in zip(ends, pairs, strict=True)])
    apart = np.array([rmsd(one, other) for one, other in zip(ends, good, strict=True)])
    lost = now > LOST * was
    kept = np.abs(now - was)[~lost]
    return (
        f"| {name} | {start} | {how} | {len(good)} | {lost.mean():.0%} "
        f"| {kept.mean() if len(kept) else np.nan:.3f} | {apart.mean():.3f} "
        f"| {np.median(apart):.3f} | {told} |"
    )


def reliable(results: list[Result]) -> str:
    return f"{np.mean([one.reliable for one in results]):.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--xtb", type=int, default=20, help="complexes of a kind by GFN2-xTB")
    parser.add_argument("--fmax", type=float, help="of the learned targets")
    arguments = parser.parse_args()
    common.one_core()
    print(
        "| kind | start | by | complexes | contacts lost | error of those kept (A) "
        "| mean RMSD (A) | median | reliable |\n" + "|---" * 9 + "|"
    )
    for name, file in KINDS.items():
        good = complexes(file)
        few = good[: arguments.xtb]
        for start, noise in (("DFT geometry", 0.0), ("N(0, 0.1 A)", 0.1)):
            starts = common.with_noise(good, noise) if noise else [each.copy() for each in good]
            results = relax(starts, fmax=arguments.fmax)
            ends = [one.atoms for one in results]
            print(row(name, start, "learned", ends, good, reliable(results)), flush=True)
            if few:
                n = len(few)
                print(row(name, start, "learned", ends[:n], few, reliable(results[:n])))
                relaxed = [one.atoms for one in xtb_relaxed(starts[:n])]
                print(row(name, start, "GFN2-xTB", relaxed, few, "-"), flush=True)


if __name__ == "__main__":
    main()
