"""The loss as one atom moves through the plane of the others, and its minima there.

Lengths in Angstrom.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms
from scipy.ndimage import minimum_filter

from losiko_torch import EnvironmentDatabase, Result, relax, score

#: Options of the relaxations to minima: where the loss is flat, a larger fmax would end some
#: hundredths of an Angstrom away.
MINIMUM = {"targets": "nearest", "dtype": "float64", "fmax": 1e-5}


class Surface(NamedTuple):
    """The loss as one atom moves through the plane of the others.

    Attributes:
        fixed: The structure; the moving atom's position in it is not used.
        moving: Index of the moving atom.
        x, y: Coordinates of its positions, Angstrom.
        loss: Shape (len(y), len(x)); NaN where atoms lie within 0.1 A of each other.
    """

    fixed: Atoms
    moving: int
    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray


def placed(fixed: Atoms, moving: int, x: float, y: float) -> Atoms:
    """Copy with the atom ``moving`` at a position in the plane z = 0."""
    atoms = fixed.copy()
    atoms.positions[moving] = x, y, 0
    return atoms


def surface(
    database: EnvironmentDatabase, fixed: Atoms, moving: int, half: float, points: int
) -> Surface:
    """Map the loss on a square grid from -half to half (Angstrom), ``points`` an edge."""
    x = y = np.linspace(-half, half, points)
    grid = [placed(fixed, moving, *place) for place in _places(x, y)]
    scores = score(grid, database, targets="nearest", dtype="float64")
    losses = np.reshape([each.loss for each in scores], (points, points))
    return Surface(fixed, moving, x, y, losses)


def minima(database: EnvironmentDatabase, of: Surface) -> list[Result]:
    """Relax the minima of a surface's grid within the plane; return them once, lowest first."""
    loss = np.nan_to_num(of.loss, nan=np.inf)
    lowest = np.isfinite(loss) & (loss == minimum_filter(loss, size=3))
    lowest[[0, -1]] = lowest[:, [0, -1]] = False
    places = [place for place, low in zip(_places(of.x, of.y), lowest.flat, strict=True) if low]
    starts = [placed(of.fixed, of.moving, *place) for place in places]
    movable = np.zeros((3, 3), dtype=bool)
    movable[of.moving, :2] = True
    found: list[Result] = []
    for result in sorted(relax(starts, database, movable=movable, **MINIMUM), key=_loss):
        here = result.atoms.positions[of.moving]
        others = [each.atoms.positions[of.moving] for each in found]
        if all(np.linalg.norm(here - other) > 0.05 for other in others):
            found.append(result)
    return found


def _places(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    return [(across, up) for up in y for across in x]


def _loss(result: Result) -> float:
    return result.loss
