"""The verdict on structures broken on purpose: wrong ends called reliable, right ones doubted.

    python benchmarks/verdict.py

Molecules of g2, of QM9 and of ``cases/drug_like.py`` in their GFN2-xTB geometry, and complexes
with hydrogen bonds, are broken: an X-H bond stretched, an atom set on another or moved by 0.8 A,
noise of 0.35 and 0.5 A, coordinates in other units, 2D drawings, flat or linear starts. They are
relaxed by the built-in database. An end is wrong if its bonds are not those of the GFN2-xTB
geometry, its RMSD exceeds 0.3 A, or a contact between molecules grew by 0.4 A. Starts with noise
of 0.05 and 0.1 A tell how many right ends are doubted.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import permutations

import common
import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation, molecule
from ase.collections import g2
from ase.data import covalent_radii, vdw_radii
from ase.io import read
from cases.drug_like import SMILES, geometries
from cases.energies import xtb_relaxed
from rdkit import Chem
from rdkit.Chem import AllChem
from scipy.sparse.csgraph import connected_components

from losiko_torch import relax
from losiko_torch.database.builtin import default_database

#: Kind of breaking, start, and the geometry that it should become.
Case = tuple[str, Atoms, Atoms]


def known(atoms: Atoms) -> bool:
    return set(atoms.numbers) <= set(default_database().environments)


def optimized(structures: list[Atoms]) -> list[Atoms]:
    """Return the GFN2-xTB geometries of those that converge, without calculators."""
    return [one.atoms for one in xtb_relaxed(structures, fmax=0.01) if one.converged]


def small_molecules() -> list[Atoms]:
    found = [molecule(name) for name in g2.names]
    return [atoms for atoms in found if len(atoms) > 1 and known(atoms)]


def complexes() -> list[Atoms]:
    found = read(common.data_folder() / "complexes" / "hydrogen_bonds.extxyz", ":")
    chosen = [atoms for atoms in found if known(atoms)][:40]
    for atoms in chosen:
        atoms.set_pbc(False)
    return chosen


def with_move(atoms: Atoms, atom: int, by: np.ndarray) -> Atoms:
    copy = atoms.copy()
    copy.positions[atom] += by
    return copy


def shaken(atoms: Atoms, sigma: float, rng: np.random.Generator) -> Atoms:
    copy = atoms.copy()
    copy.positions += rng.normal(0, sigma, copy.positions.shape)
    return copy


def broken(atoms: Atoms, rng: np.random.Generator) -> Iterator[tuple[str, Atoms]]:
    """Yield kinds of breaking and broken copies of a molecule."""
    apart = atoms.get_all_distances()
    hydrogens = np.flatnonzero(atoms.numbers == 1)
    if len(hydrogens):
        h = int(rng.choice(hydrogens))
        row = apart[h].copy()
        row[h] = np.inf
        x = int(row.argmin())
        by = float(rng.choice([0.3, 0.5, 0.7, 1.0]))
        along = (atoms.positions[h] - atoms.positions[x]) / apart[h, x]
        yield f"X-H + {by} A", with_move(atoms, h, by * along)
    draw = rng.random()
    if draw < 0.15:
        for factor, unit in ((100, "pm"), (1 / 0.529177, "Bohr"), (0.1, "nm")):
            copy = atoms.copy()
            copy.positions *= factor
            yield unit, copy
    if draw < 0.35:
        i, j = rng.choice(len(atoms), 2, replace=False)
        way = rng.normal(size=3)
        to = atoms.positions[j] + 0.3 * way / np.linalg.norm(way)
        yield "an atom on another", with_move(atoms, i, to - atoms.positions[i])
    if 0.35 < draw < 0.6:
        yield "noise 0.35 A", shaken(atoms, 0.35, rng)
    if 0.6 < draw < 0.75:
        yield "noise 0.5 A", shaken(atoms, 0.5, rng)
    if draw > 0.75:
        heavy = int(rng.choice(np.flatnonzero(atoms.numbers > 1)))
        way = rng.normal(size=3)
        yield "a heavy atom + 0.8 A", with_move(atoms, heavy, 0.8 * way / np.linalg.norm(way))


def drawings(drugs: list[Atoms]) -> Iterator[Case]:
    by_name = {atoms.info["name"]: atoms for atoms in drugs}
    for name in list(SMILES)[::2]:
        if name in by_name:
            mol = Chem.AddHs(Chem.MolFromSmiles(SMILES[name]))
            AllChem.Compute2DCoords(mol)
            numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
            yield "2D drawing", Atoms(numbers, mol.GetConformer().GetPositions()), by_name[name]


def saddles() -> Iterator[Case]:
    for name, arms, length in (("H2O", 2, 0.96), ("NH3", 3, 1.01), ("CH4", 4, 1.09)):
        good = optimized([molecule(name)])[0]
        turn = np.arange(arms) * 2 * np.pi / arms
        around = length * np.column_stack([np.cos(turn), np.sin(turn), 0 * turn])
        first = [k for k in range(len(good)) if good.numbers[k] != 1]
        start = good.copy()
        start.positions[first[0]] = 0
        start.positions[[k for k in range(len(good)) if k != first[0]]] = around
        yield "flat or linear", start, good


def bonds(atoms: Atoms) -> np.ndarray:
    apart, radii = atoms.get_all_distances(), covalent_radii[atoms.numbers]
    return (apart < 1.3 * (radii[:, None] + radii)) & (apart > 0)


def contact_lost(end: Atoms, good: Atoms) -> bool:
    count, labels = connected_components(bonds(good))
    if count < 2:
        return False
    radii = vdw_radii[good.numbers]
    was, now = good.get_all_distances(), end.get_all_distances()
    near = (labels[:, None] != labels) & (was < 0.9 * (radii[:, None] + radii))
    return bool((now[near] > was[near] + 0.4).any())


def apart(end: Atoms, good: Atoms) -> float:
    moved = end.copy()
    minimize_rotation_and_translation(good, moved)
    return float(np.sqrt(np.mean(np.sum((moved.positions - good.positions) ** 2, axis=1))))


def nearest_order(end: Atoms, good: Atoms) -> float:
    """Return the RMSD of the order of a small molecule's hydrogen in which it is least."""
    hydrogen = np.flatnonzero(good.numbers == 1)
    if len(hydrogen) > 4:
        return apart(end, good)
    found = []
    for order in permutations(hydrogen.tolist()):
        places = np.arange(len(good))
        places[hydrogen] = order
        found.append(apart(end[places], good))
    return min(found)


def is_wrong(end: Atoms, good: Atoms) -> bool:
    other_bonds = bool((bonds(end) != bonds(good)).any())
    return other_bonds or nearest_order(end, good) > 0.3 or contact_lost(end, good)


def all_cases() -> list[Case]:
    qm9 = common.QM9()
    drugs = geometries()
    molecules = [
        *optimized(small_molecules()),
        *optimized([qm9.molecule(k) for k in qm9._choosing(1000)[:80]]),
        *drugs,
    ]
    rng = np.random.default_rng(11)
    cases: list[Case] = []
    for atoms in molecules:
        if len(atoms) > 2:
            cases += ((kind, start, atoms) for kind, start in broken(atoms, rng))
    cases += drawings(drugs)
    cases += saddles()
    for atoms in optimized(complexes()):
        cases.append(("complex, as it is", atoms.copy(), atoms))
        cases.append(("complex, noise 0.1 A", shaken(atoms, 0.1, rng), atoms))
    for atoms in molecules:
        cases.append(("noise 0.1 A", shaken(atoms, 0.1, rng), atoms))
        cases.append(("noise 0.05 A", shaken(atoms, 0.05, rng), atoms))
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--targets", help="targets instead of the built-in database's own")
    targets = parser.parse_args().targets
    common.one_core()
    cases = all_cases()
    results = relax([start for _, start, _ in cases], default_database(), targets=targets)
    counts: dict[str, Counter] = defaultdict(Counter)
    for (kind, _, good), result in zip(cases, results, strict=True):
        if result.failed:
            counts[kind]["failed"] += 1
            continue
        end = "wrong" if is_wrong(result.atoms, good) else "right"
        counts[kind][f"{end}, {'reliable' if result.reliable else 'doubted'}"] += 1
    columns = ("right, reliable", "right, doubted", "wrong, doubted", "wrong, reliable", "failed")
    print(f"| start | {' | '.join(columns)} |\n{'|---' * (1 + len(columns))}|")
    for kind, row in counts.items():
        print(f"| {kind} | {' | '.join(str(row[name]) for name in columns)} |")


if __name__ == "__main__":
    main()
