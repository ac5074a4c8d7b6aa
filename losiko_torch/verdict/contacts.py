"""Doubts about contacts: hydrogen and halogen bonds that were lost, and molecules that touch."""

from __future__ import annotations

import torch
from ase.data import vdw_radii
from scipy.sparse import identity

from losiko_torch.database.record import DatabaseRecord
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.bonds import BONDED, Lengths
from losiko_torch.verdict.change import Change
from losiko_torch.verdict.doubts import Doubts

#: Distance over the sum of van der Waals radii of a contact, of one that is lost, and its growth;
#: and that within which two molecules touch.
CONTACT, LOST, GROWN, TOUCHING = 0.8, 0.85, 1.15, 1.1
#: Elements whose van der Waals radii (Bondi, J. Phys. Chem. 68, 441, 1964, as ASE has them) count;
#: those of others are taken as this, in Angstrom.
MOLECULAR, OTHERS = [1, 6, 7, 8, 9, 15, 16, 17, 35, 53], 2.0


def doubt_contacts(doubts: Doubts, change: Change, database: DatabaseRecord) -> None:
    """Add doubts about contacts that were lost, and about those that a database does not hold."""
    _lost(doubts, change)
    _unknown(doubts, change, database)


def _lost(doubts: Doubts, change: Change) -> None:
    start, now = change.start, change.start_now
    center, neighbor = start.pairs.center, start.pairs.neighbor
    reach = _reach(change, start)
    # Hydrogen and halogen bonds; H...H and C...H come as near by chance.
    polar = (change.after.numbers != 1) & (change.after.numbers != 6)
    near = (start.lengths < CONTACT * reach) & (start.relative > BONDED)
    near &= polar[center] | polar[neighbor]
    lost = near & (now.lengths > LOST * reach) & (now.lengths > GROWN * start.lengths)
    lost &= change.could_change(start)
    if lost.any():
        lost[lost.clone()] = ~_within_three_bonds(start, change.after, lost)

    def sentence(row: int) -> str:
        return (
            f"the contact of {doubts.name(center[row])} with {doubts.name(neighbor[row])} went "
            f"from {start.lengths[row]:.2f} A to {now.lengths[row]:.2f} A: use a database that "
            "holds such contacts"
        )

    doubts.add_where(lost, center, sentence)


def _unknown(doubts: Doubts, change: Change, database: DatabaseRecord) -> None:
    end, numbers = change.end, change.after.numbers
    # Without a bond there are no molecules.
    if database.survey is None or not (end.relative <= BONDED).any():
        return
    center, neighbor = end.pairs.center, end.pairs.neighbor
    known = torch.zeros((len(vdw_radii),) * 2, dtype=torch.bool)
    if database.survey.contacts:
        one, other = torch.tensor(list(database.survey.contacts)).T
        known[one, other] = known[other, one] = True
    known = known.to(center.device)
    touching = ~known[numbers[center], numbers[neighbor]] & change.could_change(end)
    touching &= end.lengths < TOUCHING * _reach(change, end)
    if not touching.any():
        return
    # Molecules are told apart only where something may touch.
    labels = _of_same(end, change.after, touching).molecules(change.after.n_atoms)
    touching &= labels[center] != labels[neighbor]

    def sentence(row: int) -> str:
        return (
            f"{doubts.name(center[row])} touches another molecule's {doubts.name(neighbor[row])}, "
            "and the database holds no such contacts: use one that does"
        )

    doubts.add_where(touching, center, sentence)


def _reach(change: Change, lengths: Lengths) -> torch.Tensor:
    """Return the sums of the van der Waals radii of pairs, Angstrom, shape (E,)."""
    table = torch.full((len(vdw_radii),), OTHERS)
    table[MOLECULAR] = torch.as_tensor(vdw_radii[MOLECULAR], dtype=table.dtype)
    radii = table.to(lengths.lengths)[change.after.numbers.long()]
    return radii[lengths.pairs.center] + radii[lengths.pairs.neighbor]


def _of_same(lengths: Lengths, batch: Batch, some: torch.Tensor) -> Lengths:
    """Return the pairs of the structures of which a pair is in a mask."""
    own = batch.system_idx[lengths.pairs.center]
    chosen = torch.zeros(batch.n_systems, dtype=torch.bool, device=own.device)
    chosen[own[some]] = True
    return lengths.keep(chosen[own])


def _within_three_bonds(start: Lengths, batch: Batch, some: torch.Tensor) -> torch.Tensor:
    """Tell of which pairs of a mask three bonds, or fewer, lead from one atom to the other."""
    center, neighbor = (
        each[some].cpu().numpy() for each in (start.pairs.center, start.pairs.neighbor)
    )
    bonds = _of_same(start, batch, some).bonds(batch.n_atoms).tocsr()
    # From each atom to itself and to those that one bond leads to.
    near = bonds + bonds.T + identity(batch.n_atoms, dtype=bool, format="csr")
    # Two bonds from the one atom and one from the other meet.
    meet = (near[center] @ near).multiply(near[neighbor])
    return torch.as_tensor(meet.getnnz(1) > 0, device=start.lengths.device)
