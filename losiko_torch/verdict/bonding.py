"""Doubts from what became of bonds and contacts: atoms that collided, left, joined or parted.

A relaxation by similarity repairs what is nearly right. Whatever begins with its atoms bonded as
they should be ends so; where the bonds of the end are not those of the start, either may be wrong.
"""

from __future__ import annotations

import numpy as np
import torch
from ase.data import covalent_radii
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from losiko_torch.database.record import DatabaseRecord
from losiko_torch.systems.batch import Batch, max_by_system
from losiko_torch.systems.bonds import BONDED, Lengths
from losiko_torch.systems.neighbors import Pairs
from losiko_torch.verdict.doubts import Doubts

#: Distance in Angstrom within which pairs are looked at.
REACH = 4.0
#: Shares of the shortest known distance, at the end and at the start, and of the largest from a
#: nearest neighbour, that are too near and too far.
TOO_NEAR, COLLIDED, TOO_FAR = 0.9, 0.55, 1.15
#: Distances over covalent radii of two atoms: bonded for sure, apart, and bonded once but not now.
JOINED, APART, LEFT = 1.2, 1.55, 1.5
#: Bohr and picometers in Angstrom, by what distances over covalent radii look like.
BOHR, PICOMETERS, NANOMETERS = (1.6, 2.3), 20.0, 0.3
#: Distance over the sum of van der Waals radii of a contact, of one that is lost, and its growth.
CONTACT, LOST, GROWN = 0.8, 0.85, 1.15
#: Van der Waals radii (Bondi, J. Phys. Chem. 68, 441, 1964), of other elements 2 Angstrom.
VDW = {
    1: 1.20,
    6: 1.70,
    7: 1.55,
    8: 1.52,
    9: 1.47,
    15: 1.80,
    16: 1.80,
    17: 1.75,
    35: 1.85,
    53: 1.98,
}
#: Bonds between the atoms of a contact within one molecule, at least.
BONDS_BETWEEN = 4


def doubt_bonding(
    doubts: Doubts, before: Batch, moving: torch.Tensor, database: DatabaseRecord
) -> None:
    """Add doubts about bonds and contacts.

    Args:
        doubts: Doubts about the structures as they ended.
        before: Structures as they were given.
        moving: Atoms that could move, shape (N,), bool.
        database: Database with the distances that are known.
    """
    after = doubts.batch
    start, end = Lengths.of(before, REACH), Lengths.of(after, REACH)
    _units(doubts, before, start)
    _collided(doubts, start, moving, database)
    _too_near(doubts, end, moving, database)
    _left(doubts, start, end, moving, database)
    _joined(doubts, before, start, end, moving)
    _contacts(doubts, start, end, moving, database)


def _units(doubts: Doubts, before: Batch, start: Lengths) -> None:
    """Doubt structures whose nearest atoms are all far, or all near, as with units mistaken."""
    n, idx = before.n_systems, before.system_idx
    nearest = start.least(start.relative, before.n_atoms)
    closest = nearest.new_full((n,), torch.inf).scatter_reduce_(0, idx, nearest, "amin")
    farthest = max_by_system(nearest, idx, n)
    several = before.counts > 1
    for system in (several & (closest > BOHR[0])).nonzero().squeeze(1).tolist():
        scale = _relative_scale(before, system)
        if scale > PICOMETERS:
            unit, factor = "picometers", "0.01"
        elif BOHR[0] < scale < BOHR[1]:
            unit, factor = "Bohr", "0.529"
        else:
            doubts.sentences[system] = (
                "no two of its atoms are near enough for a bond at the start: check its coordinates"
            )
            continue
        doubts.sentences[system] = (
            f"its coordinates look like {unit}: multiply them by {factor} to have Angstrom"
        )
    for system in (several & (farthest < NANOMETERS)).nonzero().squeeze(1).tolist():
        doubts.sentences[system] = (
            "its coordinates look like nanometers: multiply them by 10 to have Angstrom"
        )


def _relative_scale(batch: Batch, system: int) -> float:
    """Return the median over a structure's atoms of the least distance over covalent radii."""
    own = (batch.system_idx == system).cpu()
    positions = batch.positions.detach().double().cpu()[own].numpy()
    radii = covalent_radii[batch.numbers.cpu()[own].numpy()]
    apart = np.linalg.norm(positions[:, None] - positions, axis=2) / (radii[:, None] + radii)
    np.fill_diagonal(apart, np.inf)
    return float(np.median(apart.min(1)))


def _collided(
    doubts: Doubts, start: Lengths, moving: torch.Tensor, database: DatabaseRecord
) -> None:
    """Doubt structures that began with two atoms on top of each other."""
    near = start.lengths < COLLIDED * _least(start, doubts.batch, database)
    found = _worst_first(start.keep(near & _either(start, moving)))

    def sentence(row: int) -> str:
        return (
            f"{doubts.name(found.pairs.center[row])} and {doubts.name(found.pairs.neighbor[row])} "
            f"were {found.lengths[row]:.2f} A apart at the start, so that nothing tells which "
            "neighbours they should have: look whether those at the end are right"
        )

    doubts.add(found.pairs.center, sentence)


def _too_near(doubts: Doubts, end: Lengths, moving: torch.Tensor, database: DatabaseRecord) -> None:
    """Doubt atoms nearer to each other than any known good ones of these elements."""
    least = _least(end, doubts.batch, database)
    near = (end.lengths < TOO_NEAR * least) & _either(end, moving)
    found, allowed = _worst_first(end.keep(near)), least[near]
    allowed = allowed[torch.argsort(end.lengths[near])]

    def sentence(row: int) -> str:
        return (
            f"{doubts.name(found.pairs.center[row])} is {found.lengths[row]:.2f} A from "
            f"{doubts.name(found.pairs.neighbor[row])}, nearer than such atoms come "
            f"({allowed[row]:.2f} A): two atoms have collided, begin from a better structure"
        )

    doubts.add(found.pairs.center, sentence)


def _least(lengths: Lengths, batch: Batch, database: DatabaseRecord) -> torch.Tensor:
    """Return the least distance that the elements of each pair are known to have, shape (E,).

    For elements that the database has at no distance it is 0.7 of the covalent radii's sum.
    """
    numbers = batch.numbers.long()
    size = int(numbers.max()) + 1
    known = torch.zeros((size, size), dtype=lengths.lengths.dtype)
    for (one, other), length in (database.closest or {}).items():
        if other < size:
            known[one, other] = known[other, one] = length
    found = known.to(lengths.lengths.device)[
        numbers[lengths.pairs.center], numbers[lengths.pairs.neighbor]
    ]
    return torch.where(found > 0, found, 0.7 * lengths.lengths / lengths.relative)


def _left(
    doubts: Doubts, start: Lengths, end: Lengths, moving: torch.Tensor, database: DatabaseRecord
) -> None:
    """Doubt atoms that lost a bond, did not find the one they lacked, or stand alone."""
    batch = doubts.batch
    now = Lengths.measured(batch, start.pairs)
    nearest = start.least(start.relative, batch.n_atoms)
    first = start.relative <= nearest[start.pairs.center]
    bonded = start.relative <= JOINED
    # An atom without a bond belongs to its nearest one, as long as that is near enough to tell.
    left = torch.where(bonded, now.relative > LEFT, first & (now.relative > BONDED))
    left &= bonded | (first & (nearest[start.pairs.center] > BONDED))
    left |= first & (now.relative > LEFT) & (start.relative <= BONDED)
    survey = database.survey
    alone = torch.zeros(batch.n_atoms, dtype=torch.bool, device=batch.positions.device)
    end_nearest = end.least(end.lengths, batch.n_atoms)
    if survey is not None:
        farthest = torch.full((int(batch.numbers.max()) + 1,), torch.inf)
        for number, length in survey.loneliest.items():
            if number < len(farthest):
                farthest[number] = length if length < 5 else torch.inf
        limit = TOO_FAR * farthest.to(end_nearest)[batch.numbers.long()]
        alone = (end_nearest > limit) & moving & (batch.counts[batch.system_idx] > 1)
        # A neighbour as far as known good ones have it is no bond that is lacking.
        left &= bonded | (now.lengths > limit[start.pairs.center])
    found = start.keep(left & _either(start, moving))
    then = now.keep(left & _either(start, moving))

    def sentence(row: int) -> str:
        return (
            f"{doubts.name(found.pairs.center[row])} has left its neighbour "
            f"{doubts.name(found.pairs.neighbor[row])}, {found.lengths[row]:.2f} A away at the "
            f"start and {then.lengths[row]:.2f} A now: look whether that is meant"
        )

    doubts.add(found.pairs.center, sentence)
    lone = alone.nonzero().squeeze(1)

    def of_lone(row: int) -> str:
        length = float(end_nearest[lone[row]])
        away = f"{length:.2f} A" if length < REACH else f"more than {REACH:g} A"
        return (
            f"{doubts.name(lone[row])} is {away} from its nearest neighbour, farther than any such "
            "atom in the database: begin from a better structure"
        )

    doubts.add(lone, of_lone)


def _joined(
    doubts: Doubts, before: Batch, start: Lengths, end: Lengths, moving: torch.Tensor
) -> None:
    """Doubt bonds between atoms that were apart, unless one of them had none and was nearest."""
    then = Lengths.measured(before, end.pairs)
    nearest = start.least(start.relative, before.n_atoms)
    center, neighbor = end.pairs.center, end.pairs.neighbor
    stray = (nearest[center] > BONDED) & (then.relative <= 1.1 * nearest[center])
    stray |= (nearest[neighbor] > BONDED) & (then.relative <= 1.1 * nearest[neighbor])
    formed = (end.relative < JOINED) & (then.relative > APART) & ~stray & _either(end, moving)
    found, was = end.keep(formed), then.keep(formed)

    def sentence(row: int) -> str:
        return (
            f"{doubts.name(found.pairs.center[row])} has become a neighbour of "
            f"{doubts.name(found.pairs.neighbor[row])}, {was.lengths[row]:.2f} A away at the start "
            f"and {found.lengths[row]:.2f} A now: look whether that is meant"
        )

    doubts.add(found.pairs.center, sentence)


def _contacts(
    doubts: Doubts, start: Lengths, end: Lengths, moving: torch.Tensor, database: DatabaseRecord
) -> None:
    """Doubt contacts that were lost, and contacts of molecules that the database does not hold."""
    batch = doubts.batch
    radii = torch.full((119,), 2.0)
    for number, radius in VDW.items():
        radii[number] = radius
    radii = radii.to(start.lengths)[batch.numbers.long()]
    reach = radii[start.pairs.center] + radii[start.pairs.neighbor]
    now = Lengths.measured(batch, start.pairs)
    near = (start.lengths < CONTACT * reach) & (start.relative > BONDED)
    # Hydrogen and halogen bonds; H...H and C...H come as near by chance.
    polar = (batch.numbers != 1) & (batch.numbers != 6)
    near &= polar[start.pairs.center] | polar[start.pairs.neighbor]
    lost = near & (now.lengths > LOST * reach) & (now.lengths > GROWN * start.lengths)
    lost &= _either(start, moving)
    if lost.any():
        bonds = _bonds_between(start, batch.n_atoms, lost)
        lost[lost.clone()] = bonds >= BONDS_BETWEEN
    found, then = start.keep(lost), now.keep(lost)

    def sentence(row: int) -> str:
        return (
            f"the contact of {doubts.name(found.pairs.center[row])} with "
            f"{doubts.name(found.pairs.neighbor[row])} went from {found.lengths[row]:.2f} A to "
            f"{then.lengths[row]:.2f} A: use a database that holds such contacts"
        )

    doubts.add(found.pairs.center, sentence)
    survey = database.survey
    if survey is None or not (end.relative <= BONDED).any():
        return
    labels = end.molecules(batch.n_atoms)
    center, neighbor = end.pairs.center, end.pairs.neighbor
    reach = radii[center] + radii[neighbor]
    touching = (labels[center] != labels[neighbor]) & (end.lengths < 1.1 * reach)
    touching &= _either(end, moving)
    between = end.keep(touching)
    one, other = (
        batch.numbers[each].tolist() for each in (between.pairs.center, between.pairs.neighbor)
    )
    unknown = [
        row
        for row, pair in enumerate(zip(one, other, strict=True))
        if (min(pair), max(pair)) not in survey.contacts
    ]
    strange = between.keep(torch.tensor(unknown, dtype=torch.long, device=center.device))

    def of_strange(row: int) -> str:
        return (
            f"{doubts.name(strange.pairs.center[row])} touches another molecule's "
            f"{doubts.name(strange.pairs.neighbor[row])}, and the database holds no such contacts: "
            "use one that does"
        )

    doubts.add(strange.pairs.center, of_strange)


def _bonds_between(start: Lengths, count: int, some: torch.Tensor) -> torch.Tensor:
    """Return the number of bonds on the way between the atoms of pairs of a mask."""
    bonded = start.relative <= BONDED
    rows, columns = (
        each[bonded].cpu().numpy() for each in (start.pairs.center, start.pairs.neighbor)
    )
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), (count, count)).tocsr()
    centers = start.pairs.center[some].cpu().numpy()
    unique, place = np.unique(centers, return_inverse=True)
    lengths = dijkstra(graph, directed=False, indices=unique, unweighted=True)
    found = lengths[place, start.pairs.neighbor[some].cpu().numpy()]
    return torch.as_tensor(found, device=start.lengths.device)


def _either(lengths: Lengths, moving: torch.Tensor) -> torch.Tensor:
    """Return the mask of pairs of which an atom could move."""
    return moving[lengths.pairs.center] | moving[lengths.pairs.neighbor]


def _worst_first(lengths: Lengths) -> Lengths:
    """Return the pairs, the shortest first."""
    order = torch.argsort(lengths.lengths)
    pairs = lengths.pairs
    shift = None if pairs.shift is None else pairs.shift[order]
    ordered = Pairs(pairs.center[order], pairs.neighbor[order], shift)
    return Lengths(ordered, lengths.lengths[order], lengths.relative[order])
