"""Weights of references: a bias on a database without building it anew.

A reference of weight g counts as if its distance D were D/g: of two equally near references the
heavier is taken, and a reference of weight 0 is left out. ``loss.targets`` describes the effect on
the loss. Weights belong to the database's structures, one for all environments of a structure, and
replace those of single atoms with which the database was built (the array ``losiko_weight``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from losiko_torch.errors import InputError
from losiko_torch.systems.atom_weights import is_weight

#: Key of the structures' records, one number for each structure, or a function of a record.
StructureWeights = str | Sequence[float] | np.ndarray | Callable[[dict[str, Any]], float]


def structure_weights(
    weights: StructureWeights, structures: Sequence[dict[str, Any]]
) -> torch.Tensor:
    """Weights of all structures, shape (n,), float32.

    Raises:
        InputError: If they are not one finite number from 0 on for each structure.
    """
    values: Sequence[Any]
    if isinstance(weights, str):
        values = _of_key(weights, structures)
        of = f"'{weights}'"
    elif callable(weights):
        values, of = [weights(record) for record in structures], "the weight"
    elif isinstance(weights, Iterable) and not isinstance(weights, Mapping):
        listed = np.atleast_1d(np.asarray(weights, dtype=object)).tolist()
        values, of = listed, "the weight"
        if len(values) != len(structures):
            raise InputError(
                f"{len(values):,} weights for the {len(structures):,} structures of the database"
            )
    else:
        raise InputError(
            f"weights of references are of type {type(weights).__name__}: give a key of their "
            "records, one number for each structure, or a function of a record"
        )
    for number, value in enumerate(values):
        if not is_weight(value):
            raise InputError(
                f"{of} of the database's structure {number} must be a number from 0 on, not {value}"
            )
    found = torch.tensor([float(value) for value in values], dtype=torch.float64).float()
    if not torch.isfinite(found).all():
        raise InputError(f"{of} of one of the database's structures is too large")
    return found


def as_weight(values: torch.Tensor) -> torch.Tensor | None:
    """Weights of references as ``Environments`` keeps them: None if all are 1."""
    return None if bool((values == 1).all()) else values


def _of_key(key: str, structures: Sequence[dict[str, Any]]) -> list[Any]:
    if not any(key in record for record in structures):
        counts = Counter(name for record in structures for name in record)
        known = ", ".join(name for name, _ in counts.most_common(12))
        raise InputError(f"no structure of the database tells its '{key}' (they tell {known})")
    return [record.get(key, 1.0) for record in structures]
