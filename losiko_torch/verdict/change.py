"""Changes that a relaxation made to the distances in a batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from losiko_torch.systems.batch import Batch
from losiko_torch.systems.bonds import Lengths

#: Distance in Angstrom within which pairs are looked at.
REACH = 4.0


@dataclass(frozen=True)
class Change:
    """Structures before and after a relaxation, and the pairs that are near before or after.

    Attributes:
        before, after: Structures as they were given, and as they ended, N atoms.
        moving: Atoms that could move, shape (N,), bool.
        start: Pairs that were near at the start, as they were then.
        end: Pairs that are near at the end, as they are now.
    """

    before: Batch
    after: Batch
    moving: torch.Tensor
    start: Lengths
    end: Lengths

    @classmethod
    def of(cls, before: Batch, after: Batch, moving: torch.Tensor) -> Change:
        """Return the change; ``moving`` (N,) tells which atoms could move."""
        start, end = Lengths.of(before, REACH), Lengths.of(after, REACH)
        return cls(before, after, moving, start, end)

    @cached_property
    def start_now(self) -> Lengths:
        """Pairs of ``start`` as they are now."""
        return Lengths.measured(self.after, self.start.pairs)

    @cached_property
    def end_then(self) -> Lengths:
        """Pairs of ``end`` as they were at the start."""
        return Lengths.measured(self.before, self.end.pairs)

    @cached_property
    def nearest_then(self) -> torch.Tensor:
        """Distance of each atom's nearest one at the start over covalent radii, shape (N,)."""
        return self.start.least(self.start.relative, self.before.n_atoms)

    def could_change(self, lengths: Lengths) -> torch.Tensor:
        """Return the mask (E,) of pairs of which an atom could move."""
        return self.moving[lengths.pairs.center] | self.moving[lengths.pairs.neighbor]
