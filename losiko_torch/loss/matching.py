"""Each atom's references, and what a target keeps of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from losiko_torch.accelerators import kernels_for


class Components(NamedTuple):
    """Unit descriptors of n atoms in the principal components of their elements' references.

    Attributes:
        values: (n, r); zero beyond the components that an element has.
        rest: What they leave over of the descriptor's squared length, (n,).
    """

    values: torch.Tensor
    rest: torch.Tensor

    def of(self, atoms: torch.Tensor) -> Components:
        return Components(self.values[atoms], self.rest[atoms])


@dataclass(frozen=True)
class Matching:
    """Each atom's references within those of its element.

    Attributes:
        indices: Shape (N, k); -1 fills up where an element has fewer than k references.
        prepared: What the target keeps of them, shape (N, ...).
        left_out: Squared length that ``nearest`` points have in features that are not here, (N,).
    """

    indices: torch.Tensor
    prepared: torch.Tensor
    left_out: torch.Tensor

    def keep(self, atoms: torch.Tensor) -> Matching:
        return Matching(self.indices[atoms], self.prepared[atoms], self.left_out[atoms])

    def joined(self, other: Matching) -> Matching:
        """With the atoms of another behind; both are of one objective."""
        return Matching(
            torch.cat([self.indices, other.indices]),
            torch.cat([self.prepared, other.prepared]),
            torch.cat([self.left_out, other.left_out]),
        )

    def copy(self) -> Matching:
        """One that can be written to."""
        return Matching(self.indices.clone(), self.prepared.clone(), self.left_out.clone())

    def updated(self, atoms: torch.Tensor, newer: Matching) -> Matching:
        """With the rows of these atoms (indices) replaced by those of ``newer``."""
        both = self.copy()
        both.indices[atoms], both.prepared[atoms] = newer.indices, newer.prepared
        both.left_out[atoms] = newer.left_out
        return both


def keep_places(before: torch.Tensor, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The references ``found`` (n, k), those that were there ``before`` (n, k) in their places.

    Returns:
        The indices, (n, k), and which of them are new, (n, k).
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
