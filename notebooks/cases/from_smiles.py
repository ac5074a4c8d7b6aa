"""Drug-like molecules from SMILES to a geometry, and how far each way ends from GFN2-xTB's minimum.

The molecules are among those that the built-in database leaves out (``cases.unseen``). Wherever a
way ends, GFN2-xTB goes on to the minimum near by: what it gains and changes are the errors.
Lengths in Angstrom, angles in degrees, energies in eV.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.neighborlist import natural_cutoffs, neighbor_list

from cases import unseen
from cases.energies import xtb_energy, xtb_relaxed
from losiko_torch.database.builtin import builtin_structures
from losiko_torch.systems.geometry import bond_errors, rmsd

#: Molecules of the notebook, by their name in ``cases.unseen``.
NAMES = (
    "melatonin",
    "sulfamethoxazole",
    "lamotrigine",
    "ketamine",
    "efavirenz",
    "zidovudine",
)
SMILES = {name: unseen.NAMED["drugs"][name] for name in NAMES}
#: A drug with selenium, which the built-in database does not know.
EBSELEN = "O=c1c2ccccc2[se]n1-c1ccccc1"
#: Seed of the drawings, and the force (eV/A) at which GFN2-xTB has reached its minimum.
SEED, FMAX = 11, 0.02


class Errors(NamedTuple):
    """Errors of a geometry, against the GFN2-xTB minimum near by.

    Attributes:
        above: Energy above that minimum. minimum: Energy of the minimum itself.
        bonds, angles: Mean error of bond lengths and of bond angles.
        rmsd: RMSD after superposition.
    """

    above: float
    minimum: float
    bonds: float
    angles: float
    rmsd: float


def known_molecules() -> set[str]:
    """SMILES, without stereochemistry, of all that the built-in database holds, parts too."""
    parts = (atoms.info["smiles"].split(".") for atoms in builtin_structures())
    return {unseen.plain(part) for some in parts for part in some}


def triples(atoms: Atoms) -> np.ndarray:
    """Bond angles as indices (n, 3), the atom of the vertex in the middle."""
    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=1.15))
    found = []
    for k in range(len(atoms)):
        near = second[first == k]
        found += [(a, k, b) for a in near for b in near if a < b]
    return np.array(found, dtype=int).reshape(-1, 3)


def angle_errors(atoms: Atoms, truth: Atoms) -> np.ndarray:
    """Absolute errors of the angles between the bonds that ``truth`` has."""
    indices = triples(truth)
    if not len(indices):
        return np.zeros(0)
    return np.abs(atoms.get_angles(indices) - truth.get_angles(indices))


def minima(ends: Sequence[Atoms]) -> list[Atoms | None]:
    """Minima of GFN2-xTB near by; None where it does not come to one."""
    found = xtb_relaxed(list(ends), fmax=FMAX)
    return [each.atoms if each.converged else None for each in found]


def errors(ends: Sequence[Atoms], near: Sequence[Atoms | None]) -> list[Errors | None]:
    """Errors of geometries against the minima near by; None where there is none."""
    found: list[Errors | None] = []
    for atoms, minimum in zip(ends, near, strict=True):
        if minimum is None:
            found.append(None)
            continue
        lowest = xtb_energy(minimum)
        found.append(
            Errors(
                xtb_energy(atoms) - lowest,
                lowest,
                float(bond_errors(atoms, minimum).mean()),
                float(angle_errors(atoms, minimum).mean()),
                rmsd(atoms, minimum),
            )
        )
    return found


def mean(found: Sequence[Errors | None], of: Callable[[Errors], float]) -> float:
    """Mean of one of the errors over all that have them."""
    return float(np.mean([of(each) for each in found if each is not None]))
