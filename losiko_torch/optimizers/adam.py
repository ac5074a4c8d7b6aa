"""Adam on every coordinate (Kingma and Ba, arXiv:1412.6980), each structure with its own count.

It has no line search and takes every step, so the loss may rise on the way: useful where the loss
is rough or noise is added, slower than L-BFGS where it is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from losiko_torch.errors import InputError
from losiko_torch.keywords import names_unknown
from losiko_torch.optimizers import interface
from losiko_torch.optimizers.interface import check_positive, limited


@dataclass(frozen=True)
class State(interface.State):
    """State of each structure: N atoms, B structures.

    Attributes:
        mean, square: Running means of the gradient and its square, shape (N, 3).
        count: Steps taken, shape (B,).
    """

    of_systems: ClassVar = ("count",)

    mean: torch.Tensor
    square: torch.Tensor
    count: torch.Tensor


@names_unknown
@dataclass(frozen=True)
class Adam:
    """Adam; see ``optimizers.interface.Optimizer`` for what its methods do.

    Attributes:
        learning_rate: Length of a step along one coordinate once the gradient is steady, Angstrom.
        mean_decay, square_decay: Adam's beta_1 and beta_2.
        max_step: Longest way of any atom in one step, Angstrom.

    Raises:
        InputError: For numbers out of range.
    """

    name: ClassVar[str] = "adam"

    learning_rate: float = 0.02
    mean_decay: float = 0.9
    square_decay: float = 0.99
    max_step: float = 0.15

    def __post_init__(self) -> None:
        check_positive(self, "learning_rate", "mean_decay", "square_decay", "max_step")
        if self.mean_decay >= 1 or self.square_decay >= 1:
            raise InputError("mean_decay and square_decay of Adam must be below 1")

    def init(self, positions: torch.Tensor, n_systems: int) -> State:
        zero = torch.zeros_like(positions)
        return State(positions, positions, zero, zero, positions.new_zeros(n_systems))

    def step(
        self,
        state: State,
        loss: torch.Tensor,
        gradient: torch.Tensor,
        system_idx: torch.Tensor,
        fresh: torch.Tensor,
    ) -> tuple[State, torch.Tensor]:
        mean = self.mean_decay * state.mean + (1 - self.mean_decay) * gradient
        square = self.square_decay * state.square + (1 - self.square_decay) * gradient**2
        count = state.count + 1
        # Both means start at zero; dividing takes that out.
        true_mean = mean / (1 - self.mean_decay**count)[system_idx, None]
        true_square = square / (1 - self.square_decay**count)[system_idx, None]
        tiny = torch.finfo(loss.dtype).tiny
        step = -self.learning_rate * true_mean / (true_square + tiny).sqrt()
        step = limited(step, self.max_step, system_idx, len(loss))
        taken = replace(
            state,
            position=state.trial,
            trial=state.trial + step,
            mean=mean,
            square=square,
            count=count,
        )
        return taken, torch.ones_like(fresh)


OPTIMIZER = Adam
