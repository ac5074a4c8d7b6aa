"""Nelder-Mead (SciPy's), the paper's optimizer, kept as the yardstick for the others.

It uses losses only, one structure at a time, and searches references at every evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize

from losiko_torch.batch_relaxation import Ended
from losiko_torch.objective import Objective
from losiko_torch.structures import Batch


@dataclass(frozen=True)
class NelderMead:
    """Edge of the first simplex (Angstrom), and the spread at which it has converged.

    ``position_spread`` is in Angstrom, ``loss_spread`` in units of the loss; both must be met.
    """

    first_step: float = 0.05
    position_spread: float = 1e-3
    loss_spread: float = 1e-6


def relax_one_by_one(
    objective: Objective,
    batch: Batch,
    movable: torch.Tensor,
    settings: NelderMead,
    max_steps: int,
    finished: Callable[[int], None],
) -> Ended:
    """Relax the structures of a batch, each with at most ``max_steps`` evaluations of its loss.

    ``movable``, shape (N, 3), is 0 where a coordinate is fixed; ``finished`` is told of every
    structure.
    """
    ended = Ended.at_start(batch)
    objective = objective.restricted(batch.numbers)
    for k in range(batch.n_systems):
        system = torch.arange(batch.n_systems, device=batch.positions.device) == k
        atoms = batch.system_idx == k
        ended.last.positions[atoms], ended.converged[k], ended.n_steps[k] = _relax(
            objective, batch.keep(system), movable[atoms], settings, max_steps
        )
        finished(1)
    return ended


def _relax(
    objective: Objective,
    batch: Batch,
    movable: torch.Tensor,
    settings: NelderMead,
    max_steps: int,
) -> tuple[torch.Tensor, bool, int]:
    """New positions of one structure, whether its simplex converged, and the evaluations."""
    start = batch.positions.double().cpu().numpy()
    free = movable.bool().cpu().numpy()

    def placed(coordinates: np.ndarray) -> torch.Tensor:
        positions = start.copy()
        positions[free] = coordinates
        return torch.as_tensor(positions).to(batch.positions)

    def loss(coordinates: np.ndarray) -> float:
        here = batch.with_positions(placed(coordinates))
        features = objective.features(here)
        matching = objective.match(features, here.numbers)
        return float(objective.losses(here, features, matching).sum())

    first = start[free]
    if len(first) == 0:
        return batch.positions, True, 0
    simplex = np.vstack([first, first + settings.first_step * np.eye(len(first))])
    found = minimize(
        loss,
        first,
        method="Nelder-Mead",
        options={
            "initial_simplex": simplex,
            "maxfev": max_steps,
            "maxiter": max_steps,
            "xatol": settings.position_spread,
            "fatol": settings.loss_spread,
            "adaptive": True,
        },
    )
    return placed(found.x), bool(found.success), int(found.nfev)
