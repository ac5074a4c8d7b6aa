"""Unit power spectra of many centers, and the way back to the gradient by the coefficients."""

from __future__ import annotations

import math

import numpy as np
import torch

from losiko_kernels.cpu import products as of
from losiko_kernels.cpu.lanes import compiled
from losiko_kernels.cpu.threads import run
from losiko_kernels.cpu.vectors import combine, dot


def unit_power_spectrum(
    c: torch.Tensor, n_max: int, rows: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit features (n, F) from coefficients, and the lengths (n,) of the power spectra.

    ``rows`` (n,) are the centers that are described. None means all, in their order.
    """
    channels, degrees = c.shape[2], math.isqrt(c.shape[1])
    rows = torch.arange(len(c)) if rows is None else rows
    n = len(rows)
    features = c.new_empty((n, channels * (channels + 1) // 2 * degrees))
    length = c.new_empty(n)
    offsets = of.feature_offsets(channels // n_max, n_max, degrees)
    run(_values, n, c.flatten(), rows, n_max, degrees, offsets, features, length)
    return features, length


def power_spectrum_backward(
    c: torch.Tensor,
    length: torch.Tensor,
    slope: torch.Tensor,
    n_max: int,
    rows: torch.Tensor | None = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Gradient df/dc, shaped as ``c``, from ``slope`` = df/dp (n, F) for unit features p.

    The gradient is zero for elements that are no neighbours of a center. That of the centers
    ``rows`` (n,) is written to ``out``, or to a new tensor.
    """
    channels, degrees = c.shape[2], math.isqrt(c.shape[1])
    rows = torch.arange(len(c)) if rows is None else rows
    offsets = of.feature_offsets(channels // n_max, n_max, degrees)
    out = torch.empty_like(c) if out is None else out
    given = length, slope.contiguous(), n_max, degrees, offsets, out.view(-1)
    run(_backward, len(rows), c.flatten(), rows, *given)
    return out


@compiled
def _values(start, stop, c, rows_of, n_max, degrees, offsets, features, length):
    kind = c.dtype.type
    widest = of.padded(len(offsets) * n_max)
    rows = np.empty(degrees * degrees * widest, c.dtype)
    products = np.empty(degrees * widest * widest + 8, c.dtype)
    p = np.empty(features.shape[1] + 8, c.dtype)
    present = np.empty(len(offsets), np.int64)
    for place in range(start, stop):
        of.describe(c, rows_of[place], n_max, degrees, offsets, present, rows, products, p)
        length[place] = np.sqrt(dot(p, p))
        # A center without neighbours has no features.
        inverse = kind(0) if length[place] == 0 else kind(1) / length[place]
        combine(inverse, p, kind(0), p, features[place])


@compiled
def _backward(start, stop, c, rows_of, length, slope, n_max, degrees, offsets, out):
    kind = c.dtype.type
    widest = of.padded(len(offsets) * n_max)
    rows = np.empty(degrees * degrees * widest, c.dtype)
    back = np.empty_like(rows)
    products = np.empty(degrees * widest * widest + 8, c.dtype)
    p = np.empty(slope.shape[1] + 8, c.dtype)
    present = np.empty(len(offsets), np.int64)
    for place in range(start, stop):
        center = rows_of[place]
        count = of.describe(c, center, n_max, degrees, offsets, present, rows, products, p)
        inverse = kind(0) if length[place] == 0 else kind(1) / length[place]
        given = slope[place]
        along = dot(p, given) * inverse * inverse
        combine(-along * inverse, p, inverse, given, p)
        of.trace_back(p, center, n_max, degrees, offsets, present, count, rows, products, back, out)
