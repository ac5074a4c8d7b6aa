"""Bonds and molecules of a batch, by covalent radii.

The measure of a pair of atoms is its distance over the sum of the two covalent radii (Cordero et
al., Dalton Trans. 2832, 2008, as ASE has them): about 1 for a bond, whatever the elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from ase.data import covalent_radii
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from losiko_torch.systems.batch import Batch
from losiko_torch.systems.neighbors import Pairs, find_pairs

#: Distance over the sum of the covalent radii up to which two atoms are bonded.
BONDED = 1.3


@dataclass(frozen=True)
class Lengths:
    """The E pairs of distinct atoms of a batch within some distance, each in both directions.

    Attributes:
        pairs: Pairs, sorted by center.
        lengths: Their distances in Angstrom, shape (E,).
        relative: Distances over the sums of covalent radii, shape (E,).
    """

    pairs: Pairs
    lengths: torch.Tensor
    relative: torch.Tensor

    @classmethod
    def of(cls, batch: Batch, cutoff: float) -> Lengths:
        """Return the pairs within ``cutoff`` (Angstrom), periodic images included."""
        return cls.measured(batch, find_pairs(batch, cutoff, periodic=True).of_others())

    @classmethod
    def measured(cls, batch: Batch, pairs: Pairs) -> Lengths:
        """Return pairs as they are measured in a batch."""
        lengths = pairs.vectors(batch).norm(dim=1)
        radii = _radii().to(lengths)[batch.numbers.long()]
        return cls(pairs, lengths, lengths / (radii[pairs.center] + radii[pairs.neighbor]))

    def keep(self, mask: torch.Tensor) -> Lengths:
        """Return the pairs of a mask (E,)."""
        return Lengths(self.pairs.keep(mask), self.lengths[mask], self.relative[mask])

    def least(self, values: torch.Tensor, count: int) -> torch.Tensor:
        """Return the least of values (E,) at each of ``count`` centers, infinite without a pair."""
        least = values.new_full((count,), torch.inf)
        return least.scatter_reduce_(0, self.pairs.center, values, "amin")

    def bonds(self, count: int) -> coo_matrix:
        """Return the graph of the bonds among ``count`` atoms."""
        bonded = self.relative <= BONDED
        rows = self.pairs.center[bonded].cpu().numpy()
        columns = self.pairs.neighbor[bonded].cpu().numpy()
        return coo_matrix((np.ones(len(rows), dtype=bool), (rows, columns)), (count, count))

    def molecules(self, count: int) -> torch.Tensor:
        """Return the number of the molecule that each of ``count`` atoms belongs to."""
        _, labels = connected_components(self.bonds(count), directed=False)
        return torch.as_tensor(labels, dtype=torch.long, device=self.pairs.center.device)


@cache
def _radii() -> torch.Tensor:
    return torch.as_tensor(covalent_radii)
