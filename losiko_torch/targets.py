r"""What the database says an atom should look like, and the loss that this makes.

An atom has a unit descriptor p, nearest references z_1..z_k (unit vectors too), and these have
weights g_1..g_k (1 where none are given). All is in the principal components of the element's
references, but for what the components leave over of |p|^2, the rest.

``Nearest`` (the paper's): the loss is the squared distance to the nearest one, |p - z_1|^2 / g_1.
"Nearest" goes by |p - z|^2 / g too, so that the loss is min_k |p - z_k|^2 / g_k, without jumps.

``LocallyLinear``: the target is the affine combination of the k references that comes closest to p,
with the reconstruction weights of locally linear embedding (Roweis and Saul, Science 290, 2323,
2000), so that only what lies off the manifold spanned by the references is penalised:

    F(p) = rest + min_w |p - sum_k w_k z_k|^2 + rho sum_k w_k^2 / g_k,  sum_k w_k = 1,
    rho = reg/k sum_k |p - z_k|^2.

F itself, ridge included, is the loss, so that its gradient is exact by the envelope theorem:

    dF/dp = 2 (p - sum_k w_k z_k) + 2 reg (sum_k w_k^2 / g_k) (p - mean_k z_k).

A heavy reference is among the k from further away and costs less to lean on. Which references
belong to an atom is decided by a search; while they stay the same, F is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from losiko_torch.checks import positive, whole
from losiko_torch.database.index import row_blocks
from losiko_torch.defaults import MOLECULES, Defaults
from losiko_torch.errors import InputError


class TargetValues(NamedTuple):
    """Of n atoms of one element.

    loss: F, shape (n,). gradient: dF/dp in the components, (n, r). share: dF/drest, (n,). weights:
    of the references in the target, (n, k).
    """

    loss: torch.Tensor
    gradient: torch.Tensor
    share: torch.Tensor
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
        rest: torch.Tensor,
        references: torch.Tensor,
        indices: torch.Tensor,
        prepared: torch.Tensor,
        inverse: torch.Tensor | None,
    ) -> TargetValues:
        """Loss and gradient for descriptors and the rows ``indices`` (n, k) of references (N, r).

        Args:
            p, rest: Components (n, r) of the descriptors, and what they leave over of |p|^2, (n,).
            inverse: 1/g of these references, (n, k); None: 1.
        """
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
        rest: torch.Tensor,
        references: torch.Tensor,
        indices: torch.Tensor,
        prepared: torch.Tensor,
        inverse: torch.Tensor | None,
    ) -> TargetValues:
        difference = p - references[indices[:, 0]].to(p.dtype)
        loss = difference.square().sum(1) + rest
        whole = torch.ones_like(loss)
        if inverse is None:
            return TargetValues(loss, 2 * difference, whole, whole[:, None])
        share = inverse[:, 0]
        return TargetValues(loss * share, 2 * difference * share[:, None], share, whole[:, None])


@dataclass(frozen=True)
class LocallyLinear:
    """Pull each atom to the manifold that its ``n_neighbors`` nearest references span.

    ``reg`` is the ridge on the reconstruction weights, relative to the mean squared distance.
    """

    n_neighbors: int = MOLECULES.n_neighbors
    reg: float = MOLECULES.reg

    def __post_init__(self) -> None:
        whole("n_neighbors", self.n_neighbors)
        positive("reg", self.reg)

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
        rest: torch.Tensor,
        references: torch.Tensor,
        indices: torch.Tensor,
        prepared: torch.Tensor,
        inverse: torch.Tensor | None,
    ) -> TargetValues:
        n, k = indices.shape
        loss, gradient = p.new_empty(n), torch.empty_like(p)
        weights = p.new_empty((n, k))
        for rows in row_blocks(n, k, references):
            gathered = references[indices[rows]].to(p.dtype)
            loss[rows], gradient[rows], weights[rows] = self._evaluate(
                p[rows], gathered, prepared[rows], None if inverse is None else inverse[rows]
            )
        return TargetValues(loss + rest, gradient, torch.ones_like(rest), weights)

    def _evaluate(
        self, p: torch.Tensor, z: torch.Tensor, gram: torch.Tensor, inverse: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Loss without the rest, its gradient, and the weights of the references."""
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
        ridges = self.reg if inverse is None else self.reg * inverse
        system.diagonal(dim1=1, dim2=2).add_(ridges)
        # Not `solve`, which raises for the whole batch where one matrix is singular.
        weights = torch.linalg.solve_ex(system, torch.ones_like(overlap)).result
        weights = weights / weights.sum(1, keepdim=True)

        combined = torch.stack([weights, torch.full_like(weights, 1 / k)], 1) @ z
        to_target, to_mean = p - combined[:, 0], p - combined[:, 1]
        ridge = (ridges * weights.square()).sum(1)
        loss = to_target.square().sum(1) + ridge * mean_distance
        gradient = 2 * to_target + 2 * ridge[:, None] * to_mean
        return loss, gradient, weights


def make_target(
    name: str,
    n_neighbors: int | None = None,
    reg: float | None = None,
    defaults: Defaults = MOLECULES,
) -> Target:
    """The target called "nearest" or "locally-linear"."""
    if name == "nearest":
        if n_neighbors not in (None, 1) or reg is not None:
            raise InputError("targets 'nearest' take no n_neighbors and no reg")
        return Nearest()
    if name == "locally-linear":
        return LocallyLinear(
            defaults.n_neighbors if n_neighbors is None else whole("n_neighbors", n_neighbors),
            defaults.reg if reg is None else positive("reg", reg),
        )
    raise InputError(f"targets '{name}' are none of nearest, locally-linear")
