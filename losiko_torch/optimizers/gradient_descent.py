"""Steepest descent with a step that grows while it succeeds and shrinks when it does not.

The plainest of all, against which the others can be understood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from losiko_torch.keywords import names_unknown
from losiko_torch.optimizers import interface
from losiko_torch.optimizers.interface import check_positive, limited


@dataclass(frozen=True)
class State(interface.State):
    """State of each structure: N atoms, B structures.

    Attributes:
        gradient, loss: Gradient (N, 3) and loss (B,) at the position.
        rate: Step over gradient, Angstrom^2, shape (B,).
    """

    of_systems: ClassVar = ("loss", "rate")

    gradient: torch.Tensor
    loss: torch.Tensor
    rate: torch.Tensor


@names_unknown
@dataclass(frozen=True)
class GradientDescent:
    """Steepest descent; see ``optimizers.interface.Optimizer`` for what its methods do.

    Attributes:
        rate: First step over gradient, Angstrom^2.
        growth, shrinkage: Factors of the rate after a step that succeeds, and one that does not.
        max_step: Longest way of any atom in one step, Angstrom.

    Raises:
        InputError: For numbers that are not positive.
    """

    name: ClassVar[str] = "gradient-descent"

    rate: float = 0.01
    growth: float = 1.2
    shrinkage: float = 0.5
    max_step: float = 0.15

    def __post_init__(self) -> None:
        check_positive(self, "rate", "growth", "shrinkage", "max_step")

    def init(self, positions: torch.Tensor, n_systems: int) -> State:
        per_system = positions.new_ones(n_systems)
        return State(
            trial=positions,
            position=positions,
            gradient=torch.zeros_like(positions),
            loss=torch.inf * per_system,
            rate=self.rate * per_system,
        )

    def step(
        self,
        state: State,
        loss: torch.Tensor,
        gradient: torch.Tensor,
        system_idx: torch.Tensor,
        fresh: torch.Tensor,
    ) -> tuple[State, torch.Tensor]:
        accepted = fresh | (loss <= state.loss)
        taken = accepted[system_idx, None]
        position = torch.where(taken, state.trial, state.position)
        gradient = torch.where(taken, gradient, state.gradient)
        factor = torch.where(accepted, self.growth, self.shrinkage)
        rate = torch.where(fresh, state.rate, factor * state.rate)
        step = limited(-rate[system_idx, None] * gradient, self.max_step, system_idx, len(loss))
        return (
            replace(
                state,
                trial=position + step,
                position=position,
                gradient=gradient,
                loss=torch.where(accepted, loss, state.loss),
                rate=rate,
            ),
            accepted,
        )


OPTIMIZER = GradientDescent
