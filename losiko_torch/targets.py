r"""What the database says an atom should look like, and the loss that this makes.

For an atom with unit descriptor p and its nearest references z_1..z_k (unit vectors too), all in
the principal components of their element's references:

``Nearest`` (the paper's): the loss is the squared distance to the nearest one, |p - z_1|^2.

``LocallyLinear``: the target is the affine combination of the k references that comes closest to p,
with the reconstruction weights of locally linear embedding (Roweis and Saul, Science 290, 2323,
2000), so that only what lies off the manifold spanned by the references is penalised:

    F(p) = min_w |p - sum_k w_k z_k|^2 + rho |w|^2,  sum_k w_k = 1,  rho = reg/k sum_k |p - z_k|^2.

F itself, ridge included, is the loss, so that its gradient is exact by the envelope theorem:

    dF/dp = 2 (p - sum_k w_k z_k) + 2 reg |w|^2 (p - mean_k z_k).

Which references belong to an atom is decided by a search; while they stay the same, F is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from losiko_torch.database.index import row_blocks
from losiko_torch.errors import InputError


class TargetValues(NamedTuple):
    """Of n atoms of one element.

    loss: F, shape (n,). gradient: dF/dp, (n, r). weights: of the references, (n, k).
    """

    loss: torch.Tensor
    gradient: torch.Tensor
    weights: torch.Tensor


class Target(Protocol):
    """How references make a loss: a number of neighbours and a function of them."""

    @property
    def n_neighbors(self) -> int: ...

    def prepare(
        self, references: torch.Tensor, indices: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        """What depends on the chosen references alone, one row an atom, (n, ...), in ``dtype``."""
        ...

    def evaluate(
        self,
        p: torch.Tensor,
        references: torch.Tensor,
        indices: torch.Tensor,
        prepared: torch.Tensor,
    ) -> TargetValues:
        """Loss and gradient for descriptors (n, r) and the rows ``indices`` (n, k) of (N, r)."""
        ...


@dataclass(frozen=True)
class Nearest:
    """Pull each atom to its single nearest reference."""

    n_neighbors: int = 1

    def prepare(
        self, references: torch.Tensor, indices: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        return references.new_empty((len(indices), 0), dtype=dtype)

    def evaluate(
        self,
        p: torch.Tensor,
        references: torch.Tensor,
        indices: torch.Tensor,
        prepared: torch.Tensor,
    ) -> TargetValues:
        difference = p - references[indices[:, 0]].to(p.dtype)
        loss = difference.square().sum(1)
        return TargetValues(loss, 2 * difference, torch.ones_like(loss)[:, None])


@dataclass(frozen=True)
class LocallyLinear:
    """Pull each atom to the manifold that its ``n_neighbors`` nearest references span.

    ``reg`` is the ridge on the reconstruction weights, relative to the mean squared distance.
    """

    n_neighbors: int = 64
    reg: float = 1e-3

    def __post_init__(self) -> None:
        if not isinstance(self.n_neighbors, int) or self.n_neighbors < 1:
            raise InputError(f"n_neighbors must be an integer from 1 on, not {self.n_neighbors}")
        if not self.reg > 0:
            raise InputError(f"reg must be positive, not {self.reg}")

    def prepare(
        self, references: torch.Tensor, indices: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        """Scalar products among each atom's references, seen from the first one: (n, k, k)."""
        n, k = indices.shape
        gram = torch.empty((n, k, k), dtype=dtype, device=indices.device)
        for rows in row_blocks(n, k, references):
            gathered = references[indices[rows]].double()
            gathered = gathered - gathered[:, :1]
            gram[rows] = gathered @ gathered.transpose(1, 2)
        return gram

    def evaluate(
        self,
        p: torch.Tensor,
        references: torch.Tensor,
        indices: torch.Tensor,
        prepared: torch.Tensor,
    ) -> TargetValues:
        n, k = indices.shape
        loss, gradient = p.new_empty(n), torch.empty_like(p)
        weights = p.new_empty((n, k))
        for rows in row_blocks(n, k, references):
            gathered = references[indices[rows]].to(p.dtype)
            loss[rows], gradient[rows], weights[rows] = self._evaluate(
                p[rows], gathered, prepared[rows]
            )
        return TargetValues(loss, gradient, weights)

    def _evaluate(self, p: torch.Tensor, z: torch.Tensor, gram: torch.Tensor) -> TargetValues:
        k = z.shape[1]
        # References lie close together on the unit sphere: only when seen from one of them, the
        # nearest, do float32 products keep enough digits.
        origin = z[:, 0]
        offset = p - origin
        overlap = (z @ offset[:, :, None]).squeeze(2) - (origin * offset).sum(1, keepdim=True)
        centered = gram - overlap[:, :, None] - overlap[:, None, :]
        centered += offset.square().sum(1)[:, None, None]
        mean_distance = centered.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12)
        # Scaling by the mean distance leaves the weights as they are and conditions the solve.
        system = centered.div_(mean_distance[:, None, None])
        system.diagonal(dim1=1, dim2=2).add_(self.reg)
        # Not `solve`, which raises for the whole batch where one matrix is singular.
        weights = torch.linalg.solve_ex(system, torch.ones_like(overlap)).result
        weights = weights / weights.sum(1, keepdim=True)

        combined = torch.stack([weights, torch.full_like(weights, 1 / k)], 1) @ z
        to_target, to_mean = p - combined[:, 0], p - combined[:, 1]
        ridge = self.reg * weights.square().sum(1)
        loss = to_target.square().sum(1) + ridge * mean_distance
        gradient = 2 * to_target + 2 * ridge[:, None] * to_mean
        return TargetValues(loss, gradient, weights)


def make_target(name: str, n_neighbors: int | None = None, reg: float | None = None) -> Target:
    """The target called "nearest" or "locally-linear"."""
    if name == "nearest":
        if n_neighbors not in (None, 1) or reg is not None:
            raise InputError("targets 'nearest' take no n_neighbors and no reg")
        return Nearest()
    if name == "locally-linear":
        default = LocallyLinear()
        return LocallyLinear(
            default.n_neighbors if n_neighbors is None else n_neighbors,
            default.reg if reg is None else reg,
        )
    raise InputError(f"targets '{name}' are none of nearest, locally-linear")
