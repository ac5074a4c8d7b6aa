"""Random displacements of atoms that follow from the seed alone, whatever else is in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def gaussian(key: tuple[int, ...], copies: Sequence[int], counts: Sequence[int]) -> np.ndarray:
    """Normal random numbers (sum of counts, 3) that depend on nothing but what they are for.

    An atom's numbers follow from ``key`` (the seed, and where in the run), its structure's number
    among the copies of one input, and its index within the structure: not from the other structures
    of the batch, their order or the device.

    Args:
        key: Non-negative integers.
        copies, counts: Number among copies, and atoms, of each structure.
    """
    most = max(counts, default=0)
    drawn = {
        copy: np.random.default_rng([*key, copy]).normal(size=(most, 3)) for copy in set(copies)
    }
    parts = [drawn[copy][:count] for copy, count in zip(copies, counts, strict=True)]
    return np.concatenate([np.empty((0, 3)), *parts])
