"""Results as rows of plain values, one for each structure: what a table of them is made of.

``losiko_torch.io.table`` has the columns and their types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from losiko_torch.results import Result
from losiko_torch.systems.names import formula_of, source_of
from losiko_torch.systems.reference_geometry import deviation


def rows_of(
    results: Sequence[Result], offsets: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """Return the rows of results, by the names of the columns.

    Args:
        results: The results.
        offsets: Bytes at which their frames begin in a file of extended xyz. None means no file.
    """
    places = [None] * len(results) if offsets is None else offsets
    return [_row(result, place) for result, place in zip(results, places, strict=True)]


def _row(result: Result, offset: int | None) -> dict[str, Any]:
    atoms, distances = result.atoms, result.distances
    row = {
        "number": result.number,
        "source": source_of(atoms, result.number),
        "formula": formula_of(atoms),
        "n_atoms": len(atoms),
        "reason": result.reason,
        "converged": bool(result.converged),
        "n_steps": int(result.n_steps),
        "start_loss": _finite(result.start_loss),
        "loss": _finite(result.loss),
        "terms": list(result.terms.items()),
        "rmsd": None if result.failed else deviation(atoms),
        "expected_rmsd": result.expected_rmsd,
        "reliable": result.reliable,
        "doubt": result.doubt,
        "offset": offset,
    }
    if result.matches is not None and len(distances):
        worst = int(np.argmax(distances))
        row |= {
            "largest_distance": float(distances[worst]),
            "worst_atom": worst,
            "worst_element": atoms.symbols[worst],
            "nearest_structure": _nearest(result.matches.structure),
            "nearest_atom": _nearest(result.matches.atom),
        }
    return row


def _nearest(numbers: np.ndarray) -> np.ndarray:
    """Return the first column of numbers (n, k); -1 where a target searches no references."""
    return numbers[:, 0] if numbers.shape[1] else np.full(len(numbers), -1)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
