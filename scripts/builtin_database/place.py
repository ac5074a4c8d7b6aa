"""Rigid molecules side by side: at random, hydrogen to acceptor, halogen to acceptor, stacked.

Starts of complexes. Where MMFF94 has parameters for all of a complex, that is relaxed by it, so
that GFN2-xTB begins near a minimum; halogen bonds are not, since MMFF94 knows no sigma hole.
"""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np
from ase.data import covalent_radii, vdw_radii
from candidate import with_hydrogens
from conformers import embed, fingerprint, is_duplicate
from rdkit import Chem
from rdkit.Chem import AllChem
from rdkit.Geometry import Point3D
from scipy.spatial.transform import Rotation

Part = tuple[np.ndarray, np.ndarray]  # atomic numbers and positions of one molecule

RADII = np.where(np.isnan(vdw_radii), 2.0, vdw_radii)
TOUCHING = 0.95  # nearest distance of molecules at random, in units of the sum of the radii
HYDROGEN_BOND, HALOGEN_BOND = 1.9, 0.85  # A; sum of the radii
STACKED = 3.5  # A between the planes of rings
TRIES = 12  # orientations of an aimed molecule, of which the least crowded is taken
ACCEPTORS = (7, 8, 9, 15, 16, 17, 35, 53)


@cache
def molecule(smiles: str, seed: int) -> Part | None:
    """One conformer, centred. None means that RDKit finds none."""
    found = embed(smiles, seed, 1)
    if not found:
        return None
    numbers, positions = found[0]
    return np.array(numbers), positions - positions.mean(axis=0)


def crowding(one: Part, other: Part) -> float:
    """Nearest distance between two molecules, in units of the sum of the van der Waals radii."""
    distance = np.linalg.norm(one[1][:, None] - other[1], axis=2)
    return float((distance / (RADII[one[0]][:, None] + RADII[other[0]])).min())


def turned(part: Part, rng: np.random.Generator) -> Part:
    """The molecule in a random orientation."""
    return part[0], Rotation.random(random_state=rng).apply(part[1])


def beside(part: Part, others: Part, rng: np.random.Generator) -> Part:
    """The molecule moved, in a random direction and orientation, until it touches the others."""
    numbers, positions = turned(part, rng)
    direction = Rotation.random(random_state=rng).apply([1.0, 0.0, 0.0])
    centre = others[1].mean(axis=0) + rng.normal(0, 0.5, 3)
    near, far = 0.0, 30.0
    for _ in range(20):
        middle = (near + far) / 2
        touching = crowding((numbers, positions + centre + middle * direction), others) < TOUCHING
        near, far = (middle, far) if touching else (near, middle)
    return numbers, positions + centre + far * direction


def bonded(part: Part, atom: int) -> np.ndarray:
    """Unit vectors from an atom to those it is bonded to."""
    numbers, positions = part
    away = positions - positions[atom]
    length = np.linalg.norm(away, axis=1)
    near = (length < 1.3 * (covalent_radii[numbers] + covalent_radii[numbers[atom]])) & (length > 0)
    return away[near] / length[near, None]


def donors(part: Part, element: str) -> list[int]:
    """Polar hydrogens ("H"), those on carbon too if there are no others, or halogens ("X")."""
    numbers, positions = part
    if element == "X":
        found = [k for k, z in enumerate(numbers) if z in (17, 35, 53)]
        return [k for k in found if numbers[k] == max(numbers[j] for j in found)]
    hydrogens = np.flatnonzero(numbers == 1)
    heavy = np.flatnonzero(numbers != 1)
    if not len(heavy) or not len(hydrogens):
        return []
    owner = heavy[
        np.linalg.norm(positions[hydrogens][:, None] - positions[heavy], axis=2).argmin(axis=1)
    ]
    polar = hydrogens[numbers[owner] != 6]
    return list(polar if len(polar) else hydrogens)


def acceptors(part: Part) -> list[int]:
    """Atoms with lone pairs to give; all heavy atoms where there are none."""
    numbers = part[0]
    heteroatoms = [
        k
        for k, z in enumerate(numbers)
        if z in ACCEPTORS and not (z == 7 and len(bonded(part, k)) > 3)
    ]
    # halogens on carbon accept badly where there is something better
    better = [k for k in heteroatoms if numbers[k] in (7, 8, 15, 16)]
    return better or heteroatoms or list(np.flatnonzero(numbers != 1)) or [0]


def aimed(donor: Part, acceptor: Part, element: str, rng: np.random.Generator) -> Part | None:
    """`acceptor` moved so that one of its lone pairs meets an H (or halogen) of `donor`."""
    given = donors(donor, element)
    if not given:
        return None
    best, least = None, 0.0
    for _ in range(TRIES):
        tip, atom = int(rng.choice(given)), int(rng.choice(acceptors(acceptor)))
        axis = -bonded(donor, tip).sum(axis=0)
        axis /= np.linalg.norm(axis) + 1e-9
        numbers, positions = turned(acceptor, rng)
        outward = -bonded((numbers, positions), atom).sum(axis=0)
        if np.linalg.norm(outward) > 0.3:
            tilt = Rotation.from_rotvec(rng.normal(0, 0.5, 3))
            turn = Rotation.align_vectors([-axis], [outward])[0]
            positions = (tilt * turn).apply(positions)
        elements = donor[0][tip], numbers[atom]
        length = HYDROGEN_BOND if element == "H" else HALOGEN_BOND * RADII[list(elements)].sum()
        if element == "H" and elements[1] in (15, 16, 17, 35, 53):
            length += 0.6
        placed = numbers, positions - positions[atom] + donor[1][tip] + length * axis
        free = crowding(placed, donor)
        if free > least:
            best, least = placed, free
    return best


def stacked(one: Part, other: Part, rng: np.random.Generator) -> Part:
    """`other` with its mean plane on that of `one`, shifted and spun at random."""
    frames = [np.linalg.svd(p - p.mean(axis=0))[2] for _, p in (one, other)]
    flat = (other[1] - other[1].mean(axis=0)) @ frames[1].T
    flat = Rotation.from_euler("z", rng.uniform(0, 2 * np.pi)).apply(flat)
    if rng.random() < 0.5:
        flat = flat * [1, -1, -1]
    shift = [*rng.normal(0, 0.9, 2), STACKED]
    return other[0], (flat + shift) @ frames[0] + one[1].mean(axis=0)


def force_field(smiles: str, positions: np.ndarray, steps: int) -> tuple[np.ndarray, float] | None:
    """Positions and energy after MMFF94, the molecules attracting each other. None without it."""
    mol = with_hydrogens(smiles)
    properties = AllChem.MMFFGetMoleculeProperties(mol)
    if properties is None:
        return None
    conformer = Chem.Conformer(mol.GetNumAtoms())
    for k, point in enumerate(positions):
        conformer.SetAtomPosition(k, Point3D(*map(float, point)))
    mol.AddConformer(conformer)
    field = AllChem.MMFFGetMoleculeForceField(mol, properties, ignoreInterfragInteractions=False)
    field.Initialize()
    field.Minimize(maxIts=steps)
    return mol.GetConformer().GetPositions(), field.CalcEnergy()


def in_order(smiles: str, parts: list[Part]) -> np.ndarray:
    """Positions of the fragments in the order of RDKit's molecule of the whole."""
    mol = with_hydrogens(smiles)
    whole = np.zeros((mol.GetNumAtoms(), 3))
    for indices, (numbers, positions) in zip(Chem.GetMolFrags(mol), parts, strict=True):
        assert [mol.GetAtomWithIdx(k).GetAtomicNum() for k in indices] == list(numbers)
        whole[list(indices)] = positions
    return whole


def assembled(parts: list[Part], way: str, rng: np.random.Generator) -> list[Part] | None:
    """The molecules of a complex placed, by a way: random, hydrogen, halogen or stacked."""
    first, second = turned(parts[0], rng), turned(parts[1], rng)
    if way == "hydrogen":
        # either may give the hydrogen
        swapped = bool(rng.random() < 0.5 and donors(second, "H")) or not donors(first, "H")
        one, other = (second, first) if swapped else (first, second)
        placed = aimed(one, other, "H", rng)
        if placed is None:
            return None
        pair = [placed, one] if swapped else [one, placed]
    elif way == "halogen":
        placed = aimed(first, second, "X", rng)
        if placed is None:
            return None
        pair = [first, placed]
    elif way == "stacked":
        pair = [first, stacked(first, second, rng)]
    else:
        pair = [first, beside(second, first, rng)]
    for part in parts[2:]:
        cluster = tuple(np.concatenate(arrays) for arrays in zip(*pair, strict=True))
        pair.append(beside(part, cluster, rng))
    return pair


def starts(smiles: str, ways: list[str], count: int, seed: int) -> list[np.ndarray]:
    """Up to `count` distinct starts of a complex: those of the lowest force-field energy.

    Without a force field, the first of the ways that leaves the molecules room.
    """
    parts = [molecule(part, seed) for part in smiles.split(".")]
    if any(part is None for part in parts):
        return []
    rng = np.random.default_rng(zlib.crc32(f"{smiles} {ways} {seed}".encode()))
    found: list[tuple[float, np.ndarray]] = []
    for k, way in enumerate(ways):
        placed = assembled([p for p in parts if p is not None], way, rng)
        if placed is None:
            continue
        whole = in_order(smiles, placed)
        relaxed = None if way == "halogen" else force_field(smiles, whole, 300)
        found.append(
            (float(k) if relaxed is None else relaxed[1], whole if relaxed is None else relaxed[0])
        )
    numbers = np.array([atom.GetAtomicNum() for atom in with_hydrogens(smiles).GetAtoms()])
    kept: list[np.ndarray] = []
    prints: list[np.ndarray] = []
    for _, positions in sorted(found, key=lambda pair: pair[0]):
        own = fingerprint(numbers, positions)
        if len(kept) < count and not is_duplicate(own, prints, 0.15):
            kept.append(positions)
            prints.append(own)
    return kept
