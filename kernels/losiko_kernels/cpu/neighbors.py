r"""Neighbours of some places in one structure, by a grid of bins.

Atoms are sorted into bins of equal width along each cell vector. A place sees the bins from
f - c to f + c along each vector, with f its fractional coordinate and c = cutoff / height of the
cell. Bins beyond the cell's ends are those of its images, so that cells smaller than the cutoff,
and skewed ones, need no case of their own. Along an open vector the bins span the atoms.
"""

from __future__ import annotations

import numpy as np

from losiko_kernels.cpu.lanes import compiled_apart

#: Share of the cutoff that a bin is wide: narrower bins hold fewer atoms that are out of reach.
BIN = 0.5
#: Widening of a range of bins, against rounding.
SPARE = 1e-9


def neighbors_within(
    places: np.ndarray, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atoms within ``cutoff`` (Angstrom) of places, in fixed order. Arrays are contiguous.

    Args:
        places: Cartesian coordinates of n places, shape (n, 3).
        positions: Cartesian coordinates of the atoms, shape (N, 3).
        cell: Cell vectors as rows, shape (3, 3), none of them missing.
        pbc: Periodic directions, shape (3,), bool.
        cutoff: Largest distance. An atom at a place is among the place's neighbours.

    Returns:
        Number of each place's first pair, and the count E, shape (n + 1,); the atom of each pair,
        shape (E,), and its vector from the place, shape (E, 3).
    """
    first, neighbor, vectors = find(places, positions, cell, pbc, float(cutoff))
    return first, neighbor[: first[-1]], vectors[: first[-1]]


@compiled_apart
def _inverse(cell, out):
    """Write the inverse of a cell: the fractional coordinates of r are r @ out."""
    for i in range(3):
        a, b = (i + 1) % 3, (i + 2) % 3
        for j in range(3):
            c, d = (j + 1) % 3, (j + 2) % 3
            out[j, i] = cell[a, c] * cell[b, d] - cell[a, d] * cell[b, c]
    volume = cell[0, 0] * out[0, 0] + cell[0, 1] * out[1, 0] + cell[0, 2] * out[2, 0]
    for i in range(3):
        for j in range(3):
            out[i, j] /= volume


@compiled_apart
def find(places, positions, cell, pbc, cutoff):
    """Return what ``neighbors_within`` does, with room to spare behind the pairs."""
    count, n = len(positions), len(places)
    inverse, reach = np.empty((3, 3)), np.empty(3)
    _inverse(cell, inverse)
    low, width, bins = np.zeros(3), np.ones(3), np.ones(3, np.int64)
    most = max(int(np.ceil((2.0 * count) ** (1 / 3))), 1)
    fractions = np.empty((count, 3))
    for axis in range(3):
        least, largest = np.inf, -np.inf
        for atom in range(count):
            x, y, z = positions[atom, 0], positions[atom, 1], positions[atom, 2]
            fraction = x * inverse[0, axis] + y * inverse[1, axis] + z * inverse[2, axis]
            fractions[atom, axis] = fraction
            least, largest = min(least, fraction), max(largest, fraction)
        # The inverse of a cell's height along a vector is the length of the column of the inverse.
        steep = np.sqrt(inverse[0, axis] ** 2 + inverse[1, axis] ** 2 + inverse[2, axis] ** 2)
        reach[axis] = cutoff * steep
        span = 1.0
        if not pbc[axis]:
            low[axis], span = least, largest - least
        wanted = span / (BIN * reach[axis])
        bins[axis] = max(min(int(min(wanted, 1e6)), most), 1)
        width[axis] = max(span / bins[axis], 1e-12)
    # Atoms by bins, as a list sorted by counting; ``turns`` are the cells that each was moved by.
    turns = np.zeros((count, 3), np.int64)
    of_atom = np.empty(count, np.int64)
    begin = np.zeros(bins[0] * bins[1] * bins[2] + 1, np.int64)
    for atom in range(count):
        number = 0
        for axis in range(3):
            x = fractions[atom, axis] - low[axis]
            if pbc[axis]:
                turns[atom, axis] = int(np.floor(x))
                x -= turns[atom, axis]
            number = number * bins[axis] + max(min(int(x / width[axis]), bins[axis] - 1), 0)
        of_atom[atom] = number
        begin[number + 1] += 1
    for number in range(len(begin) - 1):
        begin[number + 1] += begin[number]
    order, at = np.empty(count, np.int64), begin.copy()
    for atom in range(count):
        order[at[of_atom[atom]]] = atom
        at[of_atom[atom]] += 1

    first = np.zeros(n + 1, np.int64)
    room = max(32 * n, 64)
    neighbor, vectors = np.empty(room, np.int64), np.empty((room, 3))
    from_bin, to_bin = np.empty(3, np.int64), np.empty(3, np.int64)
    found, limit = 0, cutoff * cutoff
    for row in range(n):
        px, py, pz = places[row, 0], places[row, 1], places[row, 2]
        for axis in range(3):
            x = px * inverse[0, axis] + py * inverse[1, axis] + pz * inverse[2, axis] - low[axis]
            c = reach[axis] + SPARE * (1 + abs(x))
            from_bin[axis] = int(np.floor((x - c) / width[axis]))
            to_bin[axis] = int(np.floor((x + c) / width[axis]))
            if not pbc[axis]:
                # The last atom lies at the end of the last bin.
                from_bin[axis] = max(min(from_bin[axis], bins[axis] - 1), 0)
                to_bin[axis] = max(min(to_bin[axis], bins[axis] - 1), 0)
        for i in range(from_bin[0], to_bin[0] + 1):
            si = i // bins[0]
            for j in range(from_bin[1], to_bin[1] + 1):
                sj = j // bins[1]
                plane = ((i - si * bins[0]) * bins[1] + j - sj * bins[1]) * bins[2]
                for k in range(from_bin[2], to_bin[2] + 1):
                    sk = k // bins[2]
                    number = plane + k - sk * bins[2]
                    for entry in range(begin[number], begin[number + 1]):
                        atom = order[entry]
                        x, y, z = positions[atom, 0], positions[atom, 1], positions[atom, 2]
                        a, b, c = si - turns[atom, 0], sj - turns[atom, 1], sk - turns[atom, 2]
                        # An atom that is not moved keeps its digits: on a place it is at 0 exactly.
                        if a != 0 or b != 0 or c != 0:
                            x += a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0]
                            y += a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1]
                            z += a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2]
                        dx, dy, dz = x - px, y - py, z - pz
                        if dx * dx + dy * dy + dz * dz > limit:
                            continue
                        if found == room:
                            room *= 2
                            longer, farther = np.empty(room, np.int64), np.empty((room, 3))
                            for known in range(found):
                                longer[known] = neighbor[known]
                                for axis in range(3):
                                    farther[known, axis] = vectors[known, axis]
                            neighbor, vectors = longer, farther
                        neighbor[found] = atom
                        vectors[found, 0], vectors[found, 1], vectors[found, 2] = dx, dy, dz
                        found += 1
        first[row + 1] = found
    return first, neighbor, vectors
