"""Fixed fractional coordinates (``FixScaled``) as fixed Cartesian ones, where the cell allows it.

POSCAR files fix coordinates along the cell vectors. An atom that may move along some of them moves
in their span. If this is that of Cartesian axes, as in an orthogonal cell, or along c of a
hexagonal one, these axes are free and the others fixed.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian, FixScaled

#: Largest difference of a projection from 0 or 1 that is rounding.
ROUNDED = 1e-6


def fixed_axes(mask: np.ndarray, cell: np.ndarray) -> np.ndarray | None:
    """Return which Cartesian coordinates are fixed, shape (3,); None if the cell does not allow it.

    Args:
        mask: True for the fixed fractional coordinates, shape (3,).
        cell: Cell vectors in Angstrom, rows of a (3, 3) array.
    """
    if mask.all() or not mask.any():
        return mask.copy()
    free = cell[~mask]
    projection = np.linalg.pinv(free) @ free
    axes = np.diag(projection) > 0.5
    if axes.sum() != len(free) or np.abs(projection - np.diag(axes)).max() > ROUNDED:
        return None
    return ~axes


def in_cartesian(atoms: Atoms) -> list:
    """Return the constraints of a structure, ``FixScaled`` as Cartesian ones where possible."""
    found = []
    for each in atoms.constraints:
        if isinstance(each, FixScaled):
            axes = fixed_axes(np.asarray(each.mask), atoms.cell.array)
            if axes is not None:
                each = FixAtoms(each.index) if axes.all() else FixCartesian(each.index, axes)
        found.append(each)
    return found
