"""Arguments of DScribe's calls (structures, centers, atoms to differentiate by), forms of results.

Whatever computes features and derivatives takes these.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from losiko_torch.errors import InputError


def as_lists(
    system: Atoms | Sequence[Atoms], centers: Sequence | None
) -> tuple[list[Atoms], Sequence]:
    """Structures as a list, and the centers of each, None for every atom."""
    if isinstance(system, Atoms):
        return [system], [centers]
    structures = list(system)
    return structures, [None] * len(structures) if centers is None else centers


def centers_of(
    number: int, atoms: Atoms, centers: Sequence | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the atom of each center, -1 for a free one, shape (n,), and their places (n, 3)."""
    if centers is None:
        return np.arange(len(atoms)), atoms.positions
    if not isinstance(centers, (Sequence, np.ndarray)) or len(centers) == 0:
        raise InputError(f"structure {number}: its centers must be a list that is not empty")
    own = np.full(len(centers), -1)
    places = np.empty((len(centers), 3))
    for row, center in enumerate(centers):
        if isinstance(center, (int, np.integer)):
            if not -len(atoms) <= center < len(atoms):
                raise InputError(f"structure {number} has no atom {center}")
            own[row], places[row] = center % len(atoms), atoms.positions[center]
            continue
        position = _position(center)
        if position is None:
            raise InputError(
                f"structure {number}: a center is an atom's index or x, y, z in Angstrom"
            )
        places[row] = position
    return own, places


def _position(center: Any) -> np.ndarray | None:
    """Cartesian coordinates (3,). None if ``center`` is anything else."""
    try:
        position = np.asarray(center, dtype=float)
    except (TypeError, ValueError):
        return None
    return position if position.shape == (3,) and np.isfinite(position).all() else None


def for_each(indices: Sequence | None, count: int, single: bool) -> Sequence:
    """A list of indices for each structure; a flat list serves all structures."""
    if indices is None:
        return [None] * count
    flat = all(isinstance(index, (int, np.integer)) for index in indices)
    return [indices] * count if single or flat else indices


def chosen_atoms(
    n_atoms: int, include: Sequence[int] | None, exclude: Sequence[int] | None
) -> np.ndarray:
    """Return the indices of the atoms that ``include`` and ``exclude`` leave."""
    if include is not None and exclude is not None:
        raise InputError("give include or exclude, not both")
    given = exclude if include is None else include
    named = np.array([] if given is None else given, dtype=int)
    if ((named < 0) | (named >= n_atoms)).any():
        raise InputError(f"include and exclude are indices from 0 to {n_atoms - 1}")
    chosen = named if include is not None else np.setdiff1d(np.arange(n_atoms), named)
    # A structure without atoms has an error of its own.
    if len(chosen) == 0 and n_atoms > 0:
        raise InputError("no atom is left to differentiate by")
    return chosen


def stack_if_alike(arrays: list) -> Any:
    """Return arrays of one shape as one array, others as they are."""
    if any(array.shape != arrays[0].shape for array in arrays):
        return arrays
    if isinstance(arrays[0], np.ndarray):
        return np.stack(arrays)
    return sparse_package().stack(arrays)


def sparse_package() -> Any:
    """Return the package ``sparse``."""
    try:
        return importlib.import_module("sparse")
    except ImportError:
        raise InputError("sparse=True needs the package sparse: pip install sparse") from None
