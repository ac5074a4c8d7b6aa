r"""Stress of structures that are periodic in one, two or three directions.

    stress = P (W + W^T) P / (2 V)

with the virial W (``Evaluation.virial``), the projection P onto the span of the periodic cell
vectors and the volume V of the whole cell, vacuum included, as ASE has it for slabs. Across the
periodic directions there is nothing to strain: the stress is zero there. A slab or wire relaxes by
it in ASE's cell filters as in ``relax(cell=True)``.
"""

from __future__ import annotations

import torch

from losiko_torch.systems.batch import Batch


def stresses(virial: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the stress of each structure, 1/Angstrom^3, shape (B, 3, 3), zero for molecules."""
    along = periodic_directions(batch).to(virial)
    symmetric = (virial + virial.transpose(1, 2)) / 2
    # Where nothing is periodic, cells may have no volume.
    periodic = batch.pbc.any(1)
    volumes = torch.where(periodic, torch.linalg.det(batch.cells).abs(), 1.0)
    return along @ symmetric @ along / volumes[:, None, None]


def periodic_directions(batch: Batch) -> torch.Tensor:
    """Return projections onto the span of each structure's periodic vectors, shape (B, 3, 3)."""
    vectors = (batch.cells * batch.pbc[:, :, None]).double()
    return torch.linalg.pinv(vectors) @ vectors
