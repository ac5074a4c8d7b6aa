"""Results as a table of Arrow, with a row for each structure.

``rmsd`` is null unless the structure carries a reference geometry, see
``losiko_torch.systems.reference_geometry``. ``expected_rmsd`` is null unless targets are learned.
All other numbers are null if the structure failed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch.results import Result, expected_rmsds
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
    structures = [result.atoms for result in results]
    places = [None] * len(results) if offsets is None else offsets
    columns = {
        "number": [result.number for result in results],
        "source": [source_of(result.atoms, result.number) for result in results],
        "formula": [_formula(atoms) for atoms in structures],
        "n_atoms": [len(atoms) for atoms in structures],
        "reason": [result.reason for result in results],
        "converged": [bool(result.converged) for result in results],
        "n_steps": [int(result.n_steps) for result in results],
        "start_loss": [_finite(result.start_loss) for result in results],
        "loss": [_finite(result.loss) for result in results],
        "terms": [list(result.terms.items()) for result in results],
        "rmsd": [None if result.failed else deviation(result.atoms) for result in results],
        "expected_rmsd": expected_rmsds(results),
        "reliable": [result.reliable for result in results],
        "doubt": [result.doubt for result in results],
        "offset": places,
    }
    columns |= _worst(results) | _nearest(results)
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, field.type)
        for field in SCHEMA
        for values in [columns[field.name]]
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _formula(atoms: Atoms) -> str:
    return _formula_of(np.sort(atoms.numbers).astype(np.int64).tobytes())


@lru_cache(maxsize=4096)
def _formula_of(numbers: bytes) -> str:
    return formula_of(Atoms(np.frombuffer(numbers, dtype=np.int64)))


def _is_judged(result: Result) -> bool:
    return result.matches is not None and len(result.distances) > 0


def _worst(results: Sequence[Result]) -> dict[str, list]:
    """Return the columns of the atom that adds most to the loss."""
    worst = [int(result.distances.argmax()) if _is_judged(result) else None for result in results]
    pairs = list(zip(results, worst, strict=True))
    return {
        "largest_distance": [None if k is None else float(each.distances[k]) for each, k in pairs],
        "worst_atom": worst,
        "worst_element": [
            None if k is None else chemical_symbols[each.atoms.numbers[k]] for each, k in pairs
        ],
    }


def _nearest(results: Sequence[Result]) -> dict[str, pa.Array]:
    """Return the columns of the nearest references; -1 where a target searches none."""
    ends, found = [0], {"nearest_structure": [_NONE], "nearest_atom": [_NONE]}
    judged = [_is_judged(result) for result in results]
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


_NONE = np.empty(0, dtype=np.int32)


def _first(numbers: np.ndarray) -> np.ndarray:
    """Return the first column of numbers (n, k); -1 where there is none."""
    if numbers.shape[1]:
        return numbers[:, 0]
    return _none(len(numbers))


@lru_cache(maxsize=256)
def _none(count: int) -> np.ndarray:
    return np.full(count, -1, dtype=np.int32)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
