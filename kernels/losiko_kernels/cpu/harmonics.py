"""Solid harmonics of sixteen points side by side, for the density's kernels."""

from __future__ import annotations

import numpy as np

from losiko_kernels.cpu.lanes import compiled, load, muladd, spread, store

#: Points of a block: two registers.
BLOCK = 16


@compiled
def solid_harmonics(place, steps, degrees, out):
    """Write R_lm of the block's points to ``out``, of length (l_max + 1)^2 * 16.

    ``place`` (3 * 16) are the points' coordinates, ``steps`` the factors of ``recursion``.
    """
    kind = out.dtype.type
    root2, zero, one = spread(kind(np.sqrt(2.0))), spread(kind(0)), spread(kind(1))
    for k in range(0, BLOCK, 8):
        x, y, z = load(place, k), load(place, BLOCK + k), load(place, 2 * BLOCK + k)
        minus_r2 = muladd(x, x, muladd(y, y, muladd(z, z, zero)))
        minus_r2 = muladd(minus_r2, spread(kind(-1)), zero)
        re, im = one, zero
        for m in range(degrees):
            if m > 0:
                minus_im = muladd(im, spread(kind(-1)), zero)
                re, im = (
                    muladd(x, re, muladd(y, minus_im, zero)),
                    muladd(x, im, muladd(y, re, zero)),
                )
            last, before = spread(steps[0, m, m]), zero
            for degree in range(m, degrees):
                if degree > m:
                    step, damp = spread(steps[0, degree, m]), spread(steps[1, degree, m])
                    lower = muladd(minus_r2, before, zero)
                    newer = muladd(z, last, muladd(damp, lower, zero))
                    before, last = last, muladd(step, newer, zero)
                middle = degree * degree + degree
                if m == 0:
                    store(last, out, middle * BLOCK + k)
                else:
                    scaled = muladd(root2, last, zero)
                    store(muladd(scaled, re, zero), out, (middle + m) * BLOCK + k)
                    store(muladd(scaled, im, zero), out, (middle - m) * BLOCK + k)


@compiled
def pull_back(slope, values, terms, factors, out):
    """Write the gradient of sum_lm slope_lm R_lm by the block's points to ``out`` (3 * 16).

    ``values`` are R_lm, ``terms`` and ``factors`` the results of ``gradient_terms``.
    """
    kind = out.dtype.type
    for k in range(0, 3 * BLOCK, 8):
        store(spread(kind(0)), out, k)
    for term in range(len(factors)):
        axis, row, column = terms[term, 0], terms[term, 1], terms[term, 2]
        factor = spread(factors[term])
        for k in range(0, BLOCK, 8):
            product = muladd(load(slope, row * BLOCK + k), factor, spread(kind(0)))
            at = axis * BLOCK + k
            store(muladd(product, load(values, column * BLOCK + k), load(out, at)), out, at)
