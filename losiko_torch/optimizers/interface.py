"""What the loop asks of an optimizer, and what optimizers share.

An optimizer is a configuration; where each structure stands is an immutable record beside it. It
is asked for a ``trial`` and told its loss and gradient; it never calls the objective itself. So one
evaluation of the whole batch serves each structure at whatever stage it is in, and none waits for
another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol, Self, TypeVar

import torch

from losiko_torch.systems.batch import max_by_system


@dataclass(frozen=True)
class State:
    """Where each structure of a batch stands: N atoms, B structures.

    An optimizer adds what it remembers, of each atom, (..., N, 3), or of each structure, (..., B):
    the latter are named in ``of_systems``.

    trial: Positions to evaluate next, (N, 3). position: The last accepted ones, (N, 3).
    """

    of_systems: ClassVar[tuple[str, ...]] = ()

    trial: torch.Tensor
    position: torch.Tensor

    def keep(self, systems: torch.Tensor, atoms: torch.Tensor) -> Self:
        """The structures and atoms of two masks, (B,) and (N,)."""
        return type(self)(
            **{
                name: mine[..., systems] if name in self.of_systems else mine[..., atoms, :]
                for name, mine in self._named()
            }
        )

    def joined(
        self, other: Self, stacked: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> Self:
        """With the structures of another behind; ``stacked`` puts what (..., N, 3) into order."""
        return type(self)(
            **{
                name: torch.cat([mine, getattr(other, name)], -1)
                if name in self.of_systems
                else stacked(mine, getattr(other, name))
                for name, mine in self._named()
            }
        )

    def _named(self) -> list[tuple[str, torch.Tensor]]:
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


class Optimizer(Protocol):
    """One step at a time, for a whole batch."""

    def init(self, positions: torch.Tensor, n_systems: int) -> Any:
        """A state whose first trial is the start itself."""

    def tell(
        self,
        state: Any,
        loss: torch.Tensor,
        gradient: torch.Tensor,
        system_idx: torch.Tensor,
        fresh: torch.Tensor,
    ) -> tuple[Any, torch.Tensor]:
        """Take in the trial's loss (B,) and gradient (N, 3).

        Args:
            fresh: Structures (B,) whose objective changed since the last trial, or which had none:
                the trial is accepted, whatever its loss.

        Returns:
            The state with the next trial, and the mask (B,) of structures whose trial was accepted.
        """


AnyState = TypeVar("AnyState", bound=State)


def hold(state: AnyState, systems: torch.Tensor, system_idx: torch.Tensor) -> AnyState:
    """Let the next trial of these structures (B,) be the point where they are."""
    trial = torch.where(systems[system_idx, None], state.position, state.trial)
    return replace(state, trial=trial)  # type: ignore[type-var]


def limited(
    step: torch.Tensor, longest: float, system_idx: torch.Tensor, n_systems: int
) -> torch.Tensor:
    """Shorten each structure's step (N, 3) so that no atom goes farther than ``longest``."""
    reach = max_by_system(step.norm(dim=1), system_idx, n_systems)
    factor = (longest / reach.clamp(min=longest)).clamp(max=1.0)
    return step * factor[system_idx, None]
