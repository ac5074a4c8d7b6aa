r"""Radial functions inside a Triton kernel, from the table of piecewise polynomials.

The table (intervals, 6, l_max + 1, n_pad) divides r^2 evenly. In interval k, with t running from -1
to 1 across it,

    g_nl(r^2) = sum_q table[k, q, l, n] t^q,        dg_nl/d(r^2) = dg_nl/dt * 2 / width.

Beyond the table the last polynomial continues.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def interval(r2, inverse_width, INTERVALS: tl.constexpr):
    """Interval k of the table that r^2 lies in, and the place t in it, from -1 to 1."""
    x = r2 * inverse_width
    k = tl.maximum(tl.minimum(x.to(tl.int32), INTERVALS - 1), 0)
    return k, 2 * (x - k.to(x.dtype)) - 1


@triton.jit
def radial_value(place, mask, t, STRIDE: tl.constexpr):
    """Horner's sum of coefficients_q t^q; coefficient q lies q * ``STRIDE`` beyond ``place``."""
    value = tl.load(place + 5 * STRIDE, mask=mask, other=0.0)
    for q in tl.static_range(5):
        value = value * t + tl.load(place + (4 - q) * STRIDE, mask=mask, other=0.0)
    return value


@triton.jit
def radial_value_and_slope(place, mask, t, STRIDE: tl.constexpr):
    """The polynomial and its derivative by t."""
    value = tl.load(place + 5 * STRIDE, mask=mask, other=0.0)
    slope = value
    for q in tl.static_range(5):
        value = value * t + tl.load(place + (4 - q) * STRIDE, mask=mask, other=0.0)
        if q < 4:
            slope = slope * t + value
    return value, slope
