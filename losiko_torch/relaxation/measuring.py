"""Loss and gradient of each structure's trial as a relaxation goes by them: held, and how steep."""

from __future__ import annotations

from typing import NamedTuple

import torch

from losiko_torch.loss.objective import Evaluation, Objective
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.systems.batch import max_by_system, sum_by_system
from losiko_torch.systems.by_structure import kernel_for


class Measured(NamedTuple):
    """Trials of B structures.

    Attributes:
        loss: Loss, with the weak pull to the start that learned targets go with, shape (B,).
        size: Largest gradient on any row, 1/Angstrom, shape (B,).
        steep_loss, steep_gradient: Loss (B,) and gradient (rows, 3), times the objective's
            stiffness: so an optimizer takes them.
    """

    loss: torch.Tensor
    size: torch.Tensor
    steep_loss: torch.Tensor
    steep_gradient: torch.Tensor


def measure(
    objective: Objective, coordinates: Coordinates, trial: torch.Tensor, evaluation: Evaluation
) -> Measured:
    """Measure the trial, rows (rows, 3), of every structure by what an evaluation found there."""
    numbers = {"hold": objective.hold, "stiffness": objective.stiffness}
    if coordinates.strains is None:
        kernel = kernel_for("measure", coordinates.system, coordinates.start.n_systems)
        if kernel is not None:
            places = trial, coordinates.rows(), coordinates.movable
            return Measured(*kernel(*places, evaluation.loss, evaluation.gradient, **numbers))
    return plain_measure(coordinates, trial, evaluation, **numbers)


def plain_measure(
    coordinates: Coordinates,
    trial: torch.Tensor,
    evaluation: Evaluation,
    hold: float,
    stiffness: float,
) -> Measured:
    """Measure in plain torch, which kernels equal; see ``measure``."""
    loss, gradient = evaluation.loss, coordinates.gradient(trial, evaluation)
    idx, count = coordinates.system, len(loss)
    if hold:
        away = (trial - coordinates.rows()) * coordinates.movable
        squares = sum_by_system(away.square().sum(1), idx, count)
        loss = torch.add(loss, squares, alpha=hold / 2)
        gradient = torch.add(gradient, away, alpha=hold)
    size = max_by_system(gradient.norm(dim=1), idx, count)
    return Measured(loss, size, stiffness * loss, stiffness * gradient)
