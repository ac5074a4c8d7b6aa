"""Losses to a format that cannot hold everything, told once for a whole file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from ase import Atoms

#: Takes the names of what was left out of a structure.
Tell = Callable[[Iterable[str]], None]


@contextmanager
def left_out(name: str) -> Iterator[Tell]:
    """Yield a function that takes what is left out, and warn of all of it at the end.

    Args:
        name: Name of the format.
    """
    lost: dict[str, None] = {}
    yield lambda names: lost.update(dict.fromkeys(names))
    if lost:
        warnings.warn(f"left out, as {name} cannot hold it: {', '.join(lost)}", stacklevel=3)


def beside_geometry(atoms: Atoms) -> Iterator[str]:
    """Name what a structure has beside elements, positions, cell and constraints."""
    yield from (f"info {key!r}" for key in atoms.info)
    yield from (f"array {key!r}" for key in atoms.arrays if key not in ("numbers", "positions"))


def bare(atoms: Atoms, tell: Tell) -> Atoms:
    """Return elements, positions and cell, periodic in all directions if in any."""
    found = Atoms(atoms.numbers, atoms.positions)
    if atoms.pbc.any():
        found.set_cell(atoms.cell)
        found.pbc = True
        if not atoms.pbc.all():
            tell(["that a direction is not periodic"])
    return found


def check_geometry(atoms: Atoms) -> None:
    """Raise ``ValueError`` for a structure that no file of bare geometries can hold."""
    if not len(atoms):
        raise ValueError("it has no atoms")
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise ValueError("it has coordinates that are no numbers")


def one_line(source: str, reason: str) -> str:
    """Return origin and outcome of a structure, for a comment."""
    text = " ".join(f"{source} {reason}".split())
    return text.encode("ascii", "backslashreplace").decode()[:200]
