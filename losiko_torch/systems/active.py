"""The atoms of a batch whose surroundings are evaluated: all, or those that can have changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from losiko_torch.systems.neighbors import Pairs


@dataclass(frozen=True)
class ActiveAtoms:
    """Atoms of a batch that are evaluated, and their pairs.

    Attributes:
        centers: Indices of the active atoms, ascending, shape (n,). None means all atoms.
        pairs: Pairs of these atoms within the descriptor's cutoff. None means that they are still
            to be found.
    """

    centers: torch.Tensor | None = None
    pairs: Pairs | None = None

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Rows of the active atoms, shape (n, ...), of per-atom values (N, ...)."""
        return values if self.centers is None else values[self.centers]

    def put(self, values: torch.Tensor, newer: torch.Tensor) -> torch.Tensor:
        """Per-atom values (N, ...) with the rows of the active atoms replaced by ``newer``."""
        return newer if self.centers is None else values.index_copy(0, self.centers, newer)


ALL_ATOMS = ActiveAtoms()
