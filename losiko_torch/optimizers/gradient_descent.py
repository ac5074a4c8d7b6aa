"""Steepest descent with a step that grows while it succeeds and shrinks when it does not.

The plainest of all, against which the others can be understood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from losiko_torch.optimizers import interface
from losiko_torch.optimizers.interface import limited


@dataclass(frozen=True)
class State(interface.State):
    """Where each structure stands: N atoms, B structures.

    gradient, loss: At the position, (N, 3), (B,). rate: Step over gradient, Angstrom^2, (B,).
    """

    of_systems: ClassVar = ("loss", "rate")

    gradient: torch.Tensor
    loss: torch.Tensor
    rate: torch.Tensor


@dataclass(frozen=True)
class GradientDescent:
    """Steepest descent; see ``optimizers.interface.Optimizer`` for what its methods do.

    Attributes:
        rate: First step over gradient, Angstrom^2. growth, shrinkage: Of the rate.
        max_step: The longest way any atom goes in one step, Angstrom.
    """

    name: ClassVar[str] = "gradient-descent"

    rate: float = 0.01
    growth: float = 1.2
    shrinkage: float = 0.5
    max_step: float = 0.15

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
