"""Random displacements of atoms that depend on the seed, and not on the rest of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def gaussian(key: tuple[int, ...], copies: Sequence[int], counts: Sequence[int]) -> np.ndarray:
    """Normal random numbers of all atoms of a batch, shape (sum of ``counts``, 3).

    An atom's numbers follow from ``key``, its structure's number among the copies of one input, and
    its index within the structure. Other structures of the batch, their order and the device do not
    change them.

    Args:
        key: Non-negative integers: the seed, and the place in the run.
        copies: Number of each structure among the copies of its input.
        counts: Number of atoms of each structure.
    """
    most = max(counts, default=0)
    drawn = {
        copy: np.random.default_rng([*key, copy]).normal(size=(most, 3)) for copy in set(copies)
    }
    parts = [drawn[copy][:count] for copy, count in zip(copies, counts, strict=True)]
    return np.concatenate([np.empty((0, 3)), *parts])
