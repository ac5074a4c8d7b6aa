"""The loop of a stage with noise: shake, evaluate, step; the best structure seen is kept.

References are searched at every step, since noise carries atoms from one to the next. Optimizers
take a shaken structure as it is, whatever its loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from losiko_torch.loss.objective import Objective
from losiko_torch.optimizers.interface import Optimizer
from losiko_torch.relaxation.batch_loop import Ended
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.systems.batch import max_by_system, sum_by_system
from losiko_torch.systems.noise import gaussian
from losiko_torch.systems.verlet_list import EVERYTHING


def anneal_batch(
    objective: Objective,
    coordinates: Coordinates,
    optimizer: Optimizer,
    sigmas: Sequence[float],
    key: tuple[int, ...],
    copies: Sequence[int],
) -> Ended:
    """Evaluate the structures, then shake, evaluate and step once for each standard deviation.

    Args:
        objective: What to minimise.
        coordinates: The starting structures, and what of them moves; noise moves atoms only.
        optimizer: How to step.
        sigmas: Standard deviations of the noise, Angstrom.
        key: What the random numbers follow from, with the structures' ``copies``; see
            ``schedule.gaussian``.

    Returns:
        ``last`` and ``best`` both are where the loss was lowest; none has converged.
    """
    start = coordinates.start
    ended = Ended.at_start(start)
    rows, idx = coordinates.rows(), coordinates.system
    state = optimizer.init(rows, start.n_systems)
    best, lowest = rows, rows.new_full((start.n_systems,), torch.inf)
    neighbors = objective.neighbors(start, coordinates.moving_atoms())
    terms = rows.new_zeros(start.n_atoms)
    for step, sigma in enumerate((0.0, *sigmas)):
        state = replace(state, trial=state.trial + sigma * _noise(coordinates, key, step, copies))
        # A structure that broke or collapsed is left where it began.
        out = ended.failed
        trial = torch.where(out[idx, None], rows, state.trial)
        here = coordinates.place(trial)
        sight = EVERYTHING
        if step > 0 and neighbors is not None:
            neighbors = neighbors.at(here)
            sight = neighbors.sight(here)
        evaluation = objective.evaluate(here, None, sight)
        terms = sight.put(terms, evaluation.distances)
        loss = sum_by_system(terms, start.system_idx, start.n_systems)
        gradient = coordinates.gradient(trial, evaluation)
        size = max_by_system(gradient.norm(dim=1), idx, start.n_systems)
        ended.broken[~(torch.isfinite(loss) & torch.isfinite(size))] = True
        ended.collapsed[coordinates.collapsed(trial)] = True
        better = loss < lowest
        best = torch.where(better[idx, None], trial, best)
        lowest = torch.where(better, loss, lowest)
        as_it_is = torch.full_like(out, step == 0 or sigma > 0)
        state, _ = optimizer.tell(state, loss, gradient, idx, as_it_is)
    placed = coordinates.place(best)
    return replace(ended, last=placed, best=placed, n_steps=ended.n_steps + len(sigmas) + 1)


def _noise(
    coordinates: Coordinates, key: tuple[int, ...], step: int, copies: Sequence[int]
) -> torch.Tensor:
    """Normal random numbers for the movable rows of atoms, zero for all others, (rows, 3)."""
    start = coordinates.start
    noise = torch.zeros_like(coordinates.movable)
    drawn = gaussian((*key, step), copies, start.counts.tolist())
    noise[: start.n_atoms] = torch.as_tensor(drawn)
    return noise * coordinates.movable
