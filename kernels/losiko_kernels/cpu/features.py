r"""Power spectra as they are, not of unit length, of any compression, and their gradient.

``products`` has the common case, all pairs of elements. The compressions are

    "crossover"   p^Z_nn'l = sum_m c^Z_nlm c^Z_n'lm, the pairs within one element;
    "mu1nu1"      p^Z_nn'l = sum_m c^Z_nlm s_n'lm, with s the sum over the elements;
    "mu2"         the common case of a single element, into which the density was summed.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from losiko_kernels.cpu import products as of
from losiko_kernels.cpu.lanes import compiled, load, load_one, muladd, spread, store
from losiko_kernels.cpu.threads import run

#: Numbers of the compressions in the kernels.
MODES = {"off": 0, "mu2": 0, "crossover": 1, "mu1nu1": 2}


def power_spectra(
    c: np.ndarray | torch.Tensor,
    n_max: int,
    mode: str,
    out: np.ndarray | torch.Tensor,
    threads: int | None = None,
) -> None:
    """Write the features of coefficients ``c`` to ``out`` (n, F), of the dtype of ``c``."""
    n, rows, channels = c.shape
    degrees, n_elements = math.isqrt(rows), channels // n_max
    offsets = of.feature_offsets(n_elements, n_max, degrees)
    run(_values, n, c.reshape(-1), n_max, degrees, offsets, MODES[mode], out, threads=threads)


def power_spectra_backward(
    c: torch.Tensor, slope: torch.Tensor, n_max: int, mode: str
) -> torch.Tensor:
    """Gradient df/dc, shaped as ``c``, from ``slope`` = df/dp (n, F) for features p.

    The gradient is zero for elements that are no neighbours of a center.
    """
    n, rows, channels = c.shape
    degrees, n_elements = math.isqrt(rows), channels // n_max
    offsets = of.feature_offsets(n_elements, n_max, degrees)
    out = torch.empty_like(c)
    given = (c.reshape(-1), slope.contiguous(), n_max, degrees, offsets, MODES[mode])
    run(_gradient, n, *given, out.view(-1))
    return out


@compiled
def is_present(c, at, n_max):
    """Return whether an element is among a center's neighbours: c_n00 starts at ``at``."""
    found = False
    for n in range(n_max):
        found = found or c[at + n] != 0
    return found


@compiled
def gather_one(c, at, channels, n_rows, n_max, rows):
    """Gather the coefficients of a single element, the first at ``at``, into padded rows."""
    stride = of.padded(n_max)
    for row in range(n_rows):
        of.copy(c, at + row * channels, rows, row * stride, n_max)
        for k in range(row * stride + n_max, (row + 1) * stride):
            rows[k] = 0


@compiled
def gather_sum(c, base, channels, n_rows, n_max, rows):
    """Sum the coefficients of all elements into padded rows."""
    stride = of.padded(n_max)
    for row in range(n_rows):
        for k in range(row * stride, (row + 1) * stride):
            rows[k] = 0
        for at in range(base + row * channels, base + (row + 1) * channels, n_max):
            for n in range(n_max):
                rows[row * stride + n] += c[at + n]


@compiled
def multiply_all(left, right, degrees, stride, n_max, out):
    """Write sum_m left_nm right_n'm for all l, n, n' to ``out``, a register longer than that."""
    zero = spread(left.dtype.type(0))
    for degree in range(degrees):
        for n in range(n_max):
            for k in range(0, n_max, 8):
                value = zero
                for row in range(degree * degree, (degree + 1) * (degree + 1)):
                    at = row * stride
                    value = muladd(load_one(left, at + n), load(right, at + k), value)
                store(value, out, (degree * n_max + n) * n_max + k)


@compiled
def _values(start, stop, c, n_max, degrees, offsets, mode, out):
    n_elements, n_rows = len(offsets), degrees * degrees
    channels = n_elements * n_max
    widest = of.padded(channels)
    rows = np.empty(n_rows * widest, c.dtype)
    summed = np.empty(n_rows * of.padded(n_max), c.dtype)
    products = np.empty(degrees * widest * widest + 8, c.dtype)
    p = np.empty(out.shape[1] + 8, c.dtype)
    present = np.zeros(n_elements, np.int64)
    size, stride = out.shape[1] // n_elements, of.padded(n_max)
    for center in range(start, stop):
        base = center * n_rows * channels
        if mode == 0:
            of.describe(c, center, n_max, degrees, offsets, present, rows, products, p)
            of.copy(p, 0, out[center], 0, out.shape[1])
            continue
        if mode == 2:
            gather_sum(c, base, channels, n_rows, n_max, summed)
        for number in range(n_elements):
            own = out[center, number * size : (number + 1) * size]
            if not is_present(c, base + number * n_max, n_max):
                own[:] = 0
                continue
            gather_one(c, base + number * n_max, channels, n_rows, n_max, rows)
            if mode == 1:
                present[0] = 0
                of.multiply_out(rows, degrees, stride, products)
                of.pack(products, degrees, stride, n_max, present, 1, offsets, p)
            else:
                multiply_all(rows, summed, degrees, stride, n_max, p)
            of.copy(p, 0, own, 0, size)


@compiled
def _gradient(start, stop, c, slope, n_max, degrees, offsets, mode, out):
    n_elements, n_rows = len(offsets), degrees * degrees
    channels = n_elements * n_max
    widest = of.padded(channels)
    rows = np.empty(n_rows * widest, c.dtype)
    back = np.empty_like(rows)
    products = np.empty(degrees * widest * widest + 8, c.dtype)
    given = np.zeros(slope.shape[1] + 8, c.dtype)
    present = np.zeros(n_elements, np.int64)
    size, stride = slope.shape[1] // n_elements, of.padded(n_max)
    summed = np.empty(n_rows * stride, c.dtype)
    of_sum = np.empty(n_rows * stride, c.dtype)
    for center in range(start, stop):
        base = center * n_rows * channels
        if mode == 0:
            count = of.gather(c, center, n_elements, n_max, present, rows)
            of.copy(slope[center], 0, given, 0, slope.shape[1])
            of.trace_back(
                given, center, n_max, degrees, offsets, present, count, rows, products, back, out
            )
            continue
        if mode == 2:
            gather_sum(c, base, channels, n_rows, n_max, summed)
            of_sum[:] = 0
        for number in range(n_elements):
            at = base + number * n_max
            if not is_present(c, at, n_max):
                back[:] = 0
            else:
                own = slope[center, number * size : (number + 1) * size]
                gather_one(c, at, channels, n_rows, n_max, rows)
                if mode == 1:
                    present[0] = 0
                    of.copy(own, 0, given, 0, size)
                    of.unpack(given, degrees, stride, n_max, present, 1, offsets, products)
                    of.multiply_back(products, rows, degrees, stride, n_max, back)
                else:
                    _back_from_all(own, rows, summed, degrees, stride, n_max, back, of_sum)
            for row in range(n_rows):
                of.copy(back, row * stride, out, at + row * channels, n_max)
        if mode == 2:
            _add_to_present(c, base, n_rows, channels, n_max, stride, of_sum, out)


@compiled
def _back_from_all(slope, rows, summed, degrees, stride, n_max, back, of_sum):
    """Write the gradient by an element's rows, and add that by the sum of all to ``of_sum``."""
    back[:] = 0
    for degree in range(degrees):
        for row in range(degree * degree, (degree + 1) * (degree + 1)):
            for n in range(n_max):
                at = (degree * n_max + n) * n_max
                value, own = back.dtype.type(0), rows[row * stride + n]
                for k in range(n_max):
                    value += slope[at + k] * summed[row * stride + k]
                    of_sum[row * stride + k] += slope[at + k] * own
                back[row * stride + n] = value


@compiled
def _add_to_present(c, base, n_rows, channels, n_max, stride, of_sum, out):
    for begin in range(base, base + channels, n_max):
        if is_present(c, begin, n_max):
            for row in range(n_rows):
                for n in range(n_max):
                    out[begin + row * channels + n] += of_sum[row * stride + n]
