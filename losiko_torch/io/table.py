"""Results as a table of Arrow, with a row for each structure.

``rmsd`` is null unless the structure carries a reference geometry, see
``losiko_torch.systems.reference_geometry``. ``expected_rmsd`` is null unless targets are learned.
All other numbers are null if the structure failed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from losiko_torch.results import Result
from losiko_torch.systems.names import formula_of, source_of
from losiko_torch.systems.reference_geometry import deviation

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("source", pa.string()),
        ("formula", pa.string()),
        ("n_atoms", pa.int32()),
        ("reason", pa.string()),
        ("converged", pa.bool_()),
        ("n_steps", pa.int32()),
        ("start_loss", pa.float64()),
        ("loss", pa.float64()),
        # Terms of the loss beside the atoms' distances, by name.
        ("terms", pa.map_(pa.string(), pa.float64())),
        # The atom that adds most to the loss: what it adds, its index, its symbol.
        ("largest_distance", pa.float64()),
        ("worst_atom", pa.int32()),
        ("worst_element", pa.string()),
        # Angstrom.
        ("rmsd", pa.float64()),
        # Angstrom, see ``Result.expected_rmsd``.
        ("expected_rmsd", pa.float64()),
        # Whether to keep it, and what speaks against it.
        ("reliable", pa.bool_()),
        ("doubt", pa.string()),
        # The nearest reference of each atom: structure of the database, and atom in it.
        ("nearest_structure", pa.list_(pa.int32())),
        ("nearest_atom", pa.list_(pa.int32())),
        # Byte at which the structure's frame begins in the extended xyz beside the table.
        ("offset", pa.int64()),
    ]
)


def table_of(results: Sequence[Result], offsets: Sequence[int] | None = None) -> pa.Table:
    """Return the rows of results.

    Args:
        results: The results.
        offsets: Bytes at which their frames begin in a file of extended xyz. None means no file.
    """
    places = [None] * len(results) if offsets is None else offsets
    rows = [_row(result, place) for result, place in zip(results, places, strict=True)]
    return pa.Table.from_pylist(rows, SCHEMA)


def _row(result: Result, offset: int | None) -> dict:
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
