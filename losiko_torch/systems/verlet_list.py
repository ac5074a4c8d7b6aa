r"""Verlet lists: pairs that stay good while atoms move little, and the atoms that can change.

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

from losiko_torch.systems.active import ActiveAtoms
from losiko_torch.systems.batch import Batch, max_by_system
from losiko_torch.systems.kept import all_true, any_true, avoids_waits, kept
from losiko_torch.systems.neighbors import Pairs, find_pairs
from losiko_torch.systems.record import ATOM, PAIR, SYSTEM, Masks, Record, part, per

#: Distance in Angstrom by which lists reach beyond the cutoff.
SKIN = 0.5
#: Atoms of a molecule up to which all its pairs are listed: hardly more of them than with a skin.
COMPLETE = 24


@dataclass(frozen=True)
class VerletList(Record):
    """Pairs of a batch, within ``cutoff`` + ``SKIN`` as it was at ``made_at``.

    Attributes:
        pairs: Pairs, sorted by center.
        made_at: Batch that they were found for.
        moving: Atoms that may move or whose cell may, shape (N,), bool.
        changing: Atoms that move or may see a moving one, or once might have, shape (N,), bool:
            the distance of an atom is known only as of its last evaluation.
        complete: Structures all of whose pairs are listed, shape (B,), bool: such a list stays good
            wherever the atoms go.
        cutoff: Distance (Angstrom) beyond which no pair counts.
        periodic: Whether periodic images count.
    """

    pairs: Pairs = part()
    made_at: Batch = part()
    moving: torch.Tensor = per(ATOM)
    changing: torch.Tensor = per(ATOM)
    complete: torch.Tensor = per(SYSTEM)
    cutoff: float = part()
    periodic: bool = part()

    @classmethod
    def make(cls, batch: Batch, moving: torch.Tensor, cutoff: float, periodic: bool) -> VerletList:
        """Find the pairs of a batch, of whose atoms those of the mask ``moving`` (N,) may move."""
        # Whoever sees nothing but fixed atoms is left out, and so is not to be listed with all.
        still = max_by_system((~moving).to(batch.positions), batch.system_idx, batch.n_systems)
        complete = (batch.counts <= COMPLETE) & (still == 0)
        if periodic:
            complete = complete & ~batch.pbc.any(1)
        pairs = _listed(batch, complete, cutoff, periodic)
        changing = moving | atoms_that_see(pairs, moving)
        return cls(pairs, batch, moving, changing, complete, cutoff, periodic)

    @property
    def centers(self) -> torch.Tensor | None:
        """Indices of the changing atoms, shape (C,); None if all change."""
        changing = self.changing
        if all_true(changing):
            return None
        return kept(changing, "places", lambda: changing.nonzero().squeeze(1))

    def active(self, batch: Batch) -> ActiveAtoms:
        """Atoms that can have changed, and their pairs within the cutoff of each other now."""
        pairs, centers = self.pairs, self.centers
        if centers is not None:
            pairs = pairs.keep(self.changing[pairs.center])
        listed = ActiveAtoms(centers, pairs, batch, self.cutoff)
        if avoids_waits(batch.positions.device):
            return listed
        return ActiveAtoms(centers, listed.pairs)

    def at(self, batch: Batch) -> VerletList:
        """List that is good for the structures of the batch as they are now; often itself."""
        if all_true(self.complete):
            return self
        stale = self._stale(batch) & ~self.complete
        if not stale.any():
            return self
        atoms = stale[batch.system_idx]
        number = atoms.nonzero().squeeze(1)
        some = batch.keep(stale)
        newer = _listed(some, self.complete[stale], self.cutoff, self.periodic)
        newer = replace(newer, center=number[newer.center], neighbor=number[newer.neighbor])
        pairs = self.pairs.keep(~atoms[self.pairs.center]).merged(newer)
        made_at = self.made_at.swapped(batch, stale)
        changing = self.changing | atoms_that_see(pairs, self.moving)
        return replace(self, pairs=pairs, made_at=made_at, changing=changing)

    def select(self, masks: Masks) -> VerletList:
        """List of the atoms and structures of the masks."""
        return super().select({**masks, PAIR: masks[ATOM][self.pairs.center]})

    def keep(self, systems: torch.Tensor) -> VerletList:
        """List of the structures of the mask (B,)."""
        return self.select(self.made_at.masks(systems))

    def joined(self, other: VerletList) -> VerletList:
        """List with the structures of another behind."""
        return self.join(other, self.made_at.sizes, other.made_at.sizes)

    def _stale(self, batch: Batch) -> torch.Tensor:
        """Mask (B,) of the structures whose list may lack a pair within the cutoff."""
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


def _listed(batch: Batch, complete: torch.Tensor, cutoff: float, periodic: bool) -> Pairs:
    """Return all pairs of the structures of a mask (B,), and those with a skin of the others."""
    if all_true(complete):
        return find_pairs(batch, torch.inf, periodic)
    near = find_pairs(batch, cutoff + SKIN, periodic)
    if not any_true(complete):
        return near
    own = complete[batch.system_idx]
    number = own.nonzero().squeeze(1)
    every = find_pairs(batch.keep(complete), torch.inf, periodic)
    every = replace(every, center=number[every.center], neighbor=number[every.neighbor])
    return near.keep(~own[near.center]).merged(every)


def atoms_that_see(pairs: Pairs, some: torch.Tensor) -> torch.Tensor:
    """Mask (N,) of the atoms that have one of the mask ``some`` (N,) among their neighbours."""
    seeing = torch.zeros_like(some)
    seeing[pairs.center[some[pairs.neighbor]]] = True
    return seeing
