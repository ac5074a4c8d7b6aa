"""Verdict on a batch that was relaxed: a doubt about each structure, or none.

The gravest reason comes first: units mistaken, atoms that collided, left, stand alone or joined,
contacts lost or unknown to the database, and a way longer than the method is made for.
"""

from __future__ import annotations

import torch

from losiko_torch.database.record import DatabaseRecord
from losiko_torch.systems.batch import Batch, max_by_system, sum_by_system
from losiko_torch.verdict.bonding import doubt_bonding
from losiko_torch.verdict.change import Change
from losiko_torch.verdict.contacts import doubt_contacts
from losiko_torch.verdict.doubts import Doubts
from losiko_torch.verdict.units import doubt_units

#: Way of a structure (root mean square, Angstrom) and of an atom beyond which it may have become
#: another: the starts that learned targets are fitted for are not so far.
FARTHEST, FARTHEST_ATOM = 0.6, 1.3


def doubts_of(
    before: Batch,
    after: Batch,
    moving: torch.Tensor,
    database: DatabaseRecord,
) -> list[str]:
    """Return the doubt about each structure, "" where there is none.

    Args:
        before: Structures as they were given.
        after: Structures as they ended.
        moving: Atoms that could move, shape (N,), bool.
        database: Database with the distances that are known.
    """
    doubts, change = Doubts(after), Change.of(before, after, moving)
    doubt_units(doubts, change)
    doubt_bonding(doubts, change, database)
    doubt_contacts(doubts, change, database)
    _doubt_way(doubts, before)
    return doubts.all()


def _doubt_way(doubts: Doubts, before: Batch) -> None:
    """Doubt molecules that have gone far: they may have become another conformer."""
    after = doubts.batch
    idx, n = after.system_idx, after.n_systems
    away = after.positions - before.positions
    away = away - (sum_by_system(away, idx, n) / after.counts[:, None])[idx]
    squares = away.square().sum(1)
    mean = (sum_by_system(squares, idx, n) / after.counts).sqrt()
    most = max_by_system(squares, idx, n).sqrt()
    far = ~after.pbc.any(1) & ((mean > FARTHEST) | (most > FARTHEST_ATOM))
    for system in far.nonzero().squeeze(1).tolist():
        doubts.add(
            system,
            f"its atoms went {mean[system]:.2f} A on average and {most[system]:.2f} A at most: it "
            "may have become another conformer, begin nearer to the structure that you want",
        )
