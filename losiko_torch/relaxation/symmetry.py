r"""Symmetrizing crystals: made as symmetric as they nearly are.

Relaxation by similarity leaves a crystal's equivalent atoms with slightly different surroundings,
as it started with. spglib finds the operations {R|t} that map the structure onto itself within a
tolerance; positions and metric are replaced by their means over all operations,

    x_j <- x_j + mean over ops of (R x_i + t - x_j),    G <- mean over ops of R^T G R,

with i the atom that the operation brings to j, x fractional coordinates and G = C C^T the metric of
the cell C. The new cell is C S with a symmetric stretch S, so that nothing turns. Averaging over
the operations found serves a large tolerance better than refining to spglib's standardised cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import spglib
from ase import Atoms


def symmetrized(atoms: Atoms, symprec: float) -> Atoms | None:
    """Return a copy with its symmetry within ``symprec`` (Angstrom), spglib's tolerance.

    None where there is none, or where spglib cannot tell. For structures periodic in three
    directions.
    """
    x, cell = atoms.get_scaled_positions(wrap=False), atoms.cell.array
    operations = _operations(atoms, x, symprec)
    shifts, metrics = [], []
    for rotation, translation in operations:
        shift = _shift(atoms.numbers, x, x @ rotation.T + translation, cell)
        if shift is not None:
            shifts.append(shift)
            metrics.append(rotation.T @ (cell @ cell.T) @ rotation)
    if len(shifts) < 2:
        return None
    inverse = np.linalg.inv(cell)
    stretch = scipy.linalg.sqrtm(inverse @ np.mean(metrics, axis=0) @ inverse.T).real
    copy = atoms.copy()
    copy.set_constraint()
    copy.set_cell(cell @ (stretch + stretch.T) / 2)
    copy.set_positions((x + np.mean(shifts, axis=0)) @ copy.cell.array)
    copy.set_constraint(atoms.constraints)
    return copy


def _operations(atoms: Atoms, x: np.ndarray, symprec: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return rotations and translations in fractional coordinates; none where spglib fails."""
    structure: Any = (atoms.cell.array, x, atoms.numbers)
    try:
        found = spglib.get_symmetry_dataset(structure, symprec=symprec)
    except Exception:  # spglib's own kinds, which differ between its versions
        return []
    return [] if found is None else list(zip(found.rotations, found.translations, strict=True))


def _shift(
    numbers: np.ndarray, x: np.ndarray, images: np.ndarray, cell: np.ndarray
) -> np.ndarray | None:
    """Return vectors (n, 3) from the atoms to their images under an operation, without drift.

    None if the images do not meet the atoms one by one.
    """
    apart = images[:, None] - x[None]
    apart -= np.round(apart)
    distance = np.linalg.norm(apart @ cell, axis=2)
    distance[numbers[:, None] != numbers[None]] = np.inf
    met = distance.argmin(1)
    if len(set(met.tolist())) < len(x):
        return None
    shift = np.empty_like(x)
    shift[met] = apart[np.arange(len(x)), met]
    # The operation's translation is only as good as the tolerance: fit it.
    return shift - shift.mean(axis=0)
