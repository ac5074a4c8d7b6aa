"""The target that a database has learned: the pull of a model fitted to its own geometries.

The loss of an atom is its share of a pseudo-energy (Angstrom^2) whose minimum is the good structure
and whose gradient is about the distance from it (Angstrom); see ``learned.pull`` and
``learned.fitting``. No references are searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from losiko_torch.database.defaults import MOLECULES, TargetDefaults
from losiko_torch.database.element import Environments
from losiko_torch.errors import InputError
from losiko_torch.loss.targets.interface import BY_MODEL, TargetValues


@dataclass(frozen=True)
class Learned:
    """Pull atoms as the database's learned model says; see ``loss.targets.interface.Target``."""

    name: ClassVar[str] = "learned"
    slope: ClassVar[str] = BY_MODEL
    n_neighbors: ClassVar[int] = 0

    @classmethod
    def make(
        cls, n_neighbors: int | None, reg: float | None, defaults: TargetDefaults = MOLECULES
    ) -> Learned:
        """Return the target for these arguments of ``relax``; ``InputError`` for wrong ones."""
        if n_neighbors is not None or reg is not None:
            raise InputError("targets 'learned' take no n_neighbors and no reg")
        return cls()

    def allocate(
        self, n: int, k: int, n_features: int, like: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        return ()

    def update(
        self,
        cache: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        new: torch.Tensor,
    ) -> None:
        """Keep nothing: there are no references."""

    def evaluate(
        self,
        values: torch.Tensor,
        rest: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        cache: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
    ) -> TargetValues:
        raise NotImplementedError("the objective asks the database's model instead")

    def bytes_per_atom(self, k: int, dtype: torch.dtype, device: torch.device) -> int:
        # The model itself counts them.
        return 0

    def identity(self) -> dict[str, Any]:
        return {"name": self.name}


TARGET = Learned
