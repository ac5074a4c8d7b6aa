r"""The pull that leads a perturbed copy of a good structure back; learned targets are fitted to it.

A good structure x0 (cell h0) and a copy x (cell h) of it have a pseudo-energy that vanishes where
the copy is the good structure, turned and shifted as it may be, and rises in all directions:

    U = 1/4 sum_ij w_ij |x_ij - R_i x0_ij|^2 + kappa/2 sum_i |x_i - R x0_i - t|^2

The first part compares the surroundings of each atom with those in the good structure, superposed
by the best rotation R_i. A function of the surroundings can represent it exactly. It restores
bonds, angles and torsions, planar ones too, where distances alone would not. The weights
w_ij ~ exp(-|x0_ij| / 1 A) fade out at 4 Angstrom and sum to 1 around each atom. The second part
compares the structures as wholes, and makes soft directions stiff; in periodic ones x0 is strained
along with the cell, and does not turn. All rotations are optimal, so that the gradient is that at
fixed rotations (envelope theorem). Both parts together make an atom that is a distance from its
place feel about that distance: the gradient counts in Angstrom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from losiko_torch.systems.batch import Batch, mean_by_system, sum_by_system
from losiko_torch.systems.neighbors import Pairs, find_pairs
from losiko_torch.systems.sums import first_of, segment_sums

#: Distance (Angstrom) within which an atom's surroundings are compared, and over which they fade.
REACH, FADE = 4.0, 0.5
#: Distance (Angstrom) over which the weights of neighbours fall by a factor e.
RANGE = 1.0
#: Share of the comparison as a whole.
KAPPA = 0.3
#: Length (Angstrom) that makes a strain comparable with displacements, times the root of the atoms;
#: as in ``relaxation.coordinates``.
LEVER = 3.0


class Pull(NamedTuple):
    """Pseudo-energy of a batch of N atoms in B structures, and its gradient.

    Attributes:
        energy: Share of each atom, Angstrom^2, shape (N,).
        gradient: Gradient by the positions, Angstrom, shape (N, 3).
        virial: Gradient by a strain of positions and cell, Angstrom^2, shape (B, 3, 3).
        apart: Displacement of each atom from its place in the whole, Angstrom, shape (N, 3).
        variance: Mean squared displacement of a coordinate, strain included, Angstrom^2, (B,).
    """

    energy: torch.Tensor
    gradient: torch.Tensor
    virial: torch.Tensor
    apart: torch.Tensor
    variance: torch.Tensor


@dataclass(frozen=True)
class Good:
    """Good structures of a batch, and the neighbours by which copies are compared with them.

    Attributes:
        batch: Structures.
        pairs: Neighbours within ``REACH``.
        vectors: Vectors between them, shape (E, 3).
        weights: Weights w of the pairs, shape (E,).
    """

    batch: Batch
    pairs: Pairs
    vectors: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(cls, batch: Batch) -> Good:
        """Return the structures of a batch as good ones."""
        pairs = find_pairs(batch, REACH, True)
        lengths = pairs.vectors(batch).norm(dim=1)
        pairs = pairs.keep(lengths > 1e-3)
        vectors = pairs.vectors(batch)
        lengths = vectors.norm(dim=1)
        inside = ((REACH - lengths) / FADE).clamp(0, 1)
        weights = torch.exp(-lengths / RANGE) * inside * inside * (3 - 2 * inside)
        total = segment_sums(weights, pairs.first(batch.n_atoms))
        return cls(batch, pairs, vectors, weights / total[pairs.center].clamp(min=1e-12))


@torch.no_grad()
def pull(good: Good, batch: Batch) -> Pull:
    """Return the pull on copies, ``batch``, towards their good structures."""
    pairs, idx, count = good.pairs, batch.system_idx, batch.n_systems
    vectors = pairs.vectors(batch)
    weighted = good.weights[:, None] * vectors
    moments = weighted[:, :, None] * good.vectors[:, None, :]
    first = pairs.first(batch.n_atoms)
    turned = rotations(segment_sums(moments, first))
    residual = vectors - (turned[pairs.center] @ good.vectors[:, :, None]).squeeze(2)
    force = 0.5 * good.weights[:, None] * residual
    gradient = pairs.by_positions(force, batch.n_atoms)
    energy = segment_sums(0.5 * (force * residual).sum(1), first)
    strains = vectors[:, :, None] * force[:, None, :]
    virial = segment_sums(strains, first[first_of(idx, count)])
    apart = displacements(good.batch, batch)
    virial = virial + KAPPA * sum_by_system(apart[:, :, None] * apart[:, None, :], idx, count)
    periodic = batch.pbc.any(1)
    variance = sum_by_system(apart.square().sum(1), idx, count) / (3 * batch.counts)
    variance = variance + LEVER**2 / 3 * strain_of(good.batch, batch).square().sum((1, 2))
    return Pull(
        energy + KAPPA / 2 * apart.square().sum(1),
        gradient + KAPPA * apart,
        virial * periodic[:, None, None],
        apart,
        variance,
    )


def displacements(good: Batch, batch: Batch) -> torch.Tensor:
    """Return how far each atom is from its place in the good structure, shape (N, 3).

    Molecules are superposed; periodic structures are strained to the copy's cell and shifted.
    """
    idx, count = batch.system_idx, batch.n_systems
    strained = torch.linalg.solve(good.cells, batch.cells)
    periodic = batch.pbc.any(1)
    own = torch.eye(3).to(strained).expand_as(strained)
    strained = torch.where(periodic[:, None, None], strained, own)
    places = (good.positions[:, None, :] @ strained[idx]).squeeze(1)
    here, there = (_centered(each, idx, count) for each in (batch.positions, places))
    moments = sum_by_system(here[:, :, None] * there[:, None, :], idx, count)
    turned = torch.where(periodic[:, None, None], own, rotations(moments))
    return here - (turned[idx] @ there[:, :, None]).squeeze(2)


def strain_of(good: Batch, batch: Batch) -> torch.Tensor:
    """Return Green's strain of each periodic structure, shape (B, 3, 3), zero for others."""
    deformation = torch.linalg.solve(good.cells, batch.cells)
    strain = (deformation @ deformation.transpose(1, 2) - torch.eye(3).to(deformation)) / 2
    return strain * batch.pbc.any(1)[:, None, None]


def rotations(moments: torch.Tensor) -> torch.Tensor:
    """Return Kabsch's rotations R (n, 3, 3): tr(R^T M) is largest for moments M = sum x y^T."""
    # Beside the moments themselves, so that empty surroundings have a rotation too.
    scale = moments.abs().amax((1, 2), keepdim=True).clamp(min=1e-12)
    u, _, vt = torch.linalg.svd(moments / scale)
    sign = torch.det(u @ vt).sign()
    last = u[..., 2:] * sign[:, None, None]
    return torch.cat([u[..., :2], last], 2) @ vt


def shifted(batch: Batch, by: torch.Tensor, strain: torch.Tensor) -> Batch:
    """Return a batch strained by ``strain`` (B, 3, 3), its atoms then moved ``by`` (N, 3)."""
    deformed = batch.positions + (batch.positions[:, None, :] @ strain[batch.system_idx]).squeeze(1)
    return replace(batch, positions=deformed + by, cells=batch.cells + batch.cells @ strain)


def _centered(values: torch.Tensor, idx: torch.Tensor, count: int) -> torch.Tensor:
    return values - mean_by_system(values, idx, count)[idx]
