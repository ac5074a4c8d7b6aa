"""The structures of a run whose geometries a page holds: all of a run that is not too large.

Of a larger one, those that failed or are in doubt, the worst of the others, and an even sample of
the rest, as far as there is room.
"""

from __future__ import annotations

import numpy as np

from losiko_torch.report.summary import Rows, column, failed_rows, listed

#: Atoms and rows of a run that a page holds at most.
ATOMS, ROWS = 400_000, 100_000
#: Structures with the largest expected errors and with the worst-matched atoms that always come
#: before the sample.
WORST = 200
#: Golden ratio: its multiples, up to whole numbers, are spread evenly, however many there are.
GOLDEN = (5**0.5 - 1) / 2


def reliable_rows(rows: Rows) -> np.ndarray:
    """Return which rows are of structures to keep, shape (n,).

    A table of an earlier version has no verdict: what converged counts.
    """
    verdicts = zip(listed(rows, "reliable"), listed(rows, "converged"), strict=True)
    return np.array([bool(own if known is None else known) for known, own in verdicts], dtype=bool)


def by_interest(rows: Rows) -> np.ndarray:
    """Return all rows, the most interesting first, shape (n,)."""
    n = len(failed_rows(rows))
    doubtful = ~reliable_rows(rows)
    worst = np.zeros(n, dtype=bool)
    for name in ("expected_rmsd", "largest_distance"):
        values = np.nan_to_num(column(rows, name), nan=-np.inf)
        worst[np.argsort(-values, kind="stable")[:WORST]] = True
    spread = np.arange(n) * GOLDEN % 1
    return np.lexsort((spread, ~worst, ~doubtful))


def chosen_rows(rows: Rows, most_atoms: int = ATOMS, most_rows: int = ROWS) -> np.ndarray:
    """Return the rows whose geometries a page holds, in rising order.

    Args:
        rows: Rows of the run.
        most_atoms: Atoms that a page holds at most. A structure that does not fit is left out, and
            smaller ones behind it are not.
        most_rows: Structures that a page holds at most.
    """
    atoms = column(rows, "n_atoms")
    order = by_interest(rows)
    if atoms.sum() <= most_atoms and len(order) <= most_rows:
        return np.sort(order)
    kept: list[int] = []
    room = most_atoms
    for row in order.tolist():
        if atoms[row] <= room and len(kept) < most_rows:
            kept.append(row)
            room -= int(atoms[row])
    return np.sort(np.array(kept, dtype=np.int64))
