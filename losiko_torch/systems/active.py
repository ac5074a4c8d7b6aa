"""The atoms of a batch whose surroundings are evaluated: all, or those that can have changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from losiko_torch.systems.batch import Batch
from losiko_torch.systems.neighbors import Pairs


@dataclass(frozen=True)
class ActiveAtoms:
    """Atoms of a batch that are evaluated, and their pairs.

    Attributes:
        centers: Indices of the active atoms, ascending, shape (n,). None means all atoms.
        listed: Pairs of these atoms, all within the descriptor's cutoff among them. None means
            that they are still to be found.
        batch: Batch that the pairs are those of, if some may be beyond the cutoff. None means that
            all are within.
        cutoff: Distance in Angstrom beyond which no listed pair counts.
    """

    centers: torch.Tensor | None = None
    listed: Pairs | None = None
    batch: Batch | None = None
    cutoff: float = torch.inf

    @cached_property
    def vectors(self) -> torch.Tensor | None:
        """Vectors of the listed pairs, Angstrom, shape (E, 3), where some may be far."""
        if self.listed is None or self.batch is None:
            return None
        with torch.no_grad():
            return self.listed.vectors(self.batch)

    @cached_property
    def near(self) -> torch.Tensor | None:
        """Mask (E,) of the listed pairs that are within the cutoff; None means all."""
        vectors = self.vectors
        return None if vectors is None else vectors.square().sum(1) <= self.cutoff**2

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
