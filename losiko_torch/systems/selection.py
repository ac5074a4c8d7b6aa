"""Selections of the atoms that may move: masks, or by distance from atoms or from a plane.

All distances here are interatomic distances, or distances from a plane, in Angstrom.

>>> from ase.build import molecule
>>> near_oxygen = within(1.2, of="O")
>>> near_oxygen(molecule("CH3OH")).tolist()
[False, True, False, True, False, False]
>>> selection("within 1.2 of O")(molecule("CH3OH")).tolist()
[False, True, False, True, False, False]
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.geometry import get_distances

from losiko_torch.errors import InputError, StructureError, first_line

#: Function from a structure to a mask of the atoms that may move, (n,), or coordinates, (n, 3).
Selection = Callable[[Atoms], np.ndarray]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def every_atom(atoms: Atoms) -> np.ndarray:
    """Select all atoms."""
    return np.ones(len(atoms), dtype=bool)


def within(distance: float, of: int | str | Sequence[int | str]) -> Selection:
    """Select atoms within ``distance`` (Angstrom) of some atoms or their images, and these too.

    Args:
        distance: Largest interatomic distance in Angstrom.
        of: Indices of atoms, elements as symbols, or both.

    Raises:
        InputError: For a distance that is not positive, or an unknown element.

    The selection raises ``StructureError`` for a structure that has none of these atoms.
    """
    distance = _positive(distance)
    named = [of] if isinstance(of, (int, str, np.integer)) else _listed(of)
    for name in named:
        known = name in atomic_numbers if isinstance(name, str) else _is_index(name)
        if not known:
            raise InputError(f"'{name}' names no atoms and no element")
    if not named:
        raise InputError("atoms within a distance of nothing are none: name atoms or elements")
    what = ", ".join(map(str, named))

    def select(atoms: Atoms) -> np.ndarray:
        marked = np.zeros(len(atoms), dtype=bool)
        for name in named:
            if isinstance(name, str):
                marked |= atoms.numbers == atomic_numbers[name]
            elif -len(atoms) <= name < len(atoms):
                marked[name] = True
            else:
                raise StructureError(
                    f"the atoms that may move are those near atom {name}, which it does not have"
                )
        if not marked.any():
            raise StructureError(f"the atoms that may move are those near {what}, and it has none")
        apart = get_distances(
            atoms.positions[marked], atoms.positions, cell=atoms.cell, pbc=atoms.pbc
        )[1]
        return apart.min(axis=0) <= distance

    return select


def near_plane(distance: float, axis: str, at: float) -> Selection:
    """Select atoms within ``distance`` (Angstrom) of a plane or its images.

    Args:
        distance: Largest distance along the plane's normal, in Angstrom.
        axis: "x", "y" or "z" for a plane normal to this axis; "a", "b" or "c" for a plane parallel
            to the other two cell vectors.
        at: Position on the axis at which the plane crosses it, in Angstrom, or as a fraction of the
            cell vector.

    Raises:
        InputError: For a distance that is not positive, or another axis.

    The selection raises ``StructureError`` for a structure without atoms there.
    """
    distance = _positive(distance)
    if axis not in ("x", "y", "z", "a", "b", "c"):
        raise InputError(f"axis '{axis}' is none of x, y, z, a, b, c")
    if not math.isfinite(at):
        raise InputError(f"a plane crosses its axis at a finite number, not {at}")

    def select(atoms: Atoms) -> np.ndarray:
        if axis in "abc":
            apart = _from_lattice_plane(atoms, "abc".index(axis), at)
        else:
            apart = _from_cartesian_plane(atoms, "xyz".index(axis), at)
        near = np.abs(apart) <= distance
        if not near.any():
            raise StructureError(
                f"no atom lies within {distance:g} A of {axis}={at:g}: nothing may move"
            )
        return near

    return select


def _from_lattice_plane(atoms: Atoms, k: int, at: float) -> np.ndarray:
    """Signed distances (n,), in Angstrom, from the nearest image of a lattice plane."""
    if atoms.cell.rank < 3:
        raise StructureError(f"it has no cell to find the plane {'abc'[k]}={at:g} in")
    reciprocal = np.linalg.inv(atoms.cell.array)[:, k]
    apart = atoms.positions @ reciprocal - at
    if atoms.pbc[k]:
        apart = apart - np.round(apart)
    return apart / np.linalg.norm(reciprocal)


def _from_cartesian_plane(atoms: Atoms, k: int, at: float) -> np.ndarray:
    """Signed distances (n,), in Angstrom, from the nearest image of a plane normal to an axis."""
    apart = atoms.positions[:, k] - at
    periods = np.abs(atoms.cell.array[atoms.pbc, k])
    periods = periods[periods > 1e-8]
    if len(periods) > 1:
        raise StructureError(
            f"its cell is skewed, so that the plane {'xyz'[k]}={at:g} has images all over it: name "
            "a plane of the cell, such as c=0.5"
        )
    return apart - periods[0] * np.round(apart / periods[0]) if len(periods) else apart


def selection(text: str) -> Selection:
    """Parse a selection.

    The text is ``within 5 of 0,4,7``, ``within 5 of Li``, ``within 5 of z=12.5``, ``within 5 of
    c=0.5`` (Angstrom), or the name of an array of the structures that is a mask of their atoms.

    Raises:
        InputError: For text of another form.
    """
    match = re.fullmatch(rf"\s*within\s+({_NUMBER})\s*A?\s+of\s+(\S.*?)\s*", text)
    if match is None:
        if not text.isidentifier():
            raise InputError(
                f"selection '{text}' is not of the form 'within 5 of WHAT', with WHAT atoms "
                "(0,4,7), elements (Li,O) or a plane (z=12.5, c=0.5), and no name of an array"
            )
        return _array(text)
    distance, what = float(match[1]), match[2]
    plane = re.fullmatch(rf"([xyzabc])\s*=\s*({_NUMBER})", what)
    if plane is not None:
        return near_plane(distance, plane[1], float(plane[2]))
    names = what.replace(",", " ").split()
    return within(distance, [int(name) if re.fullmatch(r"-?\d+", name) else name for name in names])


def all_move(number: int) -> Selection:
    """Return the selection of all atoms, for a structure of any number."""
    return every_atom


def selections(movable: Any, structures: Any) -> Callable[[int], Selection]:
    """Function from a structure's number to its selection, for ``movable`` of ``relax``.

    Args:
        movable: Selection or its text, a mask that serves every structure, or a list of masks
            (arrays), one for each structure. None means that all atoms may move.
        structures: Input of ``relax``.

    Raises:
        InputError: For more masks than structures, if the structures can be counted.
    """
    if movable is None:
        return all_move
    if callable(movable):
        return lambda number: movable
    if isinstance(movable, str):
        selected = selection(movable)
        return lambda number: selected
    if isinstance(movable, (list, tuple)) and any(isinstance(m, np.ndarray) for m in movable):
        masks = movable
        if isinstance(structures, (list, tuple)) and len(masks) > len(structures):
            raise InputError(
                f"{len(masks)} masks of movable atoms for {len(structures)} structures"
            )

        def own(number: int, atoms: Atoms) -> np.ndarray:
            if number >= len(masks):
                raise StructureError(
                    f"there are masks of movable atoms for {len(masks)} structures only"
                )
            return masks[number]

        return lambda number: partial(own, number)
    return lambda number: lambda atoms: movable


def selected_coordinates(atoms: Atoms, select: Selection) -> np.ndarray:
    """Mask of the coordinates that may change, shape (n, 3).

    Raises:
        StructureError: If the selection fails, or gives no mask of this structure's atoms.
    """
    try:
        selected = select(atoms)
    except StructureError:
        raise
    except Exception as error:  # a user's function may raise anything
        raise StructureError(
            f"its selection of movable atoms fails ({first_line(error)})"
        ) from error
    try:
        mask = np.asarray(selected)
    except ValueError:  # rows of different lengths
        mask = np.empty(0, dtype=object)
    yes = mask == 1
    if mask.dtype.kind not in "biuf" or not (yes | (mask == 0)).all():
        raise StructureError("its mask of movable atoms is no array of true and false (or 1 and 0)")
    if mask.shape == (len(atoms),):
        return np.repeat(yes[:, None], 3, axis=1)
    if mask.shape == (len(atoms), 3):
        return yes
    shape = " x ".join(map(str, mask.shape)) or "no list of"
    raise StructureError(f"its mask of movable atoms has {shape} entries for {len(atoms)} atoms")


def _array(name: str) -> Selection:
    def select(atoms: Atoms) -> np.ndarray:
        if name not in atoms.arrays:
            raise StructureError(f"it has no array '{name}' of movable atoms")
        return atoms.arrays[name]

    return select


def _listed(of: Any) -> list:
    try:
        return list(of)
    except TypeError:
        return [of]


def _is_index(name: Any) -> bool:
    return isinstance(name, (int, np.integer)) and not isinstance(name, bool)


def _positive(distance: float) -> float:
    if not isinstance(distance, Real) or not distance > 0:
        raise InputError(f"a distance within which atoms move must be positive, not {distance}")
    return distance
