"""Pairs of points within a cutoff, for a whole batch.

Molecules are small and come by the thousand: all their pairs are listed at once on the device and
the distant ones dropped. Periodic and large structures go one by one to vesin, which handles cells
of any shape, also ones smaller than the cutoff, and mixed periodicity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import vesin
from ase import Atoms
from ase.geometry import complete_cell

from losiko_torch.systems.batch import Batch
from losiko_torch.systems.kept import kept
from losiko_torch.systems.record import ATOM, PAIR, Record, Sizes, per
from losiko_torch.systems.sums import adds_in_any_order, gathered, segment_sums, summed

#: Above this many atoms a cell list beats listing all pairs of a molecule.
ALL_PAIRS_LIMIT = 200


@dataclass(frozen=True)
class Pairs(Record):
    """``E`` directed pairs: point ``center`` sees point ``neighbor`` in cell ``shift``.

    Every point sees itself (shift 0), as SOAP counts the central atom.

    Attributes:
        center, neighbor: Indices into the batch's points, shape (E,).
        shift: Integer multiples of the cell vectors, shape (E, 3). None means that no pair crosses
            a cell.
    """

    center: torch.Tensor = per(PAIR, numbers=ATOM)
    neighbor: torch.Tensor = per(PAIR, numbers=ATOM)
    shift: torch.Tensor | None = per(PAIR)

    def vectors(self, batch: Batch) -> torch.Tensor:
        """Vectors from center to neighbor in Angstrom, shape (E, 3), differentiable."""
        positions = batch.positions
        vectors = gathered(positions, self.neighbor) - gathered(positions, self.center)
        if self.shift is not None:
            cells = gathered(batch.cells, batch.system_idx[self.center])
            vectors = vectors + (self.shift.to(vectors.dtype).unsqueeze(1) @ cells).squeeze(1)
        return vectors

    def by_positions(self, by_vectors: torch.Tensor, n: int) -> torch.Tensor:
        """Gradient by n positions, (n, 3), that follows from the one by the vectors (E, 3)."""
        by_centers = segment_sums(by_vectors, self.first(n))
        if adds_in_any_order(by_vectors.device):
            return summed(by_vectors, self.neighbor, n) - by_centers
        return by_centers.neg_().index_add_(0, self.neighbor, by_vectors)

    def first(self, n: int) -> torch.Tensor:
        """First pair of each of n points, and E, shape (n + 1,)."""

        # Not by ``first_of``: to count is to wait for a GPU, and lists are new in many steps.
        def found() -> torch.Tensor:
            points = torch.arange(n + 1, device=self.center.device)
            return torch.searchsorted(self.center, points)

        return kept(self.center, ("first", n), found)

    def incoming(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pairs in the order of their neighbours (E,), and the first of each of n points, and E."""

        def found() -> tuple[torch.Tensor, torch.Tensor]:
            neighbor, order = torch.sort(self.neighbor, stable=True)
            points = torch.arange(n + 1, device=neighbor.device)
            return order, torch.searchsorted(neighbor, points)

        return kept(self.neighbor, ("incoming", n), found)

    def keep(self, mask: torch.Tensor) -> Pairs:
        """Pairs where the mask (E,) is true."""
        # The rows are counted once, not for each tensor.
        return self.select({PAIR: mask.nonzero().squeeze(1)})

    def of_others(self) -> Pairs:
        """Pairs without those of each point with itself; those with its images stay."""
        itself = self.center == self.neighbor
        if self.shift is not None:
            itself = itself & (self.shift == 0).all(1)
        return self.keep(~itself)

    def join(self, other: Pairs, mine: Sizes, others: Sizes) -> Pairs:
        """Pairs of both batches, sorted by center."""
        n = mine[ATOM]
        return self.merged(replace(other, center=other.center + n, neighbor=other.neighbor + n))

    def merged(self, *others: Pairs) -> Pairs:
        """Pairs of the same points together, sorted by center; those of one center as they come."""
        every = [self, *others]
        center = torch.cat([pairs.center for pairs in every])
        neighbor = torch.cat([pairs.neighbor for pairs in every])
        order = torch.argsort(center, stable=True)
        shift = None
        if any(pairs.shift is not None for pairs in every):
            none = [pairs.center.new_zeros((len(pairs.center), 3)) for pairs in every]
            given = [pairs.shift for pairs in every]
            parts = [n if g is None else g for n, g in zip(none, given, strict=True)]
            shift = torch.cat(parts)[order]
        return Pairs(center[order], neighbor[order], shift)


@torch.no_grad()
def find_pairs(batch: Batch, cutoff: float, periodic: bool) -> Pairs:
    """Pairs with a distance of at most ``cutoff`` (Angstrom), sorted by center.

    Args:
        batch: The structures; atomic number 0 marks points that see atoms but are not seen.
        cutoff: Largest distance.
        periodic: Whether to honour ``batch.pbc``; False treats every structure as a cluster.
    """
    counts = batch.counts
    by_cell_list = counts > ALL_PAIRS_LIMIT
    if periodic:
        by_cell_list = by_cell_list | batch.pbc.any(1)
    starts = torch.cumsum(counts, 0) - counts
    found = [_all_pairs(batch, starts, counts.where(~by_cell_list, 0), cutoff)]
    for system in by_cell_list.nonzero().squeeze(1).tolist():
        start, count = int(starts[system]), int(counts[system])
        found.append(_cell_list_pairs(batch, system, start, count, cutoff, periodic))
    pairs = found[0] if len(found) == 1 else found[0].merged(*found[1:])
    return pairs.keep(batch.numbers[pairs.neighbor] > 0)


def close_pairs(atoms: Atoms, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices (i, j) of the distinct atoms of one structure within ``distance`` of each other."""
    # vesin's cells are as large as its cutoff: a tiny cutoff would make it bin empty space.
    first, second, apart = vesin.NeighborList(
        cutoff=max(distance, 1.5), full_list=False, n_threads=1
    ).compute(atoms.positions, complete_cell(atoms.cell), atoms.pbc, "ijd")
    close = apart <= distance
    return first[close], second[close]


def _all_pairs(batch: Batch, starts: torch.Tensor, counts: torch.Tensor, cutoff: float) -> Pairs:
    """Return the pairs within the cutoff in structures of ``counts`` atoms, of all their pairs."""
    squared = counts * counts
    system = torch.repeat_interleave(squared)
    local = torch.arange(system.shape[0], device=system.device)
    local = local - (torch.cumsum(squared, 0) - squared)[system]
    center = starts[system] + local // counts[system]
    neighbor = starts[system] + local % counts[system]
    positions = batch.positions.detach()
    distance2 = (positions[neighbor] - positions[center]).square().sum(1)
    return Pairs(center, neighbor, None).keep(distance2 <= cutoff**2)


def _cell_list_pairs(
    batch: Batch, system: int, start: int, count: int, cutoff: float, periodic: bool
) -> Pairs:
    """Pairs within the cutoff in one structure, found by vesin's cell list."""
    device = batch.positions.device
    positions = batch.positions[start : start + count].detach().double().cpu().numpy()
    cell = batch.cells[system].detach().double().cpu().numpy()
    pbc = batch.pbc[system].cpu().numpy() if periodic else np.zeros(3, dtype=bool)
    center, neighbor, shift = vesin.NeighborList(
        cutoff=cutoff, full_list=True, n_threads=1
    ).compute(positions, cell, pbc, "ijS")
    itself = np.arange(count)
    center = np.concatenate([itself, center.astype(np.int64)])
    neighbor = np.concatenate([itself, neighbor.astype(np.int64)])
    shift = np.concatenate([np.zeros((count, 3), np.int64), shift.astype(np.int64)])
    # vesin's order depends on its threads; a fixed order keeps sums, and so results, repeatable.
    order = np.lexsort((shift[:, 2], shift[:, 1], shift[:, 0], neighbor, center))
    return Pairs(
        torch.as_tensor(center[order] + start, device=device),
        torch.as_tensor(neighbor[order] + start, device=device),
        torch.as_tensor(shift[order], device=device) if periodic else None,
    )
