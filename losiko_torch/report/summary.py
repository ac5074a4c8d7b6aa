"""The numbers of a run: fates, how far they spread, and which structures are worst and best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from losiko_torch.report.failures import Failures, grouped
from losiko_torch.results import FAILED

if TYPE_CHECKING:
    import pyarrow as pa

#: Structures shown.
WORST, BEST = 12, 6
#: What spreads are told of: columns of the table, and what they are called.
QUANTITIES = {
    "n_steps": "steps",
    "start_loss": "loss before",
    "loss": "loss after",
    "largest_distance": "largest distance of an atom",
    "rmsd": "RMSD (Å)",
}


@dataclass(frozen=True)
class Spread:
    """Quantiles and mean of the ``count`` values that there are."""

    count: int
    smallest: float
    low: float
    median: float
    mean: float
    high: float
    largest: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread | None:
        """Of the finite ones among values (n,); ``low`` and ``high`` leave out a tenth each."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return None
        smallest, low, median, high, largest = np.quantile(finite, [0, 0.1, 0.5, 0.9, 1])
        return cls(len(finite), smallest, low, median, float(finite.mean()), high, largest)


@dataclass(frozen=True)
class Summary:
    """What became of a run's structures.

    Attributes:
        total: Structures that have a result.
        converged: How many of them converged.
        max_steps: How many reached the step limit.
        failed: How many failed.
        failures: These, by reason.
        spreads: By column of ``QUANTITIES``, of the structures that did not fail; a column without
            values is not there.
        worst: Rows of the structures whose worst-matched atom is matched worst, worst first.
        best: Rows of those whose worst-matched atom is matched best, best first; none of ``worst``.
    """

    total: int
    converged: int
    max_steps: int
    failed: int
    failures: list[Failures]
    spreads: dict[str, Spread]
    worst: list[int]
    best: list[int]


def summarize(table: pa.Table, worst: int = WORST, best: int = BEST) -> Summary:
    """Sum up a run's table; ``worst`` and ``best`` structures are named."""
    reasons = table["reason"].to_pylist()
    failed = failed_rows(table)
    sources = table["source"].to_pylist()
    failures = [(sources[k], reasons[k].removeprefix(FAILED)) for k in np.flatnonzero(failed)]
    spreads = {name: Spread.of(column(table, name)[~failed]) for name in QUANTITIES}
    converged = sum(reason == "converged" for reason in reasons)
    order = _from_best(column(table, "largest_distance"), failed)
    last = order[::-1][:worst]
    return Summary(
        total=len(table),
        converged=converged,
        max_steps=len(table) - converged - int(failed.sum()),
        failed=int(failed.sum()),
        failures=grouped(failures),
        spreads={name: spread for name, spread in spreads.items() if spread is not None},
        worst=last,
        best=order[: min(best, len(order) - len(last))],
    )


def failed_rows(table: pa.Table) -> np.ndarray:
    """Which rows (n,) are of structures that failed."""
    reasons = table["reason"].to_pylist()
    return np.array([reason.startswith(FAILED) for reason in reasons], dtype=bool)


def column(table: pa.Table, name: str) -> np.ndarray:
    """A column of numbers as floats (n,), NaN where there is none."""
    return table[name].to_numpy().astype(float)


def as_number(value: float) -> str:
    """Three digits of a number: "0.0123", "1.23e-05", "12,300"."""
    if value == 0 or 1e-3 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.2e}"


def _from_best(distances: np.ndarray, failed: np.ndarray) -> list[int]:
    """Rows that can be ranked, by distance; of equal ones the first is worse."""
    rows = np.flatnonzero(np.isfinite(distances) & ~failed)[::-1]
    order = np.argsort(distances[rows], kind="stable")
    return [int(rows[k]) for k in order]
