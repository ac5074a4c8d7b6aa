r"""The paper's target: each atom's single nearest reference.

    F = |p - z_1|^2 / g_1

"Nearest" goes by |p - z|^2 / g too, so that F is min_k |p - z_k|^2 / g_k, without jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from losiko_torch.accelerators import kernels_for
from losiko_torch.database.defaults import MOLECULES, TargetDefaults
from losiko_torch.database.element import Environments
from losiko_torch.errors import InputError
from losiko_torch.loss.targets.interface import TO_POINT, TargetValues


@dataclass(frozen=True)
class Nearest:
    """Pull each atom to its single nearest reference; see ``loss.targets.interface.Target``."""

    name: ClassVar[str] = "nearest"
    slope: ClassVar[str] = TO_POINT
    n_neighbors: ClassVar[int] = 1

    @classmethod
    def make(
        cls, n_neighbors: int | None, reg: float | None, defaults: TargetDefaults = MOLECULES
    ) -> Nearest:
        """Return the target for these arguments of ``relax``; ``InputError`` for wrong ones."""
        if n_neighbors not in (None, 1) or reg is not None:
            raise InputError("targets 'nearest' take no n_neighbors and no reg")
        return cls()

    def allocate(
        self, n: int, k: int, n_features: int, like: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        # A point has also the squared length of its features that a restriction left out.
        return like.new_empty((n, n_features)), like.new_zeros(n)

    def update(
        self,
        cache: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        new: torch.Tensor,
    ) -> None:
        points, left_out = cache
        some, dtype = new[:, 0].nonzero().squeeze(1), points.dtype
        nearest = references.vectors[indices[some, 0]].to(dtype)
        points[rows[some]] = nearest @ references.basis.to(dtype).T
        left_out[rows[some]] = references.left_out(indices[some, 0]).to(dtype)

    def evaluate(
        self,
        values: torch.Tensor,
        rest: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        cache: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
    ) -> TargetValues:
        distances = values + cache[1][rows]
        inverse = references.inverse_weights(indices, distances.dtype)
        share = torch.ones_like(distances) if inverse is None else inverse[:, 0]
        return TargetValues(distances * share, share, torch.ones_like(distances)[:, None])

    def bytes_per_atom(self, k: int, dtype: torch.dtype, device: torch.device) -> int:
        item = torch.finfo(dtype).bits // 8
        return 2 * item + (0 if hasattr(kernels_for(device), "combine") else 8 + 2 * item)

    def identity(self) -> dict[str, Any]:
        return {"name": self.name}


TARGET = Nearest
