"""Results as columns of plain values, one for each structure: what a table of them is made of.

``losiko_torch.io.table`` has their types, and adds the nearest references.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch.results import Result, expected_rmsds
from losiko_torch.systems.names import formula_of, name_of, source_of
from losiko_torch.systems.reference_geometry import deviation


def rows_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the rows of results, by the names of the columns."""
    columns = columns_of(results)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def columns_of(results: Sequence[Result]) -> dict[str, list]:
    """Return the columns of results by name, None where a structure has no such value."""
    structures = [result.atoms for result in results]
    return {
        "number": [result.number for result in results],
        "source": [source_of(result.atoms, result.number) for result in results],
        "name": [name_of(result.atoms.info) for result in results],
        "formula": [_formula(atoms) for atoms in structures],
        "n_atoms": [len(atoms) for atoms in structures],
        "reason": [result.reason for result in results],
        "converged": [bool(result.converged) for result in results],
        "n_steps": [int(result.n_steps) for result in results],
        "start_loss": [_finite(result.start_loss) for result in results],
        "loss": [_finite(result.loss) for result in results],
        "terms": [list(result.terms.items()) for result in results],
        **_worst(results),
        "rmsd": [None if result.failed else deviation(result.atoms) for result in results],
        "expected_rmsd": expected_rmsds(results),
        "reliable": [result.reliable for result in results],
        "doubt": [result.doubt for result in results],
    }


def is_judged(result: Result) -> bool:
    """Return whether atoms of a result have distances and references."""
    return result.matches is not None and len(result.distances) > 0


def _worst(results: Sequence[Result]) -> dict[str, list]:
    """Return the columns of the atom that adds most to the loss."""
    worst = [int(result.distances.argmax()) if is_judged(result) else None for result in results]
    pairs = list(zip(results, worst, strict=True))
    return {
        "largest_distance": [None if k is None else float(each.distances[k]) for each, k in pairs],
        "worst_atom": worst,
        "worst_element": [
            None if k is None else chemical_symbols[each.atoms.numbers[k]] for each, k in pairs
        ],
    }


def _formula(atoms: Atoms) -> str:
    return _formula_of(np.sort(atoms.numbers).astype(np.int64).tobytes())


@lru_cache(maxsize=4096)
def _formula_of(numbers: bytes) -> str:
    return formula_of(Atoms(np.frombuffer(numbers, dtype=np.int64)))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
