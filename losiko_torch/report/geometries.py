"""Geometries of structures as a page holds them: whole numbers of 0.0001 A, and packed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch.io.labels import DISTANCE, EXPECTED_ERROR
from losiko_torch.report.names import References
from losiko_torch.report.packing import packed_arrays, rounded

#: Ångström that a position is a whole number of, and the largest such number.
UNIT, LARGEST = 1e-4, 2**31 - 1


@dataclass(frozen=True)
class Drawn:
    """Structure that a page draws.

    Attributes:
        row: Its place in the page's list.
        atoms: Relaxed structure, with its labels.
        start: The structure before; None if it is not known.
        nearest: Structures of the database and atoms in them that its atoms are nearest to, shape
            (n, 2), -1 where there is none.
    """

    row: int
    atoms: Atoms
    start: Atoms | None
    nearest: np.ndarray

    @classmethod
    def make(
        cls, row: int, atoms: Atoms, start: Atoms | None, entry: dict[str, Any]
    ) -> Drawn | None:
        """Return a structure, or None if it has no positions to draw.

        Args:
            row: Place in the page's list.
            atoms: Relaxed structure.
            start: Structure before, if known.
            entry: Row of the run's table.
        """
        if len(atoms) == 0 or not _drawable(atoms):
            return None
        if start is not None and not (
            np.array_equal(start.numbers, atoms.numbers) and _drawable(start)
        ):
            start = None
        nearest = np.full((len(atoms), 2), -1)
        for column, name in enumerate(("nearest_structure", "nearest_atom")):
            found = entry.get(name)
            if found is not None and len(found) == len(atoms):
                nearest[:, column] = found
        return cls(row, atoms, start, nearest)


def geometries(drawn: Iterable[Drawn], references: References) -> tuple[dict[str, Any], str]:
    """Return what describes the geometries, in types that JSON has, and the packed numbers.

    The first has ``rows``; ``started``, 1 for those with a start; ``cells``, by place: the cell,
    the periodic directions, and the cell before; ``unit``; ``references``, the names of the
    references used; ``symbols`` of elements; ``arrays``, see ``packing.packed_arrays``. The numbers
    are, atom by atom: ``number``, ``after`` and ``before`` (the latter of those with a start, less
    ``after``), ``distance``, ``error`` (Angstrom, NaN if not known), ``nearest`` (place in
    ``references`` or -1) and ``nearest_atom``.
    """
    some = list(drawn)
    used, places = np.unique(
        np.concatenate([np.full(1, -1), *(each.nearest[:, 0] for each in some)]),
        return_inverse=True,
    )
    begun = [each for each in some if each.start is not None]
    arrays = {
        "number": _joined([each.atoms.numbers for each in some], np.uint8),
        "after": _joined([_whole(each.atoms) for each in some], np.int32),
        "before": _joined([_whole(each.start) - _whole(each.atoms) for each in begun], np.int32),
        "distance": rounded(_joined([_labels(each.atoms, DISTANCE) for each in some], np.float32)),
        "error": rounded(
            _joined([_labels(each.atoms, EXPECTED_ERROR) for each in some], np.float32)
        ),
        "nearest": places.reshape(-1)[1:].astype(np.int32) - 1,
        "nearest_atom": _joined([each.nearest[:, 1] for each in some], np.int32),
    }
    listed, text = packed_arrays(arrays)
    return {
        "rows": [each.row for each in some],
        "atoms": [len(each.atoms) for each in some],
        "started": [int(each.start is not None) for each in some],
        "cells": {str(k): _cell(each) for k, each in enumerate(some) if each.atoms.cell.rank},
        "unit": UNIT,
        "references": [references.name(int(number)) for number in used[1:]],
        "symbols": chemical_symbols,
        "arrays": listed,
    }, text


def _drawable(atoms: Atoms) -> bool:
    return bool((np.abs(atoms.positions) < LARGEST * UNIT / 2).all())


def _whole(atoms: Atoms | None) -> np.ndarray:
    assert atoms is not None
    return np.round(atoms.positions / UNIT).astype(np.int32)


def _joined(parts: list[np.ndarray], kind: Any) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *(np.asarray(p).reshape(-1) for p in parts)]).astype(
        kind
    )


def _labels(atoms: Atoms, name: str) -> np.ndarray:
    values = atoms.arrays.get(name)
    return np.full(len(atoms), np.nan) if values is None else values


def _cell(each: Drawn) -> list[Any]:
    def numbers(atoms: Atoms | None) -> list[float] | None:
        return None if atoms is None else atoms.cell.array.round(5).reshape(-1).tolist()

    return [numbers(each.atoms), each.atoms.pbc.astype(int).tolist(), numbers(each.start)]
