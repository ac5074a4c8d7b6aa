"""The atoms of a batch whose surroundings are evaluated: all, or those that can have changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from losiko_torch.systems.neighbors import Pairs


@dataclass(frozen=True)
class ActiveAtoms:
    """Atoms of a batch that are evaluated, and their pairs.

    Attributes:
        centers: Indices of the active atoms, ascending, shape (n,). None means all atoms.
        listed: Pairs of these atoms, all within the descriptor's cutoff among them. None means
            that they are still to be found.
        near: Which of those are within the cutoff, shape (E,). None means all.
        vectors: Vectors of the listed pairs, Angstrom, shape (E, 3), where they are known.
    """

    centers: torch.Tensor | None = None
    listed: Pairs | None = None
    near: torch.Tensor | None = None
    vectors: torch.Tensor | None = None

    @cached_property
    def pairs(self) -> Pairs | None:
        """Pairs of these atoms within the cutoff; None if they are still to be found."""
        if self.listed is None or self.near is None:
            return self.listed
        return self.listed.keep(self.near)

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Rows of the active atoms, shape (n, ...), of per-atom values (N, ...)."""
        return values if self.centers is None else values[self.centers]

    def put(self, values: torch.Tensor, newer: torch.Tensor) -> torch.Tensor:
        """Per-atom values (N, ...) with the rows of the active atoms replaced by ``newer``."""
        return newer if self.centers is None else values.index_copy(0, self.centers, newer)


ALL_ATOMS = ActiveAtoms()
