"""Numbers of a run: counts of what became of its structures, spreads, and the worst and best.

``Counts`` takes in rows piece by piece, so that a stream of results need not be kept. Rows are a
table, see ``losiko_torch.io.table``, or a list of what it is made of (``io.result_rows``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from losiko_torch.report.failures import Failures, Groups
from losiko_torch.results import FAILED
from losiko_torch.systems.names import titled

if TYPE_CHECKING:
    import pyarrow as pa

#: Table of results, or its rows as dictionaries.
Rows: TypeAlias = "pa.Table | pa.RecordBatch | list[dict[str, Any]]"
#: Structures shown.
WORST, BEST = 12, 6
#: Columns of the table whose spreads are shown, and their titles.
QUANTITIES = {
    "n_steps": "steps",
    "start_loss": "loss before",
    "loss": "loss after",
    "largest_distance": "largest distance of an atom",
    "rmsd": "RMSD (Å)",
    "expected_rmsd": "expected RMSD (Å)",
}


@dataclass(frozen=True)
class Spread:
    """Quantiles and mean of ``count`` values; ``low`` and ``high`` cut off a tenth each."""

    count: int
    smallest: float
    low: float
    median: float
    mean: float
    high: float
    largest: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread | None:
        """Return the spread of the finite values among those of shape (n,); None without any."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return None
        smallest, low, median, high, largest = np.quantile(finite, [0, 0.1, 0.5, 0.9, 1])
        return cls(len(finite), smallest, low, median, float(finite.mean()), high, largest)


@dataclass(frozen=True)
class Summary:
    """Outcome of a run: counts of its structures, their spreads, and the worst and best.

    Attributes:
        total: Number of structures that have a result.
        converged: Number of those that converged.
        reliable: Number of those that converged and are not in doubt.
        max_steps: Number of those that reached the step limit.
        failed: Number of those that failed.
        failures: The failed ones, by reason.
        doubts: Those in doubt, by what speaks against them.
        spreads: Spreads of the structures that did not fail, by column of ``QUANTITIES``; a column
            without values is not there.
        worst: Rows of the structures with the worst-matched atoms, worst first.
        best: Rows of the structures whose worst-matched atoms are matched best, best first; none
            of ``worst``.
    """

    total: int
    converged: int
    max_steps: int
    failed: int
    failures: list[Failures]
    spreads: dict[str, Spread]
    worst: list[int]
    best: list[int]
    reliable: int = 0
    doubts: list[Failures] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The counts as text: "5 converged, 0 at the step limit, 1 failed"."""
        return (
            f"{self.converged:,} converged, {self.max_steps:,} at the step limit, "
            f"{self.failed:,} failed"
        )


class Counts:
    """Counts over rows of results, which are added piece by piece.

    Args:
        quantities: Columns whose values are kept for their spreads, eight bytes each.
    """

    def __init__(self, quantities: Iterable[str] = QUANTITIES):
        self.total = self._converged = self._failed = self._reliable = 0
        self._groups, self._doubts = Groups(), Groups()
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in quantities}

    def add(self, rows: Rows) -> None:
        """Add rows of ``losiko_torch.io.table``."""
        failed = failed_rows(rows)
        converged, sources = listed(rows, "converged"), titles(rows)
        reasons, doubts = listed(rows, "reason"), listed(rows, "doubt")
        self.total += len(failed)
        self._converged += sum(converged)
        self._failed += int(failed.sum())
        for k in np.flatnonzero(failed).tolist():
            self._groups.add(sources[k], reasons[k].removeprefix(FAILED))
        # A table of an earlier version has no verdict: what converged counts as it did.
        self._reliable += sum(
            own if verdict is None else verdict
            for verdict, own in zip(listed(rows, "reliable"), converged, strict=True)
        )
        for k, doubt in enumerate(doubts):
            if doubt and not failed[k]:
                self._doubts.add(sources[k], doubt)
        for name, values in self._values.items():
            values.append(column(rows, name)[~failed])

    def summary(self, worst: Iterable[int] = (), best: Iterable[int] = ()) -> Summary:
        """Return the numbers so far, with rows that the caller has ranked."""
        spreads = {
            name: Spread.of(np.concatenate([np.zeros(0), *values]))
            for name, values in self._values.items()
        }
        return Summary(
            total=self.total,
            converged=self._converged,
            max_steps=self.total - self._converged - self._failed,
            failed=self._failed,
            failures=self._groups.largest_first(),
            spreads={name: spread for name, spread in spreads.items() if spread is not None},
            worst=list(worst),
            best=list(best),
            reliable=self._reliable,
            doubts=self._doubts.largest_first(),
        )


def summarize(table: pa.Table, worst: int = WORST, best: int = BEST) -> Summary:
    """Return the numbers of a run's table, with up to ``worst`` and ``best`` structures."""
    counts = Counts()
    counts.add(table)
    order = by_worst_atom(table).tolist()
    return counts.summary(order[:worst], order[worst:][::-1][:best])


def by_worst_atom(rows: Rows) -> np.ndarray:
    """Return the rows of structures that did not fail, by their worst-matched atom, worst first.

    The first of equal ones counts as worse.
    """
    distances = column(rows, "largest_distance")
    ranked = np.flatnonzero(np.isfinite(distances) & ~failed_rows(rows))
    return ranked[np.argsort(-distances[ranked], kind="stable")]


def worst_first(rows: Rows) -> np.ndarray:
    """Return all rows: failures, then what did not converge, then the others.

    Within each of these, the structure whose worst-matched atom is matched worst is first.
    """
    distances = np.nan_to_num(column(rows, "largest_distance"))
    return np.lexsort(
        (-distances, np.array(listed(rows, "converged"), dtype=bool), ~failed_rows(rows))
    )


def failed_rows(rows: Rows) -> np.ndarray:
    """Return which rows are of structures that failed, shape (n,)."""
    return np.array([reason.startswith(FAILED) for reason in listed(rows, "reason")], dtype=bool)


def titles(rows: Rows) -> list[str]:
    """Return what the structures of rows are called: their names and origins."""
    return [
        titled(*each) for each in zip(listed(rows, "name"), listed(rows, "source"), strict=True)
    ]


def column(rows: Rows, name: str) -> np.ndarray:
    """Return a column of numbers as floats, shape (n,), NaN where there is no number.

    A table of an earlier version may lack it as a whole.
    """
    if not isinstance(rows, list) and name in rows.schema.names:
        return np.asarray(rows[name]).astype(float)
    values = [np.nan if value is None else value for value in listed(rows, name)]
    return np.array(values, dtype=float)


def listed(rows: Rows, name: str) -> list[Any]:
    """Return a column, None where there is no value; a table may lack the column as a whole."""
    if isinstance(rows, list):
        return [row.get(name) for row in rows]
    if name not in rows.schema.names:
        return [None] * len(rows)
    return rows[name].to_pylist()
