r"""Kernels between structures: one similarity of all atoms of one with all atoms of another.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP, Batch
>>> soap = SOAP(species=["H", "O"], r_cut=5.0, n_max=2, l_max=2, sigma=0.5)
>>> structures = [molecule("H2O"), molecule("H2O2")]
>>> features = [soap.create(atoms) for atoms in structures]
>>> AverageKernel(metric="linear").create(features).round(3)
array([[1.   , 0.862],
       [0.862, 1.   ]])

Features that are tensors give tensors, differentiable with respect to them, and so by way of the
descriptor with respect to positions and cells:

>>> batch = Batch.from_atoms(structures)
>>> batch = batch.with_positions(batch.positions.requires_grad_())
>>> features = soap(batch).split(batch.counts.tolist())
>>> similarities = REMatchKernel(metric="cosine", alpha=0.1).create(features)
>>> torch.autograd.grad(similarities[0, 1], batch.positions)[0].shape
torch.Size([7, 3])

With C_ij the similarity of atom i of one structure and atom j of another, the average kernel is
the mean of C. REMatch (De, Bartok, Csanyi and Ceriotti, Phys. Chem. Chem. Phys. 18, 13754, 2016) is
sum_ij P_ij C_ij with P = u exp((C - 1) / alpha) v, whose rows sum to 1/n and whose columns to 1/m:
it runs from the best match of atoms (small alpha) to the average (large alpha). Sinkhorn's
iteration finds u and v, here by their logarithms where exponentials would vanish or overflow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch

from losiko_torch.checks import finite, positive
from losiko_torch.errors import InputError, StructureError
from losiko_torch.keywords import names_unknown
from losiko_torch.similarity.blocks import Local, blocks_of, by_size, features_of
from losiko_torch.similarity.metrics import METRICS, NOT_NEGATIVE, unknown_metric

#: Iterations of Sinkhorn's method after which it counts as not converging.
MOST_ITERATIONS = 100_000
#: Exponent below which Sinkhorn's method takes logarithms, far above that of the smallest float32.
LOWEST_EXPONENT = -30.0


@dataclass(frozen=True)
class StructureKernel:
    """Parts that kernels share: the similarity of atoms, and the loop over pairs of structures."""

    metric: str | Callable
    gamma: float | None = None
    degree: float = 3
    coef0: float = 1
    kernel_params: Mapping[str, Any] | None = None
    normalize_kernel: bool = True

    def __post_init__(self) -> None:
        if not callable(self.metric) and self.metric not in METRICS:
            raise InputError(unknown_metric(self.metric))
        for name in ("degree", "coef0", *(["gamma"] if self.gamma is not None else [])):
            finite(name, getattr(self, name))

    def create(self, x: Iterable, y: Iterable | None = None) -> Any:
        """Similarities of structures x, or of x with y.

        Args:
            x, y: Features of each structure, shape (n_atoms, n_features): NumPy arrays,
                ``sparse.COO`` or tensors. y None means x.

        Returns:
            Similarities (len(x), len(y)): a NumPy array, or a tensor where x or y has tensors.

        Raises:
            InputError: If there are no structures, or their features differ in number.
            StructureError: For a structure without atoms or with features that cannot be used.
        """
        rows, is_tensor = self._features("x", x)
        columns, y_is_tensor = (rows, is_tensor) if y is None else self._features("y", y)
        if rows[0].shape[1] != columns[0].shape[1]:
            numbers = f"{rows[0].shape[1]} and {columns[0].shape[1]}"
            raise InputError(f"the structures of x and y have {numbers} features")
        if is_tensor:
            columns = [features.to(rows[0]) for features in columns]
        elif y_is_tensor:
            rows = [features.to(columns[0]) for features in rows]
        is_tensor = is_tensor or y_is_tensor
        local = partial(self._local, arrays=not is_tensor)
        kernel = self._kernel(rows, None if y is None else columns, local)
        if self.normalize_kernel:
            own = kernel.diagonal() if y is None else self._own(rows, local)
            other = own if y is None else self._own(columns, local)
            for name, similarities in (("x", own), ("y", other)):
                _check_own(name, similarities)
            kernel = kernel / (own[:, None] * other).sqrt()
        return kernel if is_tensor else kernel.numpy()

    def get_pairwise_matrix(self, X: Any, Y: Any = None) -> Any:
        """Similarities (n, m) of the atoms of two structures; of one with itself without ``Y``."""
        given = [X, X if Y is None else Y]
        (x, y), is_tensor = self._features("X and Y", given)
        local = self._local(x, y, arrays=not is_tensor)
        return local if is_tensor else local.numpy()

    def get_global_similarity(self, localkernel: Any) -> Any:
        """Similarity of two structures, a number, by that (n, m) of their atoms."""
        similarity = self._reduced(torch.as_tensor(localkernel)[None])[0]
        return similarity if isinstance(localkernel, torch.Tensor) else float(similarity)

    def _reduced(self, local: torch.Tensor) -> torch.Tensor:
        """Similarity (P,) of P pairs of structures by that of their atoms (P, n, m)."""
        raise NotImplementedError

    def _features(self, name: str, structures: Iterable) -> tuple[list[torch.Tensor], bool]:
        return features_of(name, structures, not_negative=self.metric in NOT_NEGATIVE)

    def _local(self, x: torch.Tensor, y: torch.Tensor, arrays: bool) -> torch.Tensor:
        """Similarities (n, m) of atoms; ``arrays``: a function sees NumPy's, as in DScribe."""
        if not callable(self.metric):
            return METRICS[self.metric](x, y, self.gamma, self.degree, self.coef0)
        given = (x.numpy(), y.numpy()) if arrays else (x, y)
        own = self.kernel_params or {}
        found = [self.metric(one, two, **own) for one, two in product(*given)]
        similarities = [torch.as_tensor(k, dtype=x.dtype, device=x.device) for k in found]
        return torch.stack(similarities).reshape(len(x), len(y))

    def _kernel(
        self, x: list[torch.Tensor], y: list[torch.Tensor] | None, local: Local
    ) -> torch.Tensor:
        found = [
            (block.rows, block.columns, self._reduced(block.local))
            for block in blocks_of(x, y, local)
        ]
        if y is None:
            # The mirror images of pairs, but not of structures with themselves.
            found += [(j[i != j], i[i != j], values[i != j]) for i, j, values in found]
        rows, columns, values = (torch.cat(parts) for parts in zip(*found, strict=True))
        shape = len(x), len(x if y is None else y)
        return values.new_zeros(shape).index_put((rows, columns), values)

    def _own(self, structures: list[torch.Tensor], local: Local) -> torch.Tensor:
        """Similarity of each structure with itself."""
        own = torch.zeros(len(structures)).to(structures[0])
        for places in by_size(structures).values():
            alike = torch.stack([local(structures[i], structures[i]) for i in places.tolist()])
            own = own.index_put((places.to(own.device),), self._reduced(alike))
        return own


@names_unknown
@dataclass(frozen=True)
class AverageKernel(StructureKernel):
    """Mean similarity of all atoms of one structure with all atoms of another.

    Args:
        metric: Similarity of two atoms: "linear", "polynomial" ("poly"), "rbf", "laplacian",
            "sigmoid", "cosine", "chi2" or "additive_chi2", or a function of the feature vectors of
            two atoms that returns a number.
        gamma, degree, coef0: Parameters of the metric, see ``similarity.metrics``.
        kernel_params: Further arguments of a metric that is a function.
        normalize_kernel: Whether each similarity is divided by the root of the product of those
            of the two structures with themselves.

    Raises:
        InputError: For a metric that there is none of, and for parameters out of range.
    """

    def _reduced(self, local: torch.Tensor) -> torch.Tensor:
        return local.mean((1, 2))

    def _kernel(
        self, x: list[torch.Tensor], y: list[torch.Tensor] | None, local: Local
    ) -> torch.Tensor:
        if self.metric != "linear":
            return super()._kernel(x, y, local)
        # The mean of products is the product of means.
        means = torch.stack([one.mean(0) for one in x])
        return means @ (means if y is None else torch.stack([one.mean(0) for one in y])).T


@names_unknown
@dataclass(frozen=True, init=False)
class REMatchKernel(StructureKernel):
    """Regularized-entropy match of the atoms of two structures.

    Args:
        alpha: Weight of the entropy: small for the best match of atoms, large for the average.
        threshold: Change of u and v, relative and squared, at which Sinkhorn's iteration stops.
        metric, gamma, degree, coef0, kernel_params, normalize_kernel: Arguments of
            ``AverageKernel``.

    Raises:
        InputError: For a metric that there is none of, and for parameters out of range.
    """

    alpha: float = 0.1
    threshold: float = 1e-6

    def __init__(
        self,
        alpha: float = 0.1,
        threshold: float = 1e-6,
        metric: str | Callable = "linear",
        gamma: float | None = None,
        degree: float = 3,
        coef0: float = 1,
        kernel_params: Mapping[str, Any] | None = None,
        normalize_kernel: bool = True,
    ):
        object.__setattr__(self, "alpha", positive("alpha", alpha))
        object.__setattr__(self, "threshold", positive("threshold", threshold))
        super().__init__(metric, gamma, degree, coef0, kernel_params, normalize_kernel)

    def _reduced(self, local: torch.Tensor) -> torch.Tensor:
        highest = local.detach().amax((1, 2), keepdim=True)
        log_k = (local - highest) / self.alpha
        step = _step_by_logarithms if log_k.min() < LOWEST_EXPONENT else _step
        k = log_k if step is _step_by_logarithms else torch.exp(log_k)
        log_u = torch.full_like(local[:, :, 0], -math.log(local.shape[1]))
        log_v = torch.full_like(local[:, 0, :], -math.log(local.shape[2]))
        going = torch.ones(len(local), dtype=torch.bool, device=local.device)
        for iteration in range(MOST_ITERATIONS):
            next_u, next_v = step(k, log_u)
            with torch.no_grad():
                # DScribe does not look at every fifth iteration; its results depend on it.
                change = _change(next_u, log_u) + _change(next_v, log_v)
                done = (change <= self.threshold) & (iteration % 5 != 0)
            log_u = torch.where(going[:, None], next_u, log_u)
            log_v = torch.where(going[:, None], next_v, log_v)
            going = going & ~done
            if not going.any():
                break
        else:
            raise InputError(
                f"REMatch did not converge to {self.threshold:g} in {MOST_ITERATIONS} iterations: "
                "use a larger alpha or threshold"
            )
        match = torch.exp(log_k + log_u[:, :, None] + log_v[:, None, :])
        return (match * local).sum((1, 2))


def _step(k: torch.Tensor, log_u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sinkhorn's next ln u (P, n) and ln v (P, m) for exponentials k (P, n, m) above zero."""
    v = 1 / (torch.bmm(torch.exp(log_u)[:, None, :], k)[:, 0] * k.shape[2])
    u = 1 / (torch.bmm(k, v[:, :, None])[:, :, 0] * k.shape[1])
    return torch.log(u), torch.log(v)


def _step_by_logarithms(
    log_k: torch.Tensor, log_u: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sinkhorn's next ln u (P, n) and ln v (P, m) for exponentials that would vanish."""
    log_v = -math.log(log_k.shape[2]) - torch.logsumexp(log_k + log_u[:, :, None], 1)
    log_u = -math.log(log_k.shape[1]) - torch.logsumexp(log_k + log_v[:, None, :], 2)
    return log_u, log_v


def _change(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """|u' - u|^2 / |u'|^2 of vectors given by their logarithms, (P, n) to (P,)."""
    top = torch.maximum(new, old).amax(1, keepdim=True)
    one, two = torch.exp(new - top), torch.exp(old - top)
    return (one - two).square().sum(1) / one.square().sum(1)


def _check_own(name: str, similarities: torch.Tensor) -> None:
    """Raise ``StructureError`` if a structure's similarity with itself has no real root."""
    for place in (~(similarities > 0)).nonzero()[:1, 0].tolist():
        raise StructureError(
            f"structure {place} of {name} has the similarity {float(similarities[place]):g} with "
            "itself, by which nothing can be divided: use normalize_kernel=False or another metric"
        )
