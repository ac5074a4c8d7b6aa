"""Odd numbers of electrons: molecules that are radicals, or ions whose charge is not told."""

from __future__ import annotations

import numpy as np
from ase import Atoms


def total_charge(atoms: Atoms) -> int:
    """Return the charge in ``info["charge"]``, else the sum of the initial charges, rounded."""
    told = atoms.info.get("charge")
    if isinstance(told, (int, float, np.number)) and np.isfinite(told):
        return round(float(told))
    return round(float(atoms.get_initial_charges().sum()))


def has_odd_electrons(atoms: Atoms) -> bool:
    """Return whether a structure that is not periodic has an odd number of electrons."""
    if atoms.pbc.any():
        return False
    return (int(atoms.numbers.sum()) - total_charge(atoms)) % 2 == 1
