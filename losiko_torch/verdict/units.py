"""Doubts about units: coordinates that look like picometers, nanometers or Bohr."""

from __future__ import annotations

import numpy as np
import torch
from ase.data import covalent_radii

from losiko_torch.systems.batch import Batch, max_by_system
from losiko_torch.verdict.change import Change
from losiko_torch.verdict.doubts import Doubts

#: Distances over covalent radii of nearest atoms whose coordinates look like another unit's.
BOHR, PICOMETERS, NANOMETERS = (1.6, 2.3), 20.0, 0.3


def doubt_units(doubts: Doubts, change: Change) -> None:
    """Doubt structures whose nearest atoms are all far, or all near, as with units mistaken."""
    before, nearest = change.before, change.nearest_then
    n, idx = before.n_systems, before.system_idx
    closest = nearest.new_full((n,), torch.inf).scatter_reduce_(0, idx, nearest, "amin")
    farthest = max_by_system(nearest, idx, n)
    several = before.counts > 1
    for system in (several & (closest > BOHR[0])).nonzero().squeeze(1).tolist():
        scale = _relative_scale(before, system)
        if scale > PICOMETERS:
            doubts.add(system, _looks_like("picometers", "0.01"))
        elif BOHR[0] < scale < BOHR[1]:
            doubts.add(system, _looks_like("Bohr", "0.529"))
        else:
            doubts.add(
                system,
                "no two of its atoms are near enough for a bond at the start: check its "
                "coordinates",
            )
    for system in (several & (farthest < NANOMETERS)).nonzero().squeeze(1).tolist():
        doubts.add(system, _looks_like("nanometers", "10"))


def _looks_like(unit: str, factor: str) -> str:
    return f"its coordinates look like {unit}: multiply them by {factor} to have Angstrom"


def _relative_scale(batch: Batch, system: int) -> float:
    """Return the median over a structure's atoms of the least distance over covalent radii."""
    own = (batch.system_idx == system).cpu()
    positions = batch.positions.detach().double().cpu()[own].numpy()
    radii = covalent_radii[batch.numbers.cpu()[own].numpy()]
    apart = np.linalg.norm(positions[:, None] - positions, axis=2) / (radii[:, None] + radii)
    np.fill_diagonal(apart, np.inf)
    return float(np.median(apart.min(1)))
