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
from losiko_torch.results.columns import Columns, ManyResults, rmsds_of, worst_of
from losiko_torch.systems.columns import Molecules, kinds_of
from losiko_torch.systems.names import SOURCE, formula_of, name_of, numbered, source_of
from losiko_torch.systems.reference_geometry import deviation


def rows_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the rows of results, by the names of the columns."""
    columns = columns_of(results)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def columns_of(results: Sequence[Result]) -> dict[str, list]:
    """Return the columns of results by name, None where a structure has no such value."""
    if isinstance(results, ManyResults):
        return _merged(results)
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


def _merged(results: ManyResults) -> dict[str, list]:
    """Return what ``columns_of`` does: of most from their columns, of the odd ones one by one."""
    places, columns, others = results.split()
    found = _of_columns(columns)
    if not others:
        return found
    odd = columns_of([results[place] for place in others])
    order = np.argsort([*places.tolist(), *others]).tolist()
    both = {name: [*values, *odd[name]] for name, values in found.items()}
    return {name: [values[k] for k in order] for name, values in both.items()}


def _of_columns(columns: Columns) -> dict[str, list]:
    molecules, reasons, doubts = columns.molecules, columns.reason, columns.doubt
    count, numbers, converged = len(columns), columns.number.tolist(), columns.converged.tolist()
    worst = worst_of(columns)
    atoms = (molecules.offsets[:-1] + worst).tolist()
    sources, names = molecules.facts.get(SOURCE), molecules.facts.get("name")
    terms = [values.tolist() for values in columns.terms.values()]
    return {
        "number": numbers,
        "source": list(map(numbered, numbers)) if sources is None else list(map(str, sources)),
        "name": [None] * count if names is None else [name_of({"name": name}) for name in names],
        "formula": _formulas(molecules),
        "n_atoms": molecules.counts.tolist(),
        "reason": reasons,
        "converged": converged,
        "n_steps": columns.n_steps.tolist(),
        "start_loss": _all_finite(columns.start_loss),
        "loss": _all_finite(columns.loss),
        "terms": (
            [list(zip(columns.terms, each, strict=True)) for each in zip(*terms, strict=True)]
            if terms
            else [[] for _ in range(count)]
        ),
        "largest_distance": columns.distances[atoms].astype(float).tolist(),
        "worst_atom": worst,
        "worst_element": [chemical_symbols[k] for k in molecules.numbers[atoms].tolist()],
        # Nothing but elements, positions and ``info``: no reference geometry.
        "rmsd": [None] * count,
        "expected_rmsd": list(rmsds_of(columns)),
        "reliable": [good and not doubt for good, doubt in zip(converged, doubts, strict=True)],
        "doubt": doubts,
    }


def _formulas(molecules: Molecules) -> list[str]:
    """Return the formula of each molecule, which is looked at once for each composition."""
    elements = np.flatnonzero(np.bincount(molecules.numbers))
    column = np.zeros(elements.max(initial=0) + 1, dtype=int)
    column[elements] = np.arange(len(elements))
    place = len(elements) * molecules.system + column[molecules.numbers]
    counts = np.bincount(place, minlength=len(elements) * len(molecules))
    counts = counts.reshape(len(molecules), len(elements))
    kind = kinds_of(counts.T, len(molecules))
    _, first = np.unique(kind, return_index=True)
    known = [
        _formula_of(np.repeat(elements, own).astype(np.int64).tobytes()) for own in counts[first]
    ]
    return [known[k] for k in kind.tolist()]


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


def _all_finite(values: np.ndarray) -> list[float | None]:
    """Return the ``_finite`` of each value."""
    numbers = values.tolist()
    return numbers if np.isfinite(values).all() else list(map(_finite, numbers))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
