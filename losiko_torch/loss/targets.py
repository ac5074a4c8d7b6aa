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
from typing import ClassVar, NamedTuple

import torch

from losiko_torch.accelerators import kernels_for
from losiko_torch.checks import positive, whole
from losiko_torch.database.defaults import MOLECULES, Defaults
from losiko_torch.database.element import Environments
from losiko_torch.errors import InputError
from losiko_torch.search.exact import row_blocks


class TargetValues(NamedTuple):
    """Of n atoms of one element.

    loss: F without the rest, shape (n,). gradient: dF/dp in the components, (n, r). weights: of the
    references in the target, (n, k).
    """

    loss: torch.Tensor
    gradient: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Nearest:
    """Pull each atom to its single nearest reference."""

    n_neighbors: ClassVar[int] = 1

    def room(self, n: int, k: int, n_features: int, like: torch.Tensor) -> torch.Tensor:
        """Where ``write`` puts each atom's reference as a point of feature space, (n, F)."""
        return like.new_empty((n, n_features))

    def write(
        self,
        prepared: torch.Tensor,
        rows: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        new: torch.Tensor,
    ) -> None:
        """For the atoms of these rows (n,), whose references are ``indices`` (n, 1), if ``new``."""
        some, dtype = new[:, 0].nonzero().squeeze(1), prepared.dtype
        nearest = references.vectors[indices[some, 0]].to(dtype)
        prepared[rows[some]] = nearest @ references.basis.to(dtype).T


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

    def room(self, n: int, k: int, n_features: int, like: torch.Tensor) -> torch.Tensor:
        """Where ``write`` puts squared distances among each atom's references, (n, k, k)."""
        return like.new_zeros((n, k, k))

    def write(
        self,
        prepared: torch.Tensor,
        rows: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        new: torch.Tensor,
    ) -> None:
        """For the atoms of these rows (n,), whose references are ``indices`` (n, k).

        Only distances of those references that are ``new`` (n, k).
        """
        kernels = kernels_for(indices.device)
        if kernels is not None and hasattr(kernels, "distances_among"):
            vectors = references.vectors_in(prepared.dtype)
            kernels.distances_among(vectors, indices, new, prepared, rows)
            return
        k = indices.shape[1]
        changed = new.any(1).nonzero().squeeze(1)
        for part in row_blocks(len(changed), k, references.vectors):
            some = changed[part]
            found = distances_among(references.vectors[indices[some]].double())
            prepared[rows[some], :k, :k] = found.to(prepared.dtype)

    def evaluate(
        self,
        p: torch.Tensor,
        references: torch.Tensor,
        indices: torch.Tensor,
        prepared: torch.Tensor,
        rows: torch.Tensor,
        inverse: torch.Tensor | None = None,
    ) -> TargetValues:
        """Loss and gradient for components p (n, r) and rows ``indices`` (n, k) of references.

        Args:
            p: Components of the descriptors.
            references: All of the element, (N, r), in the dtype of p.
            indices: Those of each atom.
            prepared, rows: As for ``write``.
            inverse: 1/g of these references, (n, k); None: 1.
        """
        n, k = indices.shape
        ridges = p.new_full((1, 1), self.reg) if inverse is None else self.reg * inverse
        kernels = kernels_for(p.device)
        if kernels is not None and hasattr(kernels, "combine"):
            return TargetValues(*kernels.combine(p, references, indices, prepared, rows, ridges))
        values = TargetValues(p.new_empty(n), torch.empty_like(p), p.new_empty((n, k)))
        for some in row_blocks(n, k, references):
            own = ridges if inverse is None else ridges[some]
            among = prepared[rows[some], :k, :k]
            found = combine(p[some], references[indices[some]], among, own)
            for every, part in zip(values, found, strict=True):
                every[some] = part
        return values


#: How references make a loss.
Target = Nearest | LocallyLinear


def combine(
    p: torch.Tensor, z: torch.Tensor, among: torch.Tensor, ridges: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss (n,) without the rest, its gradient (n, r), and the weights of the references (n, k).

    Args:
        p: (n, r).
        z: The references of each, (n, k, r).
        among: Their squared distances from each other, (n, k, k).
        ridges: Relative ridge of each, (n, k) or (1, 1).
    """
    k = z.shape[1]
    # In terms of distances, float32 keeps its digits: references lie close together, so that
    # products of the vectors themselves nearly cancel.
    apart = (z - p[:, None]).square().sum(2)
    mean = apart.mean(1).clamp(min=1e-12)
    # Scaling by the mean distance leaves the weights as they are and conditions the solve.
    system = (apart[:, :, None] + apart[:, None, :] - among) / (2 * mean[:, None, None])
    system.diagonal(dim1=1, dim2=2).add_(ridges)
    # Not `solve`, which raises for the whole batch where one matrix is singular.
    weights = torch.linalg.solve_ex(system, torch.ones_like(apart)).result
    total = weights.sum(1, keepdim=True)
    weights = weights / total
    ridge = (ridges * weights.square()).sum(1, keepdim=True)
    pull = (weights + ridge / k)[:, None] @ z
    return mean / total.squeeze(1), 2 * ((1 + ridge) * p - pull.squeeze(1)), weights


def distances_among(z: torch.Tensor) -> torch.Tensor:
    """|z_k - z_l|^2 of (n, k, r): (n, k, k)."""
    # Products of vectors seen from one of them keep more digits.
    z = z - z[:, :1]
    gram = z @ z.transpose(1, 2)
    squares = gram.diagonal(dim1=1, dim2=2)
    return (squares[:, :, None] + squares[:, None, :] - 2 * gram).clamp(min=0)


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
