r"""The power spectrum of one center, P_l = C_l C_l^T, and its gradient M_l C_l, in registers.

A center's coefficients are first gathered into rows of the channels of the elements among its
neighbours: the others are zero, and so are their products. Rows are padded to whole registers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from losiko_kernels.cpu.lanes import (
    compiled,
    load,
    load_one,
    muladd,
    spread,
    store,
    symmetrize,
    transpose,
)


@lru_cache(maxsize=64)
def feature_offsets(n_elements: int, n_max: int, degrees: int) -> np.ndarray:
    """Number of the first feature of each pair of elements a <= b, (n_elements, n_elements)."""
    offsets = np.zeros((n_elements, n_elements), np.int64)
    start = 0
    for a in range(n_elements):
        for b in range(a, n_elements):
            offsets[a, b] = start
            start += (n_max * (n_max + 1) // 2 if a == b else n_max**2) * degrees
    return offsets


@compiled
def padded(channels):
    return (channels + 7) // 8 * 8


@compiled
def gather(c, center, n_elements, n_max, present, rows):
    """Gather the coefficients of the elements among a center's neighbours into ``rows``.

    ``c`` is flat: (n, rows, channels). The numbers of the elements are written to ``present``, and
    their count is returned.
    """
    channels = n_elements * n_max
    n_rows = len(rows) // padded(channels)
    base = center * n_rows * channels
    count = 0
    for number in range(n_elements):
        for n in range(n_max):
            if c[base + number * n_max + n] != 0:
                present[count] = number
                count += 1
                break
    stride = padded(count * n_max)
    for row in range(n_rows):
        at = base + row * channels
        for k in range(count):
            copy(c, at + present[k] * n_max, rows, row * stride + k * n_max, n_max)
        for k in range(row * stride + count * n_max, (row + 1) * stride):
            rows[k] = 0
    return count


@compiled
def multiply_out(rows, degrees, stride, products):
    """Write the upper triangles of C_l C_l^T, and some of the lower, to ``products``.

    The length of ``products`` is degrees * stride * stride.
    """
    zero = spread(rows.dtype.type(0))
    for degree in range(degrees):
        for i in range(0, stride, 4):
            for j in range(i // 8 * 8, stride, 8):
                p0, p1, p2, p3 = zero, zero, zero, zero
                for row in range(degree * degree, (degree + 1) * (degree + 1)):
                    values = load(rows, row * stride + j)
                    at = row * stride + i
                    p0 = muladd(load_one(rows, at), values, p0)
                    p1 = muladd(load_one(rows, at + 1), values, p1)
                    p2 = muladd(load_one(rows, at + 2), values, p2)
                    p3 = muladd(load_one(rows, at + 3), values, p3)
                to = (degree * stride + i) * stride + j
                store(p0, products, to)
                store(p1, products, to + stride)
                store(p2, products, to + 2 * stride)
                store(p3, products, to + 3 * stride)


@compiled
def pack(products, degrees, stride, n_max, present, count, offsets, features):
    """Write the distinct entries in the order of features; those of absent elements are zero.

    Whole registers are copied, and the surplus of each is overwritten by the next: both arrays have
    a register's length to spare.
    """
    features[:] = 0
    for a in range(count):
        for b in range(a, count):
            at = offsets[present[a], present[b]]
            for degree in range(degrees):
                for n in range(n_max):
                    row = (degree * stride + a * n_max + n) * stride + b * n_max
                    begin = n if a == b else 0
                    for k in range(begin, n_max, 8):
                        store(load(products, row + k), features, at + k - begin)
                    at += n_max - begin
            # The spare part of the last register belongs to features that come later, if any.
            for k in range(at, at + 8):
                features[k] = 0


@compiled
def unpack(slope, degrees, stride, n_max, present, count, offsets, matrices):
    """Write symmetric matrices of a gradient by features; a square counts twice in its derivative.

    Whole registers are copied, as in ``pack``: the surplus of a row is overwritten by the next row.
    """
    for degree in range(degrees):
        base = degree * stride * stride
        for a in range(count):
            for n in range(n_max):
                row = base + (a * n_max + n) * stride
                for b in range(a, count):
                    at = offsets[present[a], present[b]]
                    begin = n if a == b else 0
                    if a == b:
                        at += degree * (n_max * (n_max + 1) // 2) + n * n_max - n * (n - 1) // 2
                    else:
                        at += (degree * n_max + n) * n_max
                    for k in range(begin, n_max, 8):
                        store(load(slope, at + k - begin), matrices, row + b * n_max + k)
        for i in range(0, stride, 8):
            symmetrize(matrices, base + i * stride + i, stride)
            for j in range(i + 8, stride, 8):
                transpose(matrices, base + i * stride + j, base + j * stride + i, stride)


@compiled
def multiply_back(matrices, rows, degrees, stride, channels, out):
    """Write M_l C_l into rows like those of ``gather``."""
    zero = spread(rows.dtype.type(0))
    for degree in range(degrees):
        last = (degree + 1) * (degree + 1) - 1
        for row in range(degree * degree, last + 1, 4):
            # Four rows are computed at once; if fewer are left, the last one repeatedly.
            r0 = row * stride
            r1, r2 = min(row + 1, last) * stride, min(row + 2, last) * stride
            r3 = min(row + 3, last) * stride
            for j in range(0, stride, 8):
                g0, g1, g2, g3 = zero, zero, zero, zero
                for k in range(channels):
                    values = load(matrices, (degree * stride + k) * stride + j)
                    g0 = muladd(load_one(rows, r0 + k), values, g0)
                    g1 = muladd(load_one(rows, r1 + k), values, g1)
                    g2 = muladd(load_one(rows, r2 + k), values, g2)
                    g3 = muladd(load_one(rows, r3 + k), values, g3)
                store(g0, out, r0 + j)
                store(g1, out, r1 + j)
                store(g2, out, r2 + j)
                store(g3, out, r3 + j)


@compiled
def describe(c, center, n_max, degrees, offsets, present, rows, products, features):
    """Write a center's features, not of unit length, and return its number of elements."""
    count = gather(c, center, len(offsets), n_max, present, rows)
    stride = padded(count * n_max)
    multiply_out(rows, degrees, stride, products)
    pack(products, degrees, stride, n_max, present, count, offsets, features)
    return count


@compiled
def trace_back(slope, center, n_max, degrees, offsets, present, count, rows, products, back, out):
    """Write the gradient by a center's coefficients to ``out``, from that by its features."""
    stride = padded(count * n_max)
    unpack(slope, degrees, stride, n_max, present, count, offsets, products)
    multiply_back(products, rows, degrees, stride, count * n_max, back)
    scatter(back, center, len(offsets), n_max, present, count, out)


@compiled
def scatter(rows, center, n_elements, n_max, present, count, out):
    """Write rows of present elements into flat (n, rows, channels); zero for absent elements."""
    channels, stride = n_elements * n_max, padded(count * n_max)
    n_rows = len(rows) // padded(channels)
    base = center * n_rows * channels
    if count < n_elements:
        out[base : base + n_rows * channels] = 0
    for row in range(n_rows):
        at = base + row * channels
        for k in range(count):
            copy(rows, row * stride + k * n_max, out, at + present[k] * n_max, n_max)


@compiled
def copy(source, begin, target, at, count):
    """Copy ``count`` numbers, eight by eight as far as possible."""
    for k in range(0, count - 7, 8):
        store(load(source, begin + k), target, at + k)
    for k in range(count // 8 * 8, count):
        target[at + k] = source[begin + k]
