r"""Derivatives of features by positions, one output row for each center and moved atom.

A power spectrum p = C C^T of coefficients changes by dC C^T + C dC^T, where dC sums the changes of
the pairs that the moved atom takes part in,

    dc_nlm / dr = (w g_nl(r^2))' R_lm + w g_nl grad R_lm,

with its sign turned where the center moves. Nothing larger than one dC is kept.

    row of the output  ->  its terms (a center's C, a dC)  ->  pairs of the dC

A row has one term, unless features are averaged over centers: then it is the sum of their terms.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from losiko_kernels.cpu import products as of
from losiko_kernels.cpu.density import look_up, numbers_of
from losiko_kernels.cpu.features import MODES, gather_sum
from losiko_kernels.cpu.harmonics import BLOCK, solid_harmonics
from losiko_kernels.cpu.lanes import compiled, load, load_one, muladd, spread, store
from losiko_kernels.cpu.threads import run
from losiko_kernels.harmonics import gradient_terms
from losiko_kernels.radial_table import RadialTable

#: Rows of output for which a further thread usually pays.
WORTH_A_THREAD = 64


class Moves(NamedTuple):
    """Pairs that change when an atom moves: R rows of output, T terms, M pairs.

    Attributes:
        first_term: Number of each row's first term, and T, shape (R + 1,).
        first_pair: Number of each term's first entry in ``pair``, and M, shape (T + 1,).
        center: Center of each term, a row of the coefficients, shape (T,). Terms without pairs
            vanish.
        pair: Pairs, shape (M,); one whose center moves is given as -1 - pair.
    """

    first_term: np.ndarray
    first_pair: np.ndarray
    center: np.ndarray
    pair: np.ndarray


def feature_derivatives(
    c: np.ndarray,
    moves: Moves,
    vectors: np.ndarray,
    weights: np.ndarray,
    element: np.ndarray,
    table: RadialTable,
    mode: str,
    factor: float,
    out: np.ndarray,
    threads: int | None = None,
) -> None:
    """Add ``factor`` times the derivatives (R, 3, F) to ``out``; all in float64.

    Args:
        c: Coefficients of the centers, (n, (l_max + 1)^2, n_elements * n_max).
        moves: Which pairs change which rows.
        vectors: Vectors of all E pairs, Angstrom, shape (E, 3).
        weights: Weights of the neighbours and their derivatives by r^2, shape (2, E), or (2, 0)
            for weights of 1.
        element: Number of each neighbour's element, shape (E,).
        table: Radial functions.
        mode: Compression, a key of ``MODES``.
        factor: Factor of the derivatives.
        out: Rows of output, shape (R, 3, F).
        threads: Largest number of threads. None means torch's.
    """
    degrees = math.isqrt(c.shape[1])
    n_elements = c.shape[2] // table.n_max
    terms, factors = gradient_terms(table.l_max)
    given = (c.reshape(-1), *moves, vectors, weights, element, n_elements)
    numbers = numbers_of(table, torch.float64)
    offsets = of.feature_offsets(n_elements, table.n_max, degrees)
    last = (terms, factors, offsets, MODES[mode], float(factor), out)
    rows = len(moves.first_term) - 1
    run(_derive, rows, *given, *numbers, *last, worth_a_thread=WORTH_A_THREAD, threads=threads)


@compiled
def _harmonics_of(pairs, vectors, inverse_scale, steps, degrees, terms, factors, place, values, by):
    """Write R_lm of up to sixteen pairs to ``values`` and the gradients to ``by``, by axes."""
    for j in range(len(pairs)):
        pair = pairs[j] if pairs[j] >= 0 else -1 - pairs[j]
        for axis in range(3):
            place[axis * BLOCK + j] = vectors[pair, axis] * inverse_scale
    solid_harmonics(place, steps, degrees, values)
    by[:] = 0
    for term in range(len(factors)):
        axis, row, column = terms[term, 0], terms[term, 1], terms[term, 2]
        scaled = spread(factors[term] * inverse_scale)
        for k in range(0, BLOCK, 8):
            at = (axis * degrees * degrees + row) * BLOCK + k
            store(muladd(scaled, load(values, column * BLOCK + k), load(by, at)), by, at)


@compiled
def _add_change(
    sign, vector, weight, weight_slope, radial, slopes, values, by, j, degrees, n_pad, stride,
    begin, change,
):  # fmt: skip
    """Add a pair's dC, by three axes, to the columns from ``begin`` on of ``change``."""
    zero = spread(0.0)
    n_rows = degrees * degrees
    own, along = spread(sign * weight), spread(2 * sign * weight_slope)
    own_slope = spread(2 * sign * weight)
    x, y, z = spread(vector[0]), spread(vector[1]), spread(vector[2])
    for degree in range(degrees):
        for k in range(0, n_pad, 8):
            g = load(radial, degree * n_pad + k)
            slope = muladd(load(slopes, degree * n_pad + k), own_slope, muladd(g, along, zero))
            g = muladd(g, own, zero)
            gx, gy, gz = muladd(slope, x, zero), muladd(slope, y, zero), muladd(slope, z, zero)
            for row in range(degree * degree, (degree + 1) * (degree + 1)):
                angular = load_one(values, row * BLOCK + j)
                at = row * stride + begin + k
                more = muladd(g, load_one(by, row * BLOCK + j), load(change, at))
                store(muladd(gx, angular, more), change, at)
                at += n_rows * stride
                more = muladd(g, load_one(by, (n_rows + row) * BLOCK + j), load(change, at))
                store(muladd(gy, angular, more), change, at)
                at += n_rows * stride
                more = muladd(g, load_one(by, (2 * n_rows + row) * BLOCK + j), load(change, at))
                store(muladd(gz, angular, more), change, at)


@compiled
def _multiply(change, base, begin, rows, stride, degree, n_max, columns, out):
    """Write sum_m dC_nm C_jm for n of one element and all j, rows of ``stride``, to ``out``."""
    zero = spread(0.0)
    for n in range(0, n_max, 2):
        # Two are computed at once; if one is left, it twice.
        other = min(n + 1, n_max - 1)
        for j in range(0, columns, 8):
            p0, p1 = zero, zero
            for row in range(degree * degree, (degree + 1) * (degree + 1)):
                values = load(rows, row * stride + j)
                at = base + row * stride + begin
                p0 = muladd(load_one(change, at + n), values, p0)
                p1 = muladd(load_one(change, at + other), values, p1)
            store(p0, out, n * stride + j)
            store(p1, out, other * stride + j)


@compiled
def _add_symmetric(
    slot, product, stride, degree, degrees, n_max, present, count, offsets, within, factor, out
):  # fmt: skip
    """Add the derivatives by one element's change to the features of a degree.

    ``product`` has a row for each of the element's functions. ``within`` restricts the features to
    those of the element with itself.
    """
    half = n_max * (n_max + 1) // 2
    first, last = (slot, slot + 1) if within else (0, count)
    for other in range(first, last):
        if other == slot:
            number = present[slot]
            at = number * half * degrees if within else offsets[number, number]
            at += degree * half
            for n in range(n_max):
                for k in range(n, n_max):
                    mirrored = product[k * stride + slot * n_max + n]
                    out[at] += factor * (product[n * stride + slot * n_max + k] + mirrored)
                    at += 1
        elif other > slot:
            at = offsets[present[slot], present[other]] + degree * n_max * n_max
            for n in range(n_max):
                for k in range(n_max):
                    out[at] += factor * product[n * stride + other * n_max + k]
                    at += 1
        else:
            at = offsets[present[other], present[slot]] + degree * n_max * n_max
            for n in range(n_max):
                for k in range(n_max):
                    out[at] += factor * product[k * stride + other * n_max + n]
                    at += 1


@compiled
def _add_with_sum(
    change, base, rows, summed, touched, stride, sum_stride, degrees, n_max, present, count,
    factor, changed_sum, out,
):  # fmt: skip
    """Add the derivatives of products with the sum over elements."""
    n_rows = degrees * degrees
    for row in range(n_rows):
        for n in range(n_max):
            value = 0.0
            for slot in range(count):
                if touched[slot]:
                    value += change[base + row * stride + slot * n_max + n]
            changed_sum[row * sum_stride + n] = value
    for slot in range(count):
        for degree in range(degrees):
            begin = (present[slot] * degrees + degree) * n_max * n_max
            for row in range(degree * degree, (degree + 1) * (degree + 1)):
                for n in range(n_max):
                    here = row * stride + slot * n_max + n
                    own, other = factor * rows[here], row * sum_stride
                    moved = factor * change[base + here] if touched[slot] else 0.0
                    at = begin + n * n_max
                    for k in range(n_max):
                        out[at + k] += own * changed_sum[other + k] + moved * summed[other + k]


@compiled
def _derive(
    start, stop, c, first_term, first_pair, center_of, pair_of, vectors, weights, element,
    n_elements, table, intervals, degrees, n_pad, inverse_width, inverse_scale, n_max, steps,
    terms, factors, offsets, mode, factor, out,
):  # fmt: skip
    n_rows, size = degrees * degrees, degrees * n_pad
    channels = n_elements * n_max
    widest = of.padded(channels)
    rows = np.zeros(n_rows * widest)
    # Radial functions come in whole registers: the last ones reach into the next row, as zeros.
    change = np.zeros(3 * n_rows * widest + n_pad)
    product = np.zeros(n_max * widest + 8)
    sum_stride = of.padded(n_max)
    summed, changed_sum = np.zeros(n_rows * sum_stride), np.zeros(n_rows * sum_stride)
    place, values = np.zeros(3 * BLOCK), np.zeros(n_rows * BLOCK)
    by = np.zeros(3 * n_rows * BLOCK)
    radial, slopes = np.empty(size), np.empty(size)
    present, slot_of = np.zeros(n_elements, np.int64), np.zeros(n_elements, np.int64)
    touched = np.zeros(n_elements, np.bool_)
    known, count, stride, ready = -1, 0, 8, -1
    last = first_pair[first_term[stop]]
    for row in range(start, stop):
        for term in range(first_term[row], first_term[row + 1]):
            if first_pair[term] == first_pair[term + 1]:
                continue
            center = center_of[term]
            if center != known:
                known = center
                count = of.gather(c, center, n_elements, n_max, present, rows)
                stride = of.padded(count * n_max)
                slot_of[:] = -1
                for slot in range(count):
                    slot_of[present[slot]] = slot
                if mode == 2:
                    gather_sum(c, center * n_rows * channels, channels, n_rows, n_max, summed)
            touched[:] = False
            change[: 3 * n_rows * stride + n_pad] = 0
            for entry in range(first_pair[term], first_pair[term + 1]):
                if ready < 0 or entry >= ready + BLOCK:
                    ready = entry
                    block = pair_of[entry : min(entry + BLOCK, last)]
                    _harmonics_of(
                        block, vectors, inverse_scale, steps, degrees, terms, factors, place,
                        values, by,
                    )  # fmt: skip
                pair, sign = pair_of[entry], 1.0
                if pair < 0:
                    pair, sign = -1 - pair, -1.0
                slot = slot_of[element[pair]]
                if slot < 0:
                    continue
                touched[slot] = True
                vector = vectors[pair]
                r2 = vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2
                weight, weight_slope = 1.0, 0.0
                if weights.shape[1] > 0:
                    weight, weight_slope = weights[0, pair], weights[1, pair]
                look_up(r2, table, intervals, size, inverse_width, 1.0, radial, slopes)
                _add_change(
                    sign, vector, weight, weight_slope, radial, slopes, values, by, entry - ready,
                    degrees, n_pad, stride, slot * n_max, change,
                )  # fmt: skip
            for axis in range(3):
                base, to = axis * n_rows * stride, out[row, axis]
                if mode == 2:
                    _add_with_sum(
                        change, base, rows, summed, touched, stride, sum_stride, degrees, n_max,
                        present, count, factor, changed_sum, to,
                    )  # fmt: skip
                    continue
                for slot in range(count):
                    if not touched[slot]:
                        continue
                    for degree in range(degrees):
                        _multiply(
                            change, base, slot * n_max, rows, stride, degree, n_max,
                            count * n_max, product,
                        )  # fmt: skip
                        _add_symmetric(
                            slot, product, stride, degree, degrees, n_max, present, count, offsets,
                            mode == 1, factor, to,
                        )  # fmt: skip
