"""Relaxing structures one by one, for optimizers that use losses only.

References are searched at every evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from losiko_torch.loss.judge import judge
from losiko_torch.loss.objective import Objective
from losiko_torch.optimizers.interface import DirectSearch
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.finished import Finished
from losiko_torch.relaxation.watch import Watch
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.noise import gaussian


def relax_one_by_one(
    objective: Objective,
    coordinates: Coordinates,
    optimizer: DirectSearch,
    max_steps: int,
    progress: Callable[[int], None],
    see: See | None = None,
) -> Finished:
    """Relax the structures of a batch, each with at most ``max_steps`` evaluations of its loss.

    ``progress`` is called with 1 after each structure, ``see`` at each evaluation.
    """
    finished = Finished.at_start(coordinates.start)
    for k, problem in enumerate(_problems(objective, coordinates)):
        if problem.n_variables == 0:
            finished.converged[k] = True
            progress(1)
            continue
        loss = _Counted(problem, k, see)
        try:
            found = optimizer.minimum(loss, np.zeros(problem.n_variables), max_steps)
        except _Ended:
            finished.broken[k], finished.n_steps[k] = True, loss.count
        else:
            problem.write(finished, k, found.x)
            finished.converged[k], finished.n_steps[k] = found.converged, found.n_evaluations
            finished.broken[k] = not np.isfinite(found.loss)
        progress(1)
    return finished


def anneal_one_by_one(
    objective: Objective,
    coordinates: Coordinates,
    optimizer: DirectSearch,
    sigmas: Sequence[float],
    key: tuple[int, ...],
    copies: Sequence[int],
    see: See | None = None,
) -> Finished:
    """Relax as ``annealing.anneal_batch``, with a short search after each addition of noise."""
    finished = Finished.at_start(coordinates.start)
    for k, problem in enumerate(_problems(objective, coordinates)):
        here = best = np.zeros(problem.n_variables)
        loss = _Counted(problem, k, see)
        try:
            lowest, n_steps = loss(here), 1
            finished.broken[k] = not np.isfinite(lowest)
            for step, sigma in enumerate(sigmas if problem.n_variables else (), start=1):
                noise = problem.noise((*key, step), copies[k])
                most = optimizer.per_kick * problem.n_variables
                found = optimizer.minimum(loss, here + sigma * noise, most)
                here, n_steps = found.x, n_steps + found.n_evaluations
                if found.loss < lowest:
                    best, lowest = here, found.loss
        except _Ended:
            finished.broken[k], n_steps = True, loss.count
        problem.write(finished, k, best)
        finished.n_steps[k] = n_steps
    return finished


#: Takes objective, number in the batch, evaluation, loss and structure; tells whether it ends.
See = Callable[[Objective, int, int, float, Batch], bool]


def watched(places: Sequence[int], watch: Watch | None) -> See | None:
    """Return the function by which an observer sees structures of these places, or None."""
    if watch is None:
        return None

    def see(objective: Objective, k: int, step: int, loss: float, here: Batch) -> bool:
        numbers = torch.tensor([places[k]]), torch.tensor([step])
        values = torch.tensor([loss]), torch.tensor([torch.nan])
        lost = torch.tensor([not np.isfinite(loss)])
        return bool(watch.see(objective, *numbers, *values, here, lost).any())

    return see


class _Ended(Exception):
    """The observer ends a structure."""


@dataclass
class _Counted:
    """Loss of a problem that counts its evaluations, and shows them."""

    problem: _Problem
    number: int
    see: See | None
    count: int = 0

    def __call__(self, variables: np.ndarray) -> float:
        problem, loss = self.problem, self.problem.loss(variables)
        self.count += 1
        if self.see is not None:
            here = problem.coordinates.place(problem.rows(variables))
            if self.see(problem.objective, self.number, self.count, loss, here):
                raise _Ended
        return loss


@dataclass(frozen=True)
class _Problem:
    """Loss of one structure as a function of its variables, lengths along ``directions``."""

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
        """Return noise along the directions of atoms; cells are not shaken."""
        drawn = gaussian(key, [copy], [self.coordinates.start.n_atoms])
        return self.directions[:, : drawn.size].cpu().numpy() @ drawn.reshape(-1)

    def write(self, finished: Finished, k: int, variables: np.ndarray) -> None:
        """Write the end of structure ``k`` of the batch."""
        placed = self.coordinates.place(self.rows(variables))
        for target in (finished.last, finished.best):
            target.positions[target.system_idx == k] = placed.positions
            target.cells[k] = placed.cells[0]


def _problems(objective: Objective, coordinates: Coordinates) -> Iterator[_Problem]:
    """Yield one problem for each structure of the batch."""
    systems = torch.arange(coordinates.start.n_systems, device=coordinates.system.device)
    for k in systems.tolist():
        alone = coordinates.keep(systems == k)
        # For this structure's elements alone: rounding must not depend on its company.
        own = objective.restricted(alone.start.numbers)
        yield _Problem(own, alone, alone.directions().flatten(1).double())
