"""Distances |p - t|^2 of unit features and their gradient, with no power spectrum kept."""

from __future__ import annotations

import math

import numpy as np
import torch

from losiko_kernels.cpu import products as of
from losiko_kernels.cpu.lanes import compiled
from losiko_kernels.cpu.threads import run
from losiko_kernels.cpu.vectors import combine, dot


def distance(
    c: torch.Tensor, target: torch.Tensor, n_max: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances d_i = |p_i - t_i|^2 of unit features p from targets (n, F), and their gradient.

    Returns:
        Distances, shape (n,), and dd_i/dc_i, shaped as ``c``, zero for elements that are no
        neighbours of a center.
    """
    n, rows, channels = c.shape
    degrees = math.isqrt(rows)
    offsets = of.feature_offsets(channels // n_max, n_max, degrees)
    out, gradient = c.new_empty(n), torch.empty_like(c)
    run(
        _distance,
        n,
        c.flatten(),
        target.contiguous(),
        n_max,
        degrees,
        offsets,
        out,
        gradient.view(-1),
    )
    return out, gradient


@compiled
def _distance(start, stop, c, target, n_max, degrees, offsets, out, gradient):
    kind = c.dtype.type
    widest = of.padded(len(offsets) * n_max)
    rows = np.empty(degrees * degrees * widest, c.dtype)
    back = np.empty_like(rows)
    products = np.empty(degrees * widest * widest + 8, c.dtype)
    p = np.empty(target.shape[1] + 8, c.dtype)
    difference = np.empty(target.shape[1], c.dtype)
    present = np.empty(len(offsets), np.int64)
    for center in range(start, stop):
        count = of.describe(c, center, n_max, degrees, offsets, present, rows, products, p)
        squared = dot(p, p)
        # NaN has to come through; only a center without neighbours has no direction.
        inverse = kind(0) if squared == 0 else kind(1) / np.sqrt(squared)
        t = target[center]
        # The difference of nearly equal vectors keeps digits that their scalar product loses.
        combine(inverse, p, kind(-1), t, difference)
        out[center] = dot(difference, difference)
        along = dot(difference, p) * inverse
        twice = kind(2) * inverse
        combine(-twice * along * inverse, p, twice, difference, p)
        of.trace_back(
            p, center, n_max, degrees, offsets, present, count, rows, products, back, gradient
        )
