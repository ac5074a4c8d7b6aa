"""Histograms of a run's numbers, so that a run of any size can be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from losiko_torch.report.summary import column, failed_rows

if TYPE_CHECKING:
    import pyarrow as pa

#: Most bins of a histogram.
BINS = 40


@dataclass(frozen=True)
class Histogram:
    """Counts of one quantity, or of a few that share an axis.

    Attributes:
        title: Name of the quantity.
        axis: Title of the axis, with its unit.
        log: Whether ``edges`` are decimal logarithms.
        edges: Edges of the bins, rising, shape (b + 1,).
        counts: Numbers of structures in the bins, shape (b,) each, by name of the series.
    """

    title: str
    axis: str
    log: bool
    edges: list[float]
    counts: dict[str, list[int]]


def histograms(table: pa.Table) -> list[Histogram]:
    """Return histograms of steps, losses, largest distances and RMSD of what did not fail.

    A quantity without values, such as the RMSD without reference geometries, is left out.

    Args:
        table: Table of a run, see ``losiko_torch.io.table``.
    """
    good = ~failed_rows(table)

    def values(name: str) -> np.ndarray:
        return column(table, name)[good]

    made = [
        _linear("Steps", "evaluations of the loss", values("n_steps"), whole=True),
        _logarithmic(
            "Loss",
            "loss, sum over the atoms (no unit)",
            {"before": values("start_loss"), "after": values("loss")},
        ),
        _logarithmic(
            "Largest distance",
            "largest distance of an atom (no unit)",
            {"after": values("largest_distance")},
        ),
        _linear("RMSD", "RMSD from the reference geometry (Å)", values("rmsd")),
    ]
    return [one for one in made if one is not None]


def _linear(title: str, axis: str, values: np.ndarray, whole: bool = False) -> Histogram | None:
    """Count values in bins of equal width, ``whole`` numbers so that each bin has as many."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = values.min(), values.max()
    if whole:
        width = -(-(high - low + 1) // BINS)
        edges = np.arange(low - 0.5, high + width, width)
    else:
        # A single value has no range: a bin of visible width holds it.
        edges = np.linspace(low, high if high > low else low + max(abs(low), 1) / BINS, BINS + 1)
    counts = {"after": np.histogram(values, edges)[0].tolist()}
    return Histogram(title, axis, False, edges.tolist(), counts)


def _logarithmic(title: str, axis: str, series: dict[str, np.ndarray]) -> Histogram | None:
    """Count values in bins of equal width in the logarithm.

    A value that is not positive counts as the smallest positive one.
    """
    finite = {name: values[np.isfinite(values)] for name, values in series.items()}
    together = np.concatenate(list(finite.values()))
    positive = together[together > 0]
    if not len(positive):
        return None
    low, high = np.log10(positive.min()), np.log10(positive.max())
    edges = np.linspace(low, high if high > low else low + 1 / BINS, BINS + 1)
    counts = {}
    for name, values in finite.items():
        logarithms = np.log10(values.clip(min=positive.min())).clip(low, edges[-1])
        counts[name] = np.histogram(logarithms, edges)[0].tolist()
    return Histogram(title, axis, True, edges.tolist(), counts)
