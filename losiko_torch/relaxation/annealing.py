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
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.finished import Finished
from losiko_torch.relaxation.watch import Watch
from losiko_torch.systems.active import ALL_ATOMS
from losiko_torch.systems.batch import max_by_system
from losiko_torch.systems.noise import gaussian


def anneal_batch(
    objective: Objective,
    coordinates: Coordinates,
    optimizer: Optimizer,
    sigmas: Sequence[float],
    key: tuple[int, ...],
    copies: Sequence[int],
    places: Sequence[int] = (),
    watch: Watch | None = None,
) -> Finished:
    """Evaluate the structures, then shake, evaluate and step once for each standard deviation.

    Args:
        objective: Loss to minimise.
        coordinates: Coordinates of the starting structures; noise moves atoms only.
        optimizer: Optimizer.
        sigmas: Standard deviations of the noise, Angstrom.
        key: Numbers that the random numbers follow from, with the structures' ``copies``; see
            ``systems.noise.gaussian``.
        copies: Number of each structure among the copies of its input.
        places: Number of each structure among those that ``watch`` observes.
        watch: Observer of the evaluations.

    Returns:
        Ends of the structures, ``last`` and ``best`` both where the loss was lowest; none has
        converged.
    """
    start = coordinates.start
    finished, everyone = Finished.at_start(start), slice(None)
    rows, idx = coordinates.rows(), coordinates.system
    state = optimizer.init(rows, start.n_systems)
    best, lowest = rows, rows.new_full((start.n_systems,), torch.inf)
    neighbors = objective.neighbors(start, coordinates.moving_atoms())
    distances = rows.new_zeros(start.n_atoms)
    for step, sigma in enumerate((0.0, *sigmas)):
        state = replace(state, trial=state.trial + sigma * _noise(coordinates, key, step, copies))
        # A structure that broke or collapsed is left where it began.
        lost = finished.failed
        trial = torch.where(lost[idx, None], rows, state.trial)
        here = coordinates.place(trial)
        active = ALL_ATOMS
        if step > 0 and neighbors is not None:
            neighbors = neighbors.at(here)
            active = neighbors.active(here)
        evaluation = objective.evaluate(here, None, active, None, distances)
        distances, loss = evaluation.distances, evaluation.loss
        gradient = coordinates.gradient(trial, evaluation)
        size = max_by_system(gradient.norm(dim=1), idx, start.n_systems)
        collapsed = coordinates.collapsed(trial)
        broken = finished.note_lost(everyone, loss, size, collapsed, evaluation.terms)
        if watch is not None:
            system = torch.as_tensor(places, device=loss.device)
            seen = loss, size, here, broken | lost
            finished.broken[:] |= watch.see(
                objective, system, torch.full_like(system, step + 1), *seen
            )
        better = loss < lowest
        best = torch.where(better[idx, None], trial, best)
        lowest = torch.where(better, loss, lowest)
        as_it_is = torch.full_like(lost, step == 0 or sigma > 0)
        stiff = objective.stiffness
        state, _ = optimizer.step(state, stiff * loss, stiff * gradient, idx, as_it_is)
    placed = coordinates.place(best)
    n_steps = finished.n_steps + len(sigmas) + 1
    return replace(finished, last=placed, best=placed, n_steps=n_steps)


def _noise(
    coordinates: Coordinates, key: tuple[int, ...], step: int, copies: Sequence[int]
) -> torch.Tensor:
    """Return normal random numbers for the movable rows of atoms, zero for others, (rows, 3)."""
    start = coordinates.start
    noise = torch.zeros_like(coordinates.movable)
    drawn = gaussian((*key, step), copies, start.counts.tolist())
    noise[: start.n_atoms] = torch.as_tensor(drawn)
    return noise * coordinates.movable
