"""Nelder-Mead (SciPy's), the paper's optimizer, kept as the yardstick for the others.

It uses losses only, one structure at a time, and searches references at every evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize

from losiko_torch.loss.judge import judge
from losiko_torch.loss.objective import Objective
from losiko_torch.relaxation.batch_loop import Ended
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.systems.noise import gaussian


@dataclass(frozen=True)
class NelderMead:
    """Edge of the first simplex (Angstrom), and the spread at which it has converged.

    ``position_spread`` is in Angstrom, ``loss_spread`` in units of the loss; both must be met.
    After each addition of noise it may evaluate ``per_kick`` times the number of its variables.
    """

    first_step: float = 0.05
    position_spread: float = 1e-3
    loss_spread: float = 1e-6
    per_kick: int = 2


def relax_one_by_one(
    objective: Objective,
    coordinates: Coordinates,
    settings: NelderMead,
    max_steps: int,
    finished: Callable[[int], None],
) -> Ended:
    """Relax the structures of a batch, each with at most ``max_steps`` evaluations of its loss.

    ``finished`` is told of every structure.
    """
    ended = Ended.at_start(coordinates.start)
    for k, problem in enumerate(_problems(objective, coordinates)):
        if problem.n_variables == 0:
            ended.converged[k] = True
        else:
            found = problem.minimum(np.zeros(problem.n_variables), settings, max_steps)
            problem.write(ended, k, found.x)
            ended.converged[k], ended.n_steps[k] = bool(found.success), int(found.nfev)
            ended.broken[k] = not np.isfinite(found.fun)
        finished(1)
    return ended


def anneal_one_by_one(
    objective: Objective,
    coordinates: Coordinates,
    settings: NelderMead,
    sigmas: Sequence[float],
    key: tuple[int, ...],
    copies: Sequence[int],
) -> Ended:
    """As ``annealing.anneal_batch``, with a short search after each addition of noise."""
    ended = Ended.at_start(coordinates.start)
    for k, problem in enumerate(_problems(objective, coordinates)):
        here = best = np.zeros(problem.n_variables)
        lowest, n_steps = problem.loss(here), 1
        ended.broken[k] = not np.isfinite(lowest)
        for step, sigma in enumerate(sigmas if problem.n_variables else (), start=1):
            noise = problem.noise((*key, step), copies[k])
            found = problem.minimum(
                here + sigma * noise, settings, settings.per_kick * problem.n_variables
            )
            here, n_steps = found.x, n_steps + int(found.nfev)
            if found.fun < lowest:
                best, lowest = here, found.fun
        problem.write(ended, k, best)
        ended.n_steps[k] = n_steps
    return ended


@dataclass(frozen=True)
class _Problem:
    """The loss of one structure as a function of its variables, lengths along ``directions``."""

    objective: Objective
    coordinates: Coordinates
    directions: torch.Tensor

    @property
    def n_variables(self) -> int:
        return len(self.directions)

    def rows(self, variables: np.ndarray) -> torch.Tensor:
        moved = torch.as_tensor(variables, device=self.directions.device) @ self.directions
        start = self.coordinates.rows()
        return (start.double() + moved.reshape(start.shape)).to(start.dtype)

    def loss(self, variables: np.ndarray) -> float:
        rows = self.rows(variables)
        if bool(self.coordinates.collapsed(rows)):
            return np.inf
        here = self.coordinates.place(rows)
        return float(judge(self.objective, here).losses.sum())

    def noise(self, key: tuple[int, ...], copy: int) -> np.ndarray:
        """Along the directions of atoms; cells are not shaken."""
        drawn = gaussian(key, [copy], [self.coordinates.start.n_atoms])
        return self.directions[:, : drawn.size].cpu().numpy() @ drawn.reshape(-1)

    def minimum(self, first: np.ndarray, settings: NelderMead, max_steps: int) -> OptimizeResult:
        simplex = np.vstack([first, first + settings.first_step * np.eye(len(first))])
        return minimize(
            self.loss,
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

    def write(self, ended: Ended, k: int, variables: np.ndarray) -> None:
        """Note where structure ``k`` of the batch ended."""
        placed = self.coordinates.place(self.rows(variables))
        for target in (ended.last, ended.best):
            target.positions[target.system_idx == k] = placed.positions
            target.cells[k] = placed.cells[0]


def _problems(objective: Objective, coordinates: Coordinates):
    """One for each structure of the batch."""
    systems = torch.arange(coordinates.start.n_systems, device=coordinates.system.device)
    for k in systems.tolist():
        alone = coordinates.keep(systems == k)
        # For this structure's elements alone: rounding must not depend on its company.
        own = objective.restricted(alone.start.numbers)
        yield _Problem(own, alone, alone.directions().flatten(1).double())
