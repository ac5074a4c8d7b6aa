"""Verdict on a batch that was relaxed: a doubt about each structure, or none.

The gravest reason comes first: units mistaken, atoms that collided, left or joined, contacts lost,
surroundings unlike any known good ones, a way longer than the method is made for, a large error to
expect, and a relaxation that did not converge.
"""

from __future__ import annotations

import torch

from losiko_torch.database.record import DatabaseRecord
from losiko_torch.systems.batch import Batch, max_by_system, sum_by_system
from losiko_torch.verdict.bonding import doubt_bonding
from losiko_torch.verdict.doubts import Doubts

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
    doubts = Doubts(after)
    doubt_bonding(doubts, before, moving, database)
    _doubt_way(doubts, before)
    return doubts.all()


def _doubt_way(doubts: Doubts, before: Batch) -> None:
    """Doubt molecules that have gone far: they may have become another conformer."""
    after = doubts.batch
    idx, n = after.system_idx, after.n_systems
    away = after.positions - before.positions
    away = away - (sum_by_system(away, idx, n) / after.counts[:, None])[idx]
    far = away.square().sum(1)
    squares = sum_by_system(far, idx, n) / after.counts
    most = max_by_system(far, idx, n)
    free = ~after.pbc.any(1)
    for system in (
        (free & ((squares > FARTHEST**2) | (most > FARTHEST_ATOM**2))).nonzero().squeeze(1)
    ):
        k = int(system)
        if k not in doubts.sentences:
            doubts.sentences[k] = (
                f"its atoms went {float(squares[k]) ** 0.5:.2f} A on average and "
                f"{float(most[k]) ** 0.5:.2f} A at most: it may have become another conformer, "
                "begin nearer to the structure that you want"
            )
