"""Weights of atoms in the loss: L = sum_i c_i F_i, so that some atoms matter more than others.

c_i is the product of the atom's entry in the structure's array ``losiko_weight`` and of the factor
of its element; either is 1 if it is absent. Databases read the same array of the structures they
are built from: there it holds the weights of references (see ``database.reference_weights``).

>>> from ase.build import molecule
>>> atom_weights(molecule("H2O"), element_factors({"H": 0.5}))
array([1. , 0.5, 0.5])
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ase import Atoms

from losiko_torch.errors import InputError, StructureError
from losiko_torch.systems.species import species_numbers

#: Name of the array of a structure that holds one weight for each atom.
WEIGHT = "losiko_weight"


def element_factors(weights: Mapping[str, float] | None) -> dict[int, float]:
    """Factors by atomic number from a dictionary by symbol. None means no factors.

    Raises:
        InputError: For unknown symbols, and for factors that are negative or not finite.
    """
    if weights is None:
        return {}
    if not isinstance(weights, Mapping):
        raise InputError(
            f"weights are of type {type(weights).__name__}: give a dictionary from elements to "
            f"factors, e.g. {{'H': 0.5}}; weights of single atoms go into atoms.arrays['{WEIGHT}']"
        )
    factors = {}
    for element, factor in weights.items():
        (number,) = species_numbers([element])
        if not is_weight(factor):
            raise InputError(f"the weight of {element} must be a number from 0 on, not {factor}")
        factors[number] = float(factor)
    return factors


def is_weight(value: Any) -> bool:
    """Return whether ``value`` is a finite number that is not negative."""
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and math.isfinite(value) and value >= 0


def atom_weights(atoms: Atoms, factors: Mapping[int, float]) -> np.ndarray | None:
    """Weights c_i of all atoms in the loss, shape (n,). None means that all are 1.

    Args:
        atoms: Structure, with or without an array ``losiko_weight``.
        factors: Factors of elements, by atomic number.

    Raises:
        StructureError: If the structure's own weights are unusable, or all c_i are zero.
    """
    weights = own_weights(atoms)
    if weights is None and not factors.keys() & set(atoms.numbers.tolist()):
        return None
    by_element = np.array([factors.get(number, 1.0) for number in atoms.numbers.tolist()])
    weights = by_element if weights is None else weights * by_element
    if not weights.any():
        raise StructureError("all its weights are zero")
    return weights


def filled(structures: Iterable[Atoms], weights: Iterable[np.ndarray | None]) -> np.ndarray:
    """Weights of all atoms of all structures in one row, 1 for structures without weights."""
    return np.concatenate(
        [
            np.ones(len(atoms)) if own is None else own
            for atoms, own in zip(structures, weights, strict=True)
        ]
    )


def own_weights(atoms: Atoms) -> np.ndarray | None:
    """The structure's array ``losiko_weight``, shape (n,). None if it has no such array.

    Raises:
        StructureError: If the array is not one finite number from 0 on for each atom.
    """
    given = atoms.arrays.get(WEIGHT)
    if given is None:
        return None
    if given.shape != (len(atoms),) or given.dtype.kind not in "fiub":
        raise StructureError(f"its array {WEIGHT} is not one number for each atom")
    weights = given.astype(float)
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise StructureError(
            f"its array {WEIGHT} holds {given[first]} for atom {first}: weights are finite numbers "
            "from 0 on"
        )
    return weights
