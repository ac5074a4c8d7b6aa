r"""Coefficients of the neighbour density of each center, and their gradient.

    c[i, lm, Zn] = sum_{j of element Z} w_ij g_nl(r_ij^2) R_lm(r_ij / scale)

Pairs are taken in blocks of sixteen, whose harmonics are computed side by side. Radial functions
come from a table, in rows of eight, the width of a register.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from losiko_kernels.cpu.harmonics import BLOCK, pull_back, solid_harmonics
from losiko_kernels.cpu.lanes import compiled, load, load_one, muladd, spread, store, total
from losiko_kernels.cpu.threads import run
from losiko_kernels.harmonics import gradient_terms, recursion
from losiko_kernels.radial_table import TERMS, RadialTable


def expand_density(
    vectors: torch.Tensor,
    weights: torch.Tensor | None,
    first: torch.Tensor,
    element: torch.Tensor,
    n_elements: int,
    table: RadialTable,
    threads: int | None = None,
) -> torch.Tensor:
    """Coefficients (n, (l_max + 1)^2, n_elements * n_max) from vectors (E, 3) in Angstrom.

    ``weights`` (E,) multiply the contributions of neighbours. None means all 1. ``threads`` is the
    largest number of threads. None means torch's.
    """
    n, rows = len(first) - 1, (table.l_max + 1) ** 2
    out = vectors.new_empty((n, rows, n_elements * table.n_max))
    given = (vectors, _or_empty(weights, vectors), first, element, n_elements)
    run(_forward, n, *given, *numbers_of(table, vectors.dtype), out, threads=threads)
    return out


def expand_density_backward(
    grad: torch.Tensor,
    factor: torch.Tensor | None,
    vectors: torch.Tensor,
    weights: torch.Tensor | None,
    first: torch.Tensor,
    element: torch.Tensor,
    n_elements: int,
    table: RadialTable,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Gradient of sum_i factor_i <grad_i, c_i> by vectors (E, 3), and by weights (E,) or None."""
    out = torch.empty_like(vectors)
    of_weights = vectors.new_empty(0 if weights is None else len(vectors))
    terms, factors = gradient_terms(table.l_max)
    given = (vectors, _or_empty(weights, vectors), first, element, n_elements)
    run(
        _backward,
        len(first) - 1,
        grad,
        _or_empty(factor, vectors),
        *given,
        *numbers_of(table, vectors.dtype),
        terms,
        factors.astype(_kind(vectors.dtype)),
        out,
        of_weights,
    )
    return out, None if weights is None else of_weights


def _or_empty(values: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    """Return ``values``, or an empty tensor for None, which compiled functions do not take."""
    return like.new_empty(0) if values is None else values


def _kind(dtype: torch.dtype) -> type:
    return np.float32 if dtype == torch.float32 else np.float64


@lru_cache(maxsize=32)
def numbers_of(table: RadialTable, dtype: torch.dtype) -> tuple:
    """Return a table as compiled functions take it, and the factors of the recursion."""
    kind = _kind(dtype)
    coefficients = table.coefficients.numpy()
    intervals, _, degrees, n_pad = coefficients.shape
    return (
        coefficients.reshape(-1),
        intervals,
        degrees,
        n_pad,
        kind(table.inverse_width),
        kind(1 / table.scale),
        table.n_max,
        recursion(table.l_max).astype(kind),
    )


@compiled
def _place_block(vectors, begin, count, inverse_scale, place):
    for j in range(count):
        for axis in range(3):
            place[axis * BLOCK + j] = vectors[begin + j, axis] * inverse_scale


@compiled
def look_up(r2, table, intervals, size, inverse_width, weight, values, slopes):
    """Write all g_nl at ``r2``, times weight, to ``values``, and their derivatives to ``slopes``.

    Derivatives are not computed if ``slopes`` is empty.
    """
    kind = values.dtype.type
    x = r2 * inverse_width
    # The comparison is written so that NaN, too, has an interval.
    interval = int(x) if x < intervals else intervals - 1
    interval = max(interval, 0)
    t = spread(kind(2) * (x - kind(interval)) - kind(1))
    zero, scaled = spread(kind(0)), spread(weight)
    chain = spread(kind(2) * weight * inverse_width)
    base = interval * TERMS * size
    for k in range(0, size, 8):
        a1, a2 = load(table, base + size + k), load(table, base + 2 * size + k)
        a3, a4 = load(table, base + 3 * size + k), load(table, base + 4 * size + k)
        a5 = load(table, base + 5 * size + k)
        value = muladd(t, muladd(t, muladd(t, muladd(t, a5, a4), a3), a2), a1)
        store(muladd(muladd(t, value, load(table, base + k)), scaled, zero), values, k)
        if len(slopes) > 0:
            slope = muladd(t, muladd(a5, spread(kind(5)), zero), muladd(a4, spread(kind(4)), zero))
            slope = muladd(t, slope, muladd(a3, spread(kind(3)), zero))
            slope = muladd(t, slope, muladd(a2, spread(kind(2)), zero))
            store(muladd(muladd(t, slope, a1), chain, zero), slopes, k)


@compiled
def _forward(
    start, stop, vectors, weights, first, element, n_elements, table, intervals, degrees, n_pad,
    inverse_width, inverse_scale, n_max, steps, out,
):  # fmt: skip
    rows, size = degrees * degrees, degrees * n_pad
    place = np.zeros(3 * BLOCK, vectors.dtype)
    harmonics = np.empty(rows * BLOCK, place.dtype)
    radial, no_slopes = np.empty(size, place.dtype), np.empty(0, place.dtype)
    summed = np.empty(n_elements * rows * n_pad, place.dtype)
    for center in range(start, stop):
        sum_pairs(
            first[center], first[center + 1], vectors, weights, element, table, intervals, degrees,
            n_pad, inverse_width, inverse_scale, steps, place, harmonics, radial, no_slopes, summed,
        )  # fmt: skip
        write_center(summed, n_elements, n_max, n_pad, out[center])


@compiled
def sum_pairs(
    begin, end, vectors, weights, element, table, intervals, degrees, n_pad, inverse_width,
    inverse_scale, steps, place, harmonics, radial, no_slopes, summed,
):  # fmt: skip
    """Write the coefficients of a center, whose pairs are given, to ``summed``, by elements."""
    kind = vectors.dtype.type
    rows, size = degrees * degrees, degrees * n_pad
    summed[:] = 0
    for block in range(begin, end, BLOCK):
        count = min(BLOCK, end - block)
        _place_block(vectors, block, count, inverse_scale, place)
        solid_harmonics(place, steps, degrees, harmonics)
        for j in range(count):
            pair = block + j
            x, y, z = vectors[pair, 0], vectors[pair, 1], vectors[pair, 2]
            weight = weights[pair] if len(weights) > 0 else kind(1)
            r2 = x * x + y * y + z * z
            look_up(r2, table, intervals, size, inverse_width, weight, radial, no_slopes)
            into = element[pair] * rows * n_pad
            for degree in range(degrees):
                for k in range(0, n_pad, 8):
                    values = load(radial, degree * n_pad + k)
                    for row in range(degree * degree, (degree + 1) * (degree + 1)):
                        at = into + row * n_pad + k
                        angular = load_one(harmonics, row * BLOCK + j)
                        store(muladd(angular, values, load(summed, at)), summed, at)


@compiled
def write_center(summed, n_elements, n_max, n_pad, out):
    """Write the coefficients in ``summed`` to ``out`` (rows, n_elements * n_max)."""
    rows = len(out)
    for row in range(rows):
        for number in range(n_elements):
            at = (number * rows + row) * n_pad
            for k in range(n_max):
                out[row, number * n_max + k] = summed[at + k]


@compiled
def _backward(
    start, stop, grad, factor, vectors, weights, first, element, n_elements, table, intervals,
    degrees, n_pad, inverse_width, inverse_scale, n_max, steps, terms, factors, out, of_weights,
):  # fmt: skip
    kind = vectors.dtype.type
    rows, size = degrees * degrees, degrees * n_pad
    place = np.zeros(3 * BLOCK, vectors.dtype)
    harmonics = np.empty(rows * BLOCK, place.dtype)
    angular, pull = np.zeros(rows * BLOCK, place.dtype), np.empty(3 * BLOCK, place.dtype)
    along = np.zeros(BLOCK, place.dtype)
    radial, slopes = np.empty(size, place.dtype), np.empty(size, place.dtype)
    given = np.zeros(n_elements * rows * n_pad, place.dtype)
    zero = spread(kind(0))
    for center in range(start, stop):
        strength = factor[center] if len(factor) > 0 else kind(1)
        for row in range(rows):
            for number in range(n_elements):
                at = (number * rows + row) * n_pad
                for k in range(n_max):
                    given[at + k] = strength * grad[center, row, number * n_max + k]
        for begin in range(first[center], first[center + 1], BLOCK):
            count = min(BLOCK, first[center + 1] - begin)
            _place_block(vectors, begin, count, inverse_scale, place)
            solid_harmonics(place, steps, degrees, harmonics)
            for j in range(count):
                pair = begin + j
                x, y, z = vectors[pair, 0], vectors[pair, 1], vectors[pair, 2]
                weight = weights[pair] if len(weights) > 0 else kind(1)
                # The weight multiplies at the end: without it this is the gradient by the weight.
                r2 = x * x + y * y + z * z
                look_up(r2, table, intervals, size, inverse_width, kind(1), radial, slopes)
                of = element[pair] * rows * n_pad
                by_r2, by_weight = zero, zero
                for degree in range(degrees):
                    for row in range(degree * degree, (degree + 1) * (degree + 1)):
                        angular[row * BLOCK + j] = 0
                    for k in range(0, n_pad, 8):
                        values = load(radial, degree * n_pad + k)
                        by_radial = zero
                        for row in range(degree * degree, (degree + 1) * (degree + 1)):
                            slope = load(given, of + row * n_pad + k)
                            angular[row * BLOCK + j] += weight * total(muladd(slope, values, zero))
                            by_radial = muladd(
                                load_one(harmonics, row * BLOCK + j), slope, by_radial
                            )
                        by_weight = muladd(by_radial, values, by_weight)
                        by_r2 = muladd(by_radial, load(slopes, degree * n_pad + k), by_r2)
                along[j] = kind(2) * weight * total(by_r2)
                if len(weights) > 0:
                    of_weights[pair] = total(by_weight)
            pull_back(angular, harmonics, terms, factors, pull)
            for j in range(count):
                for axis in range(3):
                    out[begin + j, axis] = (
                        pull[axis * BLOCK + j] * inverse_scale + along[j] * vectors[begin + j, axis]
                    )
