"""Interface of the optimizers, and what they share.

An optimizer is a configuration; where each structure stands is an immutable record beside it. It
proposes a ``trial`` and takes in the loss and gradient of it; it never calls the objective itself.
So one evaluation of the whole batch serves each structure at whatever point of its search it is,
and no structure waits for another.

Another package brings an optimizer of its own as an object, ``relax(optimizer=Mine())``, or by name
through an entry point (see ``losiko_torch.registry``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch

from losiko_torch.checks import positive
from losiko_torch.systems.batch import max_by_system
from losiko_torch.systems.record import ROW, SYSTEM, Axis, Record


@dataclass(frozen=True)
class State(Record):
    """State of each structure of a batch: N rows of coordinates, B structures.

    An optimizer adds its memory, tensors of each row, (..., N, 3), or of each structure, (..., B):
    the latter are named in ``of_systems``.

    Attributes:
        trial: Coordinates to evaluate next, Angstrom, shape (N, 3).
        position: Coordinates accepted last, Angstrom, shape (N, 3).
    """

    of_systems: ClassVar[tuple[str, ...]] = ()

    trial: torch.Tensor
    position: torch.Tensor

    def axis_of(self, each: Field[Any]) -> Axis:
        """Structures along the last dimension, or rows along the one before."""
        return Axis(SYSTEM, -1) if each.name in self.of_systems else Axis(ROW, -2)


@runtime_checkable
class Optimizer(Protocol):
    """Optimizer that steps with gradients, a whole batch at a time."""

    def init(self, positions: torch.Tensor, n_systems: int) -> Any:
        """Return a state whose first trial is the start itself."""

    def step(
        self,
        state: Any,
        loss: torch.Tensor,
        gradient: torch.Tensor,
        system_idx: torch.Tensor,
        fresh: torch.Tensor,
    ) -> tuple[Any, torch.Tensor]:
        """Take in the loss (B,) and gradient (N, 3) of the trial.

        Args:
            state: Where the structures stand.
            loss: Loss of each structure's trial, shape (B,).
            gradient: Its gradient by the coordinates, 1/Angstrom, shape (N, 3).
            system_idx: Structure of each row, shape (N,).
            fresh: Structures (B,) whose objective changed since the last trial, or which had none:
                the trial is accepted, whatever its loss.

        Returns:
            The state with the next trial, and the mask (B,) of structures whose trial was accepted.
        """


class Minimum(NamedTuple):
    """End of a search without gradients.

    Attributes:
        x: Variables of the lowest loss found, shape (d,).
        loss: That loss.
        converged: Whether the search met its own criterion.
        n_evaluations: Evaluations of the loss.
    """

    x: np.ndarray
    loss: float
    converged: bool
    n_evaluations: int


@runtime_checkable
class DirectSearch(Protocol):
    """Optimizer that uses losses only, one structure at a time.

    Attributes:
        max_steps: Evaluations granted to a structure where no number is given.
        per_kick: Evaluations for each variable after each addition of noise.
    """

    max_steps: int
    per_kick: int

    def minimum(
        self, loss: Callable[[np.ndarray], float], first: np.ndarray, max_steps: int
    ) -> Minimum:
        """Search the minimum of a loss of d variables (Angstrom) from ``first``, shape (d,)."""


def check_positive(optimizer: Any, *names: str) -> None:
    """Raise ``InputError`` for a parameter of an optimizer that is no positive number."""
    for name in names:
        positive(f"{name} of {type(optimizer).__name__}", getattr(optimizer, name))


AnyState = TypeVar("AnyState", bound=State)


def hold(state: AnyState, systems: torch.Tensor, system_idx: torch.Tensor) -> AnyState:
    """Return the state with the next trial of these structures (B,) at the point where they are."""
    trial = torch.where(systems[system_idx, None], state.position, state.trial)
    return replace(state, trial=trial)  # type: ignore[type-var]


def limited(
    step: torch.Tensor, longest: float, system_idx: torch.Tensor, n_systems: int
) -> torch.Tensor:
    """Shorten each structure's step (N, 3) so that no atom goes farther than ``longest``."""
    reach = max_by_system(step.norm(dim=1), system_idx, n_systems)
    factor = longest / reach.clamp(min=longest)
    return step * factor[system_idx, None]
