r"""Interface of the targets: how the references of an atom make its distance in the loss.

An atom has a unit descriptor p and k nearest references z_1..z_k (unit vectors too) with weights
g_1..g_k (1 where none are given). A target turns them into a squared distance F and its slope,
which has one of three forms:

- ``IN_COMPONENTS``: dF/dy, by the components y of p in the principal components of the element's
  references. F may also depend on the rest, the share of |p|^2 that the components leave over.
- ``TO_POINT``: F is a function of |p - t|^2 with a point t of feature space, the first tensor of
  the target's cache. Kernels find this distance without ever writing p out.
- ``BY_MODEL``: F is that of the database's learned model (``learned.model``), which knows nothing
  of references; the target only names it.

The objective works with the form of the slope alone, so that another package can bring a target of
its own: an object with these attributes and methods, ``relax(targets=Mine())``, or a function, see
``loss.targets.autograd``.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch

from losiko_torch.database.element import Environments

IN_COMPONENTS, TO_POINT, BY_MODEL = "in components", "to a point", "by a model"


class TargetValues(NamedTuple):
    """Distances that a target makes of n atoms of one element.

    Attributes:
        loss: Squared distances F, shape (n,).
        slope: dF/dy in the components, shape (n, r); for ``TO_POINT`` dF/d|p - t|^2, shape (n,).
        weights: Shares of the references in the target, shape (n, k).
        by_rest: dF by the rest, a number or shape (n, 1); not used for ``TO_POINT``.
    """

    loss: torch.Tensor
    slope: torch.Tensor
    weights: torch.Tensor
    by_rest: float | torch.Tensor = 1.0


@runtime_checkable
class Target(Protocol):
    """Target of the atoms; an immutable configuration.

    Attributes:
        slope: Form of the slope, ``IN_COMPONENTS``, ``TO_POINT`` or ``BY_MODEL``.
        n_neighbors: Nearest references that are searched for each atom; with 0 none are.
    """

    slope: ClassVar[str]

    @property
    def n_neighbors(self) -> int: ...

    def allocate(
        self, n: int, k: int, n_features: int, like: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return the cache of n atoms with k references, tensors of shape (n, ...).

        ``like`` has their precision and device.
        """
        ...

    def update(
        self,
        cache: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        new: torch.Tensor,
    ) -> None:
        """Write to the cache what follows from the references of some atoms of one element.

        Args:
            cache: Tensors of ``allocate``.
            rows: Rows of these atoms in the cache, shape (m,).
            references: All references of the element.
            indices: Which of them belong to each atom, shape (m, k).
            new: Mask of those that have changed since the last call, shape (m, k).
        """
        ...

    def evaluate(
        self,
        values: torch.Tensor,
        rest: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        cache: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
    ) -> TargetValues:
        """Return the distances of m atoms of one element.

        Args:
            values: Components of their descriptors, shape (m, r); for ``TO_POINT`` their squared
                distances |p - t|^2, shape (m,).
            rest: Share of |p|^2 that the components leave over, shape (m,); zero for ``TO_POINT``.
            references, indices, cache, rows: As for ``update``.
        """
        ...

    def bytes_per_atom(self, k: int, dtype: torch.dtype, device: torch.device) -> int:
        """Return the memory that k references of an atom take at the peak, in bytes."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return what tells this target from others, ready for JSON."""
        ...
