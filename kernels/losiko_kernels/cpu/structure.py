"""Neighbours and density around places in one structure, in one call.

A molecule takes microseconds: most of the time would otherwise pass between calls.
"""

from __future__ import annotations

import numpy as np
import torch

from losiko_kernels.cpu.density import numbers_of, sum_pairs, write_center
from losiko_kernels.cpu.harmonics import BLOCK
from losiko_kernels.cpu.lanes import compiled
from losiko_kernels.cpu.neighbors import find
from losiko_kernels.cpu.threads import run
from losiko_kernels.radial_table import RadialTable

#: Volume (cubic Angstrom) of cells that are looked at more closely.
SMALLEST_CELL = 0.1


def density_around(
    places: np.ndarray,
    positions: np.ndarray,
    element: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    cutoff: float,
    n_elements: int,
    table: RadialTable,
    threads: int | None = None,
) -> np.ndarray:
    """Coefficients of the density of atoms, of weight 1, around n places; all in float64.

    Args:
        places, positions, cell, pbc, cutoff: Arguments of ``neighbors_within``, contiguous.
        element: Number of each atom's element, shape (N,).
        n_elements, table, threads: Arguments of ``expand_density``.

    Returns:
        Coefficients (n, (l_max + 1)^2, n_elements * n_max).
    """
    out = np.empty((len(places), (table.l_max + 1) ** 2, n_elements * table.n_max))
    given = (places, positions, element, cell, pbc, cutoff, n_elements)
    run(_expand, len(places), *given, *numbers_of(table, torch.float64), out, threads=threads)
    return out


def is_plausible(
    positions: np.ndarray,
    numbers: np.ndarray,
    known: np.ndarray,
    given: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    farthest: float,
    nearest: float,
) -> bool:
    """Return whether atoms can be described: False asks for a closer look.

    Args:
        positions, cell, pbc: Arguments of ``neighbors_within``, contiguous.
        numbers: Atomic numbers, shape (N,).
        known: Number of each atomic number's element, negative for those that are not known.
        given: Cell vectors as they were given, shape (3, 3).
        farthest: Largest absolute value of a coordinate, Angstrom.
        nearest: Distance that two atoms must keep, Angstrom, also from images.
    """
    arguments = (positions, numbers, known, given, cell, pbc, farthest, nearest)
    return len(positions) > 0 and _is_plausible(*arguments)


@compiled
def _is_plausible(positions, numbers, known, given, cell, pbc, farthest, nearest):
    # Comparisons are written so that NaN fails.
    for atom in range(len(positions)):
        number = numbers[atom]
        if number < 1 or number >= len(known) or known[number] < 0:
            return False
        for axis in range(3):
            if not abs(positions[atom, axis]) <= farthest:
                return False
    for axis in range(3):
        square = 0.0
        for other in range(3):
            if not abs(given[axis, other]) <= farthest:
                return False
            square += given[axis, other] ** 2
        if pbc[axis] and not square > nearest**2:
            return False
    volume = 0.0
    for axis in range(3):
        j, k = (axis + 1) % 3, (axis + 2) % 3
        volume += cell[0, axis] * (cell[1, j] * cell[2, k] - cell[1, k] * cell[2, j])
    if not abs(volume) > SMALLEST_CELL:
        return False
    first, _, _ = find(positions, positions, cell, pbc, nearest)
    return first[-1] == len(positions)


@compiled
def _expand(
    start, stop, places, positions, element_of, cell, pbc, cutoff, n_elements, table, intervals,
    degrees, n_pad, inverse_width, inverse_scale, n_max, steps, out,
):  # fmt: skip
    rows, size = degrees * degrees, degrees * n_pad
    place, weights = np.zeros(3 * BLOCK), np.empty(0)
    harmonics, radial, no_slopes = np.empty(rows * BLOCK), np.empty(size), np.empty(0)
    summed = np.empty(n_elements * rows * n_pad)
    first, neighbor, vectors = find(places[start:stop], positions, cell, pbc, cutoff)
    element = np.empty(first[-1], np.int64)
    for pair in range(len(element)):
        element[pair] = element_of[neighbor[pair]]
    for row in range(stop - start):
        sum_pairs(
            first[row], first[row + 1], vectors, weights, element, table, intervals, degrees,
            n_pad, inverse_width, inverse_scale, steps, place, harmonics, radial, no_slopes, summed,
        )  # fmt: skip
        write_center(summed, n_elements, n_max, n_pad, out[start + row])
