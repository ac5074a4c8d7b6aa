"""The references of each atom, and the cache that a target keeps of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from losiko_torch.accelerators import kernels_for
from losiko_torch.systems.record import ATOM, Record, per


class Components(NamedTuple):
    """Unit descriptors of n atoms in the principal components of their elements' references.

    Attributes:
        values: Components, shape (n, r); zero beyond those that an element has.
        rest: Share of the descriptor's squared length that the components leave over, shape (n,).
    """

    values: torch.Tensor
    rest: torch.Tensor

    def of(self, atoms: torch.Tensor) -> Components:
        """Components of some of the atoms (indices)."""
        return Components(self.values[atoms], self.rest[atoms])


@dataclass(frozen=True)
class Matching(Record):
    """References of N atoms, numbered within those of each atom's element.

    Attributes:
        indices: Numbers of the references, shape (N, k); -1 fills up where an element has fewer
            than k.
        cache: Tensors that the target keeps of the references, each of shape (N, ...).
    """

    indices: torch.Tensor = per(ATOM)
    cache: tuple[torch.Tensor, ...] = per(ATOM)

    def keep(self, atoms: torch.Tensor) -> Matching:
        """Matching of some of the atoms, as a mask (N,) or indices."""
        return self.select({ATOM: atoms})

    def copy(self) -> Matching:
        """Copy that can be written to."""
        return Matching(self.indices.clone(), tuple(each.clone() for each in self.cache))

    def updated(self, atoms: torch.Tensor, newer: Matching) -> Matching:
        """Copy with the rows of these atoms (indices) replaced by those of ``newer``."""
        both = self.copy()
        both.indices[atoms] = newer.indices
        for mine, others in zip(both.cache, newer.cache, strict=True):
            mine[atoms] = others
        return both


def keep_places(before: torch.Tensor, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Arrange the references ``found`` (n, k) so that those of ``before`` (n, k) keep their places.

    Returns:
        The indices, (n, k), and the mask of those that are new, (n, k).
    """
    kernels = kernels_for(before.device)
    if kernels is not None and hasattr(kernels, "keep_places"):
        return kernels.keep_places(before, found)
    stays = (before[:, :, None] == found[:, None, :]).any(2)
    known = (found[:, :, None] == before[:, None, :]).any(2)
    # The new ones, in their order, go where others left.
    free, newcomers = ~stays, ~known
    arranged = before.clone()
    arranged[free] = found[newcomers]
    return arranged, free
