"""Doubts from what became of bonds: atoms that collided, left, stand alone, or joined.

A relaxation by similarity repairs what is nearly right. Whatever begins with its atoms bonded as
they should be ends so; where the bonds of the end are not those of the start, either may be wrong.
"""

from __future__ import annotations

import torch

from losiko_torch.database.building.closest import closest_table
from losiko_torch.database.building.survey import FARTHEST
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.systems.bonds import BONDED, Lengths
from losiko_torch.verdict.change import REACH, Change
from losiko_torch.verdict.doubts import Doubts

#: Shares of the shortest known distance, at the end and at the start, and of the largest from a
#: nearest neighbour, that are too near and too far.
TOO_NEAR, COLLIDED, TOO_FAR = 0.9, 0.55, 1.15
#: Share of the covalent radii's sum in the place of a shortest distance that is not known.
UNKNOWN = 0.7
#: Distances over covalent radii of two atoms: bonded for sure, apart, and bonded once but not now.
JOINED, APART, LEFT = 1.2, 1.55, 1.5


def doubt_bonding(doubts: Doubts, change: Change, database: DatabaseRecord) -> None:
    """Add doubts about bonds, by the distances that a database holds."""
    _collided(doubts, change, database)
    _too_near(doubts, change, database)
    limits = _loneliest(change, database)
    _left(doubts, change, limits)
    _alone(doubts, change, limits)
    _joined(doubts, change)


def _collided(doubts: Doubts, change: Change, database: DatabaseRecord) -> None:
    """Doubt structures that began with two atoms on top of each other."""
    start = change.start
    near = start.lengths < COLLIDED * _least(start, change, database)

    def sentence(row: int) -> str:
        return (
            f"{doubts.name(start.pairs.center[row])} and {doubts.name(start.pairs.neighbor[row])} "
            f"were {start.lengths[row]:.2f} A apart at the start, so that nothing tells which "
            "neighbours they should have: look whether those at the end are right"
        )

    mask = near & change.could_change(start)
    doubts.add_where(mask, start.pairs.center, sentence, start.lengths)


def _too_near(doubts: Doubts, change: Change, database: DatabaseRecord) -> None:
    """Doubt atoms nearer to each other than any known good ones of these elements."""
    end, least = change.end, _least(change.end, change, database)

    def sentence(row: int) -> str:
        return (
            f"{doubts.name(end.pairs.center[row])} is {end.lengths[row]:.2f} A from "
            f"{doubts.name(end.pairs.neighbor[row])}, nearer than such atoms come "
            f"({least[row]:.2f} A): two atoms have collided, begin from a better structure"
        )

    mask = (end.lengths < TOO_NEAR * least) & change.could_change(end)
    doubts.add_where(mask, end.pairs.center, sentence, end.lengths)


def _least(lengths: Lengths, change: Change, database: DatabaseRecord) -> torch.Tensor:
    """Return the least distance that the elements of each pair are known to have, shape (E,)."""
    table = closest_table(database.closest or {}, UNKNOWN).to(lengths.lengths)
    numbers = change.after.numbers.long()
    return table[numbers[lengths.pairs.center], numbers[lengths.pairs.neighbor]]


def _loneliest(change: Change, database: DatabaseRecord) -> torch.Tensor | None:
    """Return the distance of each atom from its nearest one that is too far, (N,); None unknown."""
    if database.survey is None:
        return None
    numbers = change.after.numbers.long()
    farthest = torch.full((int(numbers.max()) + 1,), torch.inf)
    for number, length in database.survey.loneliest.items():
        if number < len(farthest) and length < FARTHEST:
            farthest[number] = length
    return TOO_FAR * farthest.to(change.end.lengths)[numbers]


def _left(doubts: Doubts, change: Change, limits: torch.Tensor | None) -> None:
    """Doubt atoms that lost a bond, or did not find the one that they lacked."""
    start, now = change.start, change.start_now
    bonded = start.relative <= JOINED
    # An atom without a bond belongs to its nearest one.
    first = start.relative <= change.nearest_then[start.pairs.center]
    lost = (bonded | (first & (start.relative <= BONDED))) & (now.relative > LEFT)
    lacking = first & (start.relative > BONDED) & (now.relative > BONDED)
    mask = lost | lacking
    if limits is not None:
        # A neighbour as far as known good ones have it is no bond that is lacking.
        mask &= bonded | (now.lengths > limits[start.pairs.center])

    def sentence(row: int) -> str:
        return (
            f"{doubts.name(start.pairs.center[row])} has left its neighbour "
            f"{doubts.name(start.pairs.neighbor[row])}, {start.lengths[row]:.2f} A away at the "
            f"start and {now.lengths[row]:.2f} A now: look whether that is meant"
        )

    doubts.add_where(mask & change.could_change(start), start.pairs.center, sentence)


def _alone(doubts: Doubts, change: Change, limits: torch.Tensor | None) -> None:
    """Doubt atoms farther from all others than any known good one."""
    if limits is None:
        return
    after = change.after
    nearest = change.end.least(change.end.lengths, after.n_atoms)
    several = after.counts[after.system_idx] > 1

    def sentence(atom: int) -> str:
        length = float(nearest[atom])
        away = f"{length:.2f} A" if length < REACH else f"more than {REACH:g} A"
        return (
            f"{doubts.name(every[atom])} is {away} from its nearest neighbour, farther than any "
            "such atom in the database: begin from a better structure"
        )

    every = torch.arange(after.n_atoms, device=nearest.device)
    doubts.add_where((nearest > limits) & change.moving & several, every, sentence)


def _joined(doubts: Doubts, change: Change) -> None:
    """Doubt bonds between atoms that were apart, unless one of them had none and was nearest."""
    end, then = change.end, change.end_then
    stray = torch.zeros_like(end.relative, dtype=torch.bool)
    for atoms in (end.pairs.center, end.pairs.neighbor):
        nearest = change.nearest_then[atoms]
        stray |= (nearest > BONDED) & (then.relative <= 1.1 * nearest)
    formed = (end.relative < JOINED) & (then.relative > APART) & ~stray

    def sentence(row: int) -> str:
        return (
            f"{doubts.name(end.pairs.center[row])} has become a neighbour of "
            f"{doubts.name(end.pairs.neighbor[row])}, {then.lengths[row]:.2f} A away at the start "
            f"and {end.lengths[row]:.2f} A now: look whether that is meant"
        )

    doubts.add_where(formed & change.could_change(end), end.pairs.center, sentence)
