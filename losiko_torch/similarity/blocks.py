"""Similarities of atoms for all pairs of structures, in blocks of structures of equal size.

Structures of the same number of atoms are stacked, so that a block of pairs takes one product of
matrices and no padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from losiko_torch.errors import InputError, StructureError, first_line

#: Similarities of atoms that are held at once; bounds the memory of many structures.
SIMILARITIES_AT_ONCE = 2**22


#: Similarities (n, m) of atoms by their features (n, F) and (m, F).
Local = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Block:
    """Pairs of structures of equal sizes.

    Attributes:
        rows, columns: The two structures of each pair, shape (P,).
        local: Similarities of their atoms, shape (P, n, m).
    """

    rows: torch.Tensor
    columns: torch.Tensor
    local: torch.Tensor


def features_of(
    name: str, structures: Iterable, not_negative: bool = False
) -> tuple[list[torch.Tensor], bool]:
    """Features of each structure as a tensor, and whether any was given as one.

    ``not_negative`` refuses negative ones.

    Raises:
        InputError: If there are no structures, or their features differ in number.
        StructureError: For a structure without atoms or with features that cannot be used.
    """
    if not isinstance(structures, Iterable):
        raise InputError(f"{name} must be a list of the features of structures")
    given = list(structures)
    if not given:
        raise InputError(f"{name} has no structures")
    found = [_tensor(name, place, features) for place, features in enumerate(given)]
    numbers = sorted({features.shape[1] for features in found})
    if len(numbers) > 1:
        raise InputError(f"the structures of {name} have {numbers[0]} and {numbers[1]} features")
    for place, features in enumerate(found):
        if not_negative and (features < 0).any():
            raise StructureError(
                f"structure {place} of {name} has negative features, which the chi2 metrics cannot "
                "compare: use another metric"
            )
    tensors = [features for features in given if isinstance(features, torch.Tensor)]
    return [features.to(tensors[0]) for features in found] if tensors else found, bool(tensors)


def blocks_of(
    x: list[torch.Tensor],
    y: list[torch.Tensor] | None,
    local: Local,
) -> Iterator[Block]:
    """All pairs of structures of x and y, or those (i, j) of x with i <= j, block by block.

    Args:
        x, y: Features of each structure, shape (n, F). y None means x.
        local: Similarities (n, m) of atoms by features (n, F) and (m, F).
    """
    others = by_size(x if y is None else y)
    for n, rows in by_size(x).items():
        for m, columns in others.items():
            at_once = max(1, SIMILARITIES_AT_ONCE // (n * m * len(columns)))
            stack = torch.cat([(x if y is None else y)[j] for j in columns.tolist()])
            for part in rows.split(at_once):
                if y is None and part[0] > columns[-1]:
                    continue
                features = torch.cat([x[i] for i in part.tolist()])
                grid = local(features, stack).reshape(len(part), n, len(columns), m)
                pairs = torch.cartesian_prod(part, columns)
                of_pairs = grid.transpose(1, 2).reshape(-1, n, m)
                if y is None:
                    upper = pairs[:, 0] <= pairs[:, 1]
                    if not upper.any():
                        continue
                    pairs, of_pairs = pairs[upper], of_pairs[upper.to(of_pairs.device)]
                pairs = pairs.to(of_pairs.device)
                yield Block(pairs[:, 0], pairs[:, 1], of_pairs)


def by_size(structures: list[torch.Tensor]) -> dict[int, torch.Tensor]:
    """Places of the structures of each number of atoms, ascending."""
    places: dict[int, list[int]] = {}
    for place, features in enumerate(structures):
        places.setdefault(len(features), []).append(place)
    return {size: torch.tensor(own) for size, own in places.items()}


def _tensor(name: str, place: int, features: Any) -> torch.Tensor:
    """Features of a structure, checked, shape (n_atoms, n_features)."""
    if not isinstance(features, torch.Tensor):
        # Features that are sparse know how to become dense.
        dense = features.todense() if hasattr(features, "todense") else features
        try:
            features = torch.as_tensor(np.asarray(dense, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise StructureError(
                f"structure {place} of {name} has features that are no numbers: {first_line(error)}"
            ) from None
    if features.ndim != 2 or 0 in features.shape:
        raise StructureError(
            f"structure {place} of {name} needs features of shape (n_atoms, n_features), "
            f"not {tuple(features.shape)}"
        )
    if not torch.isfinite(features).all():
        raise StructureError(f"structure {place} of {name} has features that are not finite")
    return features
