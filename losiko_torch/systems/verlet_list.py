r"""Pairs that stay good while atoms move little, and the atoms whose surroundings change at all.

A list is made with a skin: all pairs within cutoff + skin. Let a structure since then have deformed
by F (of its cell vectors, as rows: cells = cells_then F), and its atoms have moved by at most d
beyond what F does to them. Two points farther apart than cutoff + skin then are still farther than
the cutoff now, as long as

    s (cutoff + skin) - 2 d >= cutoff,

with s the smallest singular value of F. Where that fails for a structure, its pairs are found anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from losiko_torch.systems.batch import Batch, max_by_system
from losiko_torch.systems.neighbors import Pairs, find_pairs

#: Distance in Angstrom by which lists reach beyond the cutoff.
SKIN = 0.5


@dataclass(frozen=True)
class Sight:
    """Which atoms of a batch are looked at, and what they see.

    Attributes:
        centers: Their indices, ascending, (n,); None: all.
        pairs: Their pairs within the descriptor's cutoff; None: to be found.
    """

    centers: torch.Tensor | None = None
    pairs: Pairs | None = None

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """The rows of these atoms, of per-atom values (N, ...)."""
        return values if self.centers is None else values[self.centers]

    def put(self, values: torch.Tensor, newer: torch.Tensor) -> torch.Tensor:
        """Per-atom values (N, ...) with the rows of these atoms replaced."""
        return newer if self.centers is None else values.index_copy(0, self.centers, newer)


EVERYTHING = Sight()


@dataclass(frozen=True)
class NeighborList:
    """The pairs of a batch, within ``cutoff`` + ``SKIN`` as it was at ``made_at``.

    Attributes:
        pairs: Sorted by center.
        made_at: The batch they were found for.
        moving: Atoms that may move or whose cell may, (N,), bool.
        changing: Those that move or may see a moving one, or once might have, (N,), bool: what an
            atom adds to the loss is known only as of the last time that it was looked at.
        cutoff: Distance (Angstrom) beyond which no pair counts.
        periodic: Whether images count.
    """

    pairs: Pairs
    made_at: Batch
    moving: torch.Tensor
    changing: torch.Tensor
    cutoff: float
    periodic: bool

    @classmethod
    def make(
        cls, batch: Batch, moving: torch.Tensor, cutoff: float, periodic: bool
    ) -> NeighborList:
        """All pairs of a batch."""
        pairs = find_pairs(batch, cutoff + SKIN, periodic)
        changing = moving | atoms_that_see(pairs, moving)
        return cls(pairs, batch, moving, changing, cutoff, periodic)

    @property
    def centers(self) -> torch.Tensor | None:
        """Indices of the changing atoms, (C,); None if that is all."""
        return None if self.changing.all() else self.changing.nonzero().squeeze(1)

    def sight(self, batch: Batch) -> Sight:
        """The atoms that can change, and their pairs within the cutoff of each other now."""
        pairs, centers = self.pairs, self.centers
        if centers is not None:
            pairs = pairs.keep(self.changing[pairs.center])
        with torch.no_grad():
            near = pairs.vectors(batch).square().sum(1) <= self.cutoff**2
        return Sight(centers, pairs.keep(near))

    def at(self, batch: Batch) -> NeighborList:
        """One that is good for the structures of the batch as they are now; often itself."""
        stale = self._stale(batch)
        if not stale.any():
            return self
        atoms = stale[batch.system_idx]
        number = atoms.nonzero().squeeze(1)
        newer = find_pairs(batch.keep(stale), self.cutoff + SKIN, self.periodic)
        newer = replace(newer, center=number[newer.center], neighbor=number[newer.neighbor])
        pairs = self.pairs.keep(~atoms[self.pairs.center]).joined(newer)
        made_at = self.made_at.swapped(batch, stale)
        changing = self.changing | atoms_that_see(pairs, self.moving)
        return replace(self, pairs=pairs, made_at=made_at, changing=changing)

    def keep(self, systems: torch.Tensor) -> NeighborList:
        """That of the structures of the mask (B,)."""
        atoms = systems[self.made_at.system_idx]
        pairs = self.pairs.keep(atoms[self.pairs.center])
        number = torch.cumsum(atoms, 0) - 1
        pairs = replace(pairs, center=number[pairs.center], neighbor=number[pairs.neighbor])
        return replace(
            self,
            pairs=pairs,
            made_at=self.made_at.keep(systems),
            moving=self.moving[atoms],
            changing=self.changing[atoms],
        )

    def joined(self, other: NeighborList) -> NeighborList:
        """With the structures of another behind."""
        n = self.made_at.n_atoms
        behind = replace(
            other.pairs, center=other.pairs.center + n, neighbor=other.pairs.neighbor + n
        )
        return replace(
            self,
            pairs=self.pairs.joined(behind),
            made_at=self.made_at.joined(other.made_at),
            moving=torch.cat([self.moving, other.moving]),
            changing=torch.cat([self.changing, other.changing]),
        )

    def _stale(self, batch: Batch) -> torch.Tensor:
        """Structures (B,) whose pairs may be missing some."""
        then, idx = self.made_at, batch.system_idx
        if torch.equal(then.cells, batch.cells):
            carried, smallest = then.positions, 1.0
        else:
            # Periodic directions alone matter, but completed cells are regular and as good.
            deformation = torch.linalg.solve(then.cells, batch.cells)
            carried = (then.positions[:, None, :] @ deformation[idx]).squeeze(1)
            smallest = torch.linalg.svdvals(deformation)[:, -1]
        moved = (batch.positions - carried).norm(dim=1)
        reach = smallest * (self.cutoff + SKIN) - 2 * max_by_system(moved, idx, batch.n_systems)
        # Written so that a structure that is no longer finite is searched again.
        return ~(reach >= self.cutoff)


def atoms_that_see(pairs: Pairs, some: torch.Tensor) -> torch.Tensor:
    """Atoms (N,) that have one of ``some`` (N,) among their pairs."""
    seeing = torch.zeros_like(some)
    seeing[pairs.center[some[pairs.neighbor]]] = True
    return seeing
