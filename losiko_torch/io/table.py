"""Results as a table of Arrow, with a row for each structure.

``rmsd`` is null unless the structure carries a reference geometry, see
``losiko_torch.systems.reference_geometry``. ``expected_rmsd`` is null unless targets are learned.
All other numbers are null if the structure failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa

from losiko_torch.io.result_rows import columns_of, is_judged
from losiko_torch.results import Result
from losiko_torch.results.columns import ManyResults

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("source", pa.string()),
        # Name that the structure was given, ``info["name"]``.
        ("name", pa.string()),
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


def table_of(
    results: Sequence[Result], offsets: Sequence[int] | np.ndarray | None = None
) -> pa.Table:
    """Return the rows of results.

    Args:
        results: The results.
        offsets: Bytes at which their frames begin in a file of extended xyz. None means no file.
    """
    columns: dict[str, list | pa.Array] = {**columns_of(results), **_nearest(results)}
    columns["offset"] = pa.array([None] * len(results) if offsets is None else offsets, pa.int64())
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, field.type)
        for field in SCHEMA
        for values in [columns[field.name]]
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _nearest(results: Sequence[Result]) -> dict[str, pa.Array]:
    """Return the columns of the nearest references; -1 where a target searches none."""
    if isinstance(results, ManyResults) and not results.odd:
        columns = results.split()[1]
        bounds = pa.array(columns.molecules.offsets, pa.int32())
        structure, atom = map(_first, columns.matches[:2])
        return {
            name: pa.ListArray.from_arrays(bounds, pa.array(values, pa.int32()))
            for name, values in (("nearest_structure", structure), ("nearest_atom", atom))
        }
    if isinstance(results, ManyResults):
        parts = list(_runs(results))
        return {
            name: pa.concat_arrays([part[name] for part in parts])
            for name in ("nearest_structure", "nearest_atom")
        }
    ends, found = [0], {"nearest_structure": [_NONE], "nearest_atom": [_NONE]}
    judged = [is_judged(result) for result in results]
    for result, known in zip(results, judged, strict=True):
        ends.append(ends[-1])
        if not known:
            continue
        assert result.matches is not None
        ends[-1] += len(result.distances)
        found["nearest_structure"].append(_first(result.matches.structure))
        found["nearest_atom"].append(_first(result.matches.atom))
    # A list begins at none where it is null.
    begins = [end if known else None for end, known in zip(ends, judged, strict=False)]
    offsets = pa.array([*begins, ends[-1]], pa.int32())
    return {
        name: pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(parts), pa.int32()))
        for name, parts in found.items()
    }


def _runs(results: ManyResults) -> Iterator[dict[str, pa.Array]]:
    """Yield the columns of the nearest references of runs of results, odd ones by themselves."""
    first = 0
    for place in [*sorted(results.odd), len(results)]:
        if place > first:
            yield _nearest(results[first:place])
        if place < len(results):
            yield _nearest([results[place]])
        first = place + 1


_NONE = np.empty(0, dtype=np.int32)


def _first(numbers: np.ndarray) -> np.ndarray:
    """Return the first column of numbers (n, k); -1 where there is none."""
    if numbers.shape[1]:
        return numbers[:, 0]
    return _none(len(numbers))


@lru_cache(maxsize=256)
def _none(count: int) -> np.ndarray:
    return np.full(count, -1, dtype=np.int32)
