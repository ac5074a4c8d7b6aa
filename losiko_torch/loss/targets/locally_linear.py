r"""The combination of references that comes closest: locally linear embedding.

The target is the affine combination of the k nearest references that comes closest to p, with the
reconstruction weights of locally linear embedding (Roweis and Saul, Science 290, 2323, 2000), so
that only what lies off the manifold spanned by the references is penalised:

    F(p) = rest + min_w |p - sum_k w_k z_k|^2 + rho sum_k w_k^2 / g_k,  sum_k w_k = 1,
    rho = reg/k sum_k |p - z_k|^2.

F itself, ridge included, is the loss, so that its gradient is exact by the envelope theorem:

    dF/dp = 2 (p - sum_k w_k z_k) + 2 reg (sum_k w_k^2 / g_k) (p - mean_k z_k).

A heavy reference is among the k from further away and costs less to lean on. Which references
belong to an atom is decided by a search; while they stay the same, F is smooth.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch

from losiko_torch.accelerators import kernels_for
from losiko_torch.checks import positive, whole
from losiko_torch.database.defaults import MOLECULES, TargetDefaults
from losiko_torch.database.element import Environments
from losiko_torch.keywords import names_unknown
from losiko_torch.loss.targets.interface import IN_COMPONENTS, TargetValues
from losiko_torch.search.exact import row_blocks
from losiko_torch.systems.kept import avoids_waits, kept

#: Largest table (bytes) of the distances among an element's references.
TABLE_BYTES = 2**28


@names_unknown
@dataclass(frozen=True)
class LocallyLinear:
    """Pull each atom to the manifold that its ``n_neighbors`` nearest references span.

    See ``loss.targets.interface.Target`` for what its methods do.

    Attributes:
        n_neighbors: References that are combined.
        reg: Ridge on the reconstruction weights, relative to the mean squared distance.

    Raises:
        InputError: For numbers out of range.
    """

    name: ClassVar[str] = "locally-linear"
    slope: ClassVar[str] = IN_COMPONENTS

    n_neighbors: int = MOLECULES.n_neighbors
    reg: float = MOLECULES.reg

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_neighbors", whole("n_neighbors", self.n_neighbors))
        object.__setattr__(self, "reg", positive("reg", self.reg))

    @classmethod
    def make(
        cls, n_neighbors: int | None, reg: float | None, defaults: TargetDefaults = MOLECULES
    ) -> LocallyLinear:
        """Return the target for these arguments of ``relax``; ``InputError`` for wrong ones."""
        return cls(
            defaults.n_neighbors if n_neighbors is None else n_neighbors,
            defaults.reg if reg is None else reg,
        )

    def allocate(
        self, n: int, k: int, n_features: int, like: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        # Squared distances among the references of each atom.
        return (like.new_zeros((n, k, k)),)

    def update(
        self,
        cache: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        new: torch.Tensor,
    ) -> None:
        (among,) = cache
        kernels = kernels_for(indices.device)
        if kernels is not None and hasattr(kernels, "distances_among"):
            vectors = references.vectors_in(among.dtype)
            kernels.distances_among(vectors, indices, new, among, rows)
            return
        k = indices.shape[1]
        table = distance_table(references.vectors, among.dtype)
        if table is not None:
            # Of all atoms, also those whose references stay: to find the others is to wait.
            among[rows, :k, :k] = table[indices[:, :, None], indices[:, None, :]]
            return
        changed = new.any(1).nonzero().squeeze(1)
        for part in row_blocks(len(changed), k, references.vectors):
            some = changed[part]
            found = distances_among(references.vectors[indices[some]].double())
            among[rows[some], :k, :k] = found.to(among.dtype)

    def evaluate(
        self,
        values: torch.Tensor,
        rest: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        cache: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
    ) -> TargetValues:
        n, k = indices.shape
        (among,) = cache
        vectors = references.vectors_in(values.dtype)
        inverse = references.inverse_weights(indices, values.dtype)
        ridges = values.new_full((1, 1), self.reg) if inverse is None else self.reg * inverse
        kernels = kernels_for(values.device)
        if kernels is not None and hasattr(kernels, "combine"):
            loss, slope, weights = kernels.combine(values, vectors, indices, among, rows, ridges)
            return TargetValues(loss + rest, slope, weights)
        loss, slope = torch.empty_like(rest), torch.empty_like(values)
        weights = values.new_empty((n, k))
        for some in row_blocks(n, k, vectors):
            own = ridges if inverse is None else ridges[some]
            inside = among[rows[some], :k, :k]
            loss[some], slope[some], weights[some] = combine(
                values[some], vectors[indices[some]], inside, own
            )
        return TargetValues(loss + rest, slope, weights)

    def bytes_per_atom(self, k: int, dtype: torch.dtype, device: torch.device) -> int:
        # Distances among the references, at the start and now; without a kernel that combines
        # references also three matrices made of them.
        item = torch.finfo(dtype).bits // 8
        combined = hasattr(kernels_for(device), "combine")
        return k**2 * (2 * item + (0 if combined else 8 + 2 * item))

    def identity(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}


def combine(
    p: torch.Tensor, z: torch.Tensor, among: torch.Tensor, ridges: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the loss (n,) without the rest, its gradient (n, r), and weights (n, k).

    Args:
        p: Components of the descriptors, shape (n, r).
        z: References of each atom, shape (n, k, r).
        among: Squared distances of these from each other, shape (n, k, k).
        ridges: Relative ridge of each reference, shape (n, k) or (1, 1).
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


def distance_table(z: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
    """Return the squared distances of all references (N, r) from each other, (N, N), kept.

    None on processors, where it takes longer to make than a few atoms' own distances, and where
    the table is too large. It is made of differences, which lose no digits.
    """
    if not avoids_waits(z.device) or len(z) ** 2 * dtype.itemsize > TABLE_BYTES:
        return None

    def made() -> torch.Tensor:
        vectors = z.double()
        table = torch.empty((len(z), len(z)), dtype=dtype, device=z.device)
        for some in row_blocks(len(z), len(z), vectors):
            table[some] = torch.cdist(
                vectors[some], vectors, compute_mode="donot_use_mm_for_euclid_dist"
            ).square()
        return table

    return kept(z, ("distances", dtype), made)


def distances_among(z: torch.Tensor) -> torch.Tensor:
    """Squared distances |z_k - z_l|^2, shape (n, k, k), of the vectors z, shape (n, k, r)."""
    # Products of vectors seen from one of them keep more digits.
    z = z - z[:, :1]
    gram = z @ z.transpose(1, 2)
    squares = gram.diagonal(dim1=1, dim2=2)
    return (squares[:, :, None] + squares[:, None, :] - 2 * gram).clamp(min=0)


TARGET = LocallyLinear
