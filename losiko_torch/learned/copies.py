"""Perturbed copies of good structures, as starts of relaxations are perturbed.

Atoms are shaken, a little or much. Parts of molecules beyond a bond are turned about it, bent or
pulled away; cells are strained. Nothing but the geometry is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from ase import Atoms
from ase.data import covalent_radii

from losiko_torch.systems.batch import Batch, regular_cell

#: Standard deviation (Angstrom) of the noise on coordinates, from and to.
LEAST, MOST = 0.01, 0.3
#: Share of the molecules that have parts moved, and standard deviations of the moves: turned about
#: the bond and bent (radians), pulled (Angstrom).
MOVED, TURN, BEND, PULL = 0.4, 0.35, 0.1, 0.05
#: Share of the pulls that are long, and how far (Angstrom).
LONG, LONGEST = 0.1, 0.8
#: Standard deviation of strains, from and to.
LEAST_STRAIN, MOST_STRAIN = 0.002, 0.04
#: Two atoms are bonded within this many times the sum of their covalent radii.
BONDED = 1.25
#: Atoms of a structure above which its bonds are not looked for.
MANY_ATOMS = 200


@dataclass(frozen=True, eq=False)
class Geometry:
    """Good structure: numbers (n,), positions (n, 3), cell (3, 3), pbc (3,), weights (n,)."""

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, atoms: Atoms, weights: np.ndarray | None = None) -> Geometry:
        """Return the geometry of a structure; its atoms weigh 1 where no weights are given."""
        own = np.ones(len(atoms)) if weights is None else weights
        return cls(atoms.numbers, atoms.get_positions(), regular_cell(atoms), atoms.pbc, own)

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def hinges(self) -> list[tuple[int, int, np.ndarray]]:
        """Bonds (a, b) that hold two parts together, with the atoms on b's side, b among them."""
        n = len(self)
        if n < 3 or n > MANY_ATOMS or self.pbc.any():
            return []
        radii = covalent_radii[self.numbers]
        apart = np.linalg.norm(self.positions[:, None] - self.positions[None], axis=2)
        bonded = (apart < BONDED * (radii[:, None] + radii[None])) & ~np.eye(n, dtype=bool)
        neighbors = [np.flatnonzero(row).tolist() for row in bonded]
        found = []
        for a in range(n):
            for b in neighbors[a]:
                side = _reached(neighbors, b, a)
                if a not in side and len(side) <= n - len(side):
                    found.append((a, b, np.array(sorted(side))))
        return found


def batch_of(
    geometries: Sequence[Geometry],
    positions: Sequence[np.ndarray],
    cells: Sequence[np.ndarray],
    like: torch.Tensor,
) -> Batch:
    """Return copies of geometries, in other places, as a batch; ``like`` has its precision."""
    counts = torch.tensor([len(each) for each in geometries])
    device = like.device

    def tensor(values: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.as_tensor(np.concatenate(values)).to(like)

    return Batch(
        tensor(positions),
        torch.as_tensor(np.concatenate([each.numbers for each in geometries])).to(device).long(),
        torch.as_tensor(np.stack(cells)).to(like),
        torch.as_tensor(np.stack([each.pbc for each in geometries])).to(device),
        torch.repeat_interleave(torch.arange(len(counts)), counts).to(device),
        tensor([each.weights for each in geometries]),
    )


def originals(geometries: Sequence[Geometry], like: torch.Tensor) -> Batch:
    """Return geometries as they are, as a batch."""
    return batch_of(
        geometries, [g.positions for g in geometries], [g.cell for g in geometries], like
    )


def shaken(
    geometries: Sequence[Geometry],
    rng: np.random.Generator,
    sigma: float | None,
    like: torch.Tensor,
) -> Batch:
    """Return a perturbed copy of each geometry, as a batch; ``sigma`` as for ``perturbed``."""
    positions, cells = zip(*(perturbed(each, rng, sigma) for each in geometries), strict=True)
    return batch_of(geometries, positions, cells, like)


def perturbed(
    geometry: Geometry, rng: np.random.Generator, sigma: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (n, 3) and cell (3, 3) of a perturbed copy.

    ``sigma`` is the noise (Angstrom) on every coordinate. None draws noise, moves and strains.
    """
    positions, cell = geometry.positions, geometry.cell
    noise = np.exp(rng.uniform(np.log(LEAST), np.log(MOST))) if sigma is None else sigma
    if sigma is None and rng.random() < MOVED and geometry.hinges:
        noise /= 3
        for _ in range(rng.integers(1, 4)):
            positions = _moved(positions, geometry.hinges[rng.integers(len(geometry.hinges))], rng)
    if geometry.pbc.any():
        drawn = np.exp(rng.uniform(np.log(LEAST_STRAIN), np.log(MOST_STRAIN)))
        strain = rng.normal(0, drawn if sigma is None else min(0.3 * sigma, MOST_STRAIN), (3, 3))
        strain = (strain + strain.T) / 2 * np.outer(geometry.pbc, geometry.pbc)
        positions, cell = positions + positions @ strain, cell + cell @ strain
    return positions + rng.normal(0, noise, positions.shape), cell


def _moved(
    positions: np.ndarray, hinge: tuple[int, int, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Return positions with the part beyond a bond turned, bent and pulled."""
    a, b, side = hinge
    bond = positions[b] - positions[a]
    bond = bond / np.linalg.norm(bond)
    across = np.cross(bond, rng.normal(0, 1, 3))
    across /= np.linalg.norm(across) + 1e-12
    turned = _rotation(bond * rng.normal(0, TURN)) @ _rotation(across * rng.normal(0, BEND))
    away = rng.uniform(-0.2, 1) * LONGEST if rng.random() < LONG else rng.normal(0, PULL)
    positions = positions.copy()
    positions[side] = (positions[side] - positions[a]) @ turned.T + positions[a] + away * bond
    return positions


def _rotation(vector: np.ndarray) -> np.ndarray:
    """Return the matrix that turns by |vector| (radians) about it (Rodrigues' formula)."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / (angle + 1e-12)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def _reached(neighbors: list[list[int]], start: int, without: int) -> set[int]:
    """Return the atoms that bonds lead to from ``start``, not through the bond to ``without``."""
    seen, edge = {start}, [start]
    while edge:
        here = edge.pop()
        for there in neighbors[here]:
            if (here, there) != (start, without) and there not in seen:
                seen.add(there)
                edge.append(there)
    return seen
