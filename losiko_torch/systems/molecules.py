"""Molecules by the thousand: ``ase.Atoms`` made and copied at a tenth of ASE's own cost.

ASE's constructor looks at its arguments in many ways, and its copies go through it. Where there are
only elements and positions nothing is left to look at: such a molecule takes over the attributes
of an empty one that ASE has made.

>>> made = molecule(np.array([8, 1, 1]), np.zeros((3, 3)), {"name": "water"})
>>> bool(made == Atoms("OHH", np.zeros((3, 3)))), made.info
(True, {'name': 'water'})
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache, partial
from typing import Any

import numpy as np
from ase import Atoms
from ase.cell import Cell


def molecule(numbers: np.ndarray, positions: np.ndarray, info: dict[str, Any]) -> Atoms:
    """Return a structure without cell that has these very arrays, and this dictionary.

    Args:
        numbers: Atomic numbers, shape (n,), int.
        positions: Positions in Angstrom, shape (n, 3), float.
        info: Further facts.
    """
    made = Atoms.__new__(Atoms)
    own = made.__dict__
    own.update(_simple())
    for name, make in _fresh():
        own[name] = make()
    own["arrays"] = {"numbers": numbers, "positions": positions}
    own["info"] = info
    return made


def is_plain(atoms: Any) -> bool:
    """Return whether a structure is a molecule that has elements, positions and ``info`` alone."""
    return (
        type(atoms) is Atoms
        and len(atoms.arrays) == 2
        and not atoms.constraints
        and not _has_cell(atoms)
    )


def copy_of(atoms: Atoms, positions: np.ndarray | None = None) -> Atoms:
    """Return a copy as ``Atoms.copy`` makes it, with these very positions if they are given."""
    if not is_plain(atoms):
        copied = atoms.copy()
        if positions is not None:
            copied.set_positions(positions, apply_constraint=False)
        return copied
    if positions is None:
        positions = atoms.arrays["positions"].copy()
    return molecule(atoms.arrays["numbers"].copy(), positions, dict(atoms.info))


def _has_cell(atoms: Atoms) -> bool:
    """Return whether a structure has a cell, or was told where that begins."""
    cell, pbc = atoms.cell.array, atoms.pbc
    # Bytes are compared at a fraction of the cost of numbers. Minus zero counts as a cell.
    return (
        cell.tobytes() != _NONE
        or pbc.tobytes() != _OPEN
        or atoms.get_celldisp().tobytes() != _NONE[:24]
    )


_NONE, _OPEN = np.zeros((3, 3)).tobytes(), np.zeros(3, bool).tobytes()


@cache
def _empty() -> dict[str, Any]:
    return dict(Atoms().__dict__)


@cache
def _simple() -> dict[str, Any]:
    """Attributes that all molecules may share."""
    shared = (type(None), bool, int, float, str, tuple)
    return {name: value for name, value in _empty().items() if isinstance(value, shared)}


@cache
def _fresh() -> list[tuple[str, Any]]:
    """Functions that make the attributes which a molecule needs for itself."""
    return [
        (name, _maker(value))
        for name, value in _empty().items()
        if name not in _simple() and name not in ("arrays", "info")
    ]


def _maker(value: Any) -> Any:
    if isinstance(value, Cell):
        array = value.array
        return lambda: Cell(array.copy())
    if isinstance(value, (np.ndarray, list, dict)):
        return value.copy
    return partial(deepcopy, value)
