"""Distributions of a run's numbers, counted into bins, so that no run is too large to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from losiko_torch.report.summary import column, failed_rows

if TYPE_CHECKING:
    import pyarrow as pa

#: Bins of a histogram, at most.
BINS = 40


@dataclass(frozen=True)
class Histogram:
    """Counts of one quantity or of a few that share an axis.

    Attributes:
        title: What is counted.
        axis: The axis, with its unit.
        log: Whether ``edges`` are decimal logarithms.
        edges: Of the bins, rising, shape (b + 1,).
        counts: Structures in each bin, by series, shape (b,) each.
    """

    title: str
    axis: str
    log: bool
    edges: list[float]
    counts: dict[str, list[int]]


def histograms(table: pa.Table) -> list[Histogram]:
    """Steps, losses, largest distances and RMSD of the structures that did not fail.

    What has no values, such as the RMSD of structures without a reference geometry, is left out.
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
    """Bins of equal width; of ``whole`` numbers as many in each."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = values.min(), values.max()
    if whole:
        width = -(-(high - low + 1) // BINS)
        edges = np.arange(low - 0.5, high + width, width)
    else:
        # A value alone gets a bin of a width that the eye can take for one.
        edges = np.linspace(low, high if high > low else low + max(abs(low), 1) / BINS, BINS + 1)
    counts = {"after": np.histogram(values, edges)[0].tolist()}
    return Histogram(title, axis, False, edges.tolist(), counts)


def _logarithmic(title: str, axis: str, series: dict[str, np.ndarray]) -> Histogram | None:
    """Bins of equal width in the logarithm; what is not positive counts as the least that is."""
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
