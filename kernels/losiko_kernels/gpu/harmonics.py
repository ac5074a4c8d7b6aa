r"""Solid harmonics inside a Triton kernel, degree by degree, all in registers.

With x, y, z in units of the table's ``scale``, and Q the Legendre part that is monic in z,

    R_lm = N_lm Q_l|m|(z, r^2) A_m,     A_m = Re (x + iy)^m, or Im (x + iy)^|m| for m < 0,
    Q_lm = z Q_{l-1,m} - ((l-1)^2 - m^2) / (4 (l-1)^2 - 1) r^2 Q_{l-2,m},      Q_mm = 1.

Every factor of the recursion, and of the derivatives (r^2 and the azimuth held by d/dr^2)

    dQ_lm/dz (r^2 moving along)  =  (l^2 - m^2) / (2l - 1)  Q_{l-1,m}
    2 dQ_lm/d(r^2)               = -(l-m)(l-m-1) / (2l - 1) Q_{l-1,m+1}

is a ratio of small integers, which the compiler folds; roots occur in N_lm alone, which is applied
only once a row (``parameters``). The functions are generic in the shape of x, y, z: a scalar for
one pair, a block for many. Loops are unrolled, tuples are registers.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import triton
import triton.language as tl

#: Coefficients of a channel that a lane keeps in registers at once: all up to l_max = 9.
ROWS_AT_ONCE = 100


def degree_ranges(l_max: int) -> list[tuple[int, int]]:
    """Ranges low..high-1 of degrees, each of at most ``ROWS_AT_ONCE`` rows if possible."""
    ranges, low = [], 0
    while low <= l_max:
        high = low + 1
        while high <= l_max and (high + 1) ** 2 - low**2 <= ROWS_AT_ONCE:
            high += 1
        ranges.append((low, high))
        low = high
    return ranges


@triton.jit
def azimuths(x, y, L_MAX: tl.constexpr):
    """Real and imaginary part of (x + iy)^m, m = 1..max(L_MAX, 1), at place m - 1 of two tuples."""
    cosine = (x,)
    sine = (y,)
    for m in tl.static_range(1, L_MAX):
        re = cosine[m - 1]
        im = sine[m - 1]
        cosine = cosine + (x * re - y * im,)  # noqa: RUF005 - Triton has no starred tuples
        sine = sine + (x * im + y * re,)  # noqa: RUF005
    return cosine, sine


@triton.jit
def legendre_row(z, r2, last, previous, DEGREE: tl.constexpr):
    """Q_lm for m = 0..l-1 from the rows of degree l-1 and l-2; Q_ll = 1 is left out."""
    below: tl.constexpr = (DEGREE - 1) * (DEGREE - 1)
    row = ()
    for m in tl.static_range(DEGREE):
        if m == DEGREE - 1:
            row = row + (z,)  # noqa: RUF005
        else:
            damped = r2
            if m < DEGREE - 2:
                damped = r2 * previous[m]
            # Inline, because a function would return single precision in Triton 3.6.
            damped = damped * ((below - m * m) / (4 * below - 1))
            row = row + (z * last[m] - damped,)  # noqa: RUF005
    return row


@triton.jit
def times_harmonic(factor, row, cosine, sine, DEGREE: tl.constexpr, ORDER: tl.constexpr):
    """``factor`` Q_l|m| A_m for m = ORDER, of either sign."""
    product = times_legendre(factor, row, DEGREE, ORDER if ORDER >= 0 else -ORDER)
    if ORDER > 0:
        product = product * cosine[ORDER - 1]
    if ORDER < 0:
        product = product * sine[-ORDER - 1]
    return product


@triton.jit
def times_legendre(factor, row, DEGREE: tl.constexpr, ORDER: tl.constexpr):
    """``factor`` Q_lm with m = ORDER >= 0."""
    if ORDER < DEGREE:
        return factor * row[ORDER]
    else:
        return factor


@lru_cache(maxsize=64)
def parameters(
    l_max: int, scale: float, inverse_width: float, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """1/scale, 1/interval width, then N_lm in the order of the coefficients' rows.

    Numbers passed to a Triton kernel directly would arrive in single precision.
    """
    norms = [
        _norm(degree, abs(order))
        for degree in range(l_max + 1)
        for order in range(-degree, degree + 1)
    ]
    return torch.tensor([1 / scale, inverse_width, *norms], dtype=dtype, device=device)


def _norm(degree: int, order: int) -> float:
    """N_lm: sqrt((2l+1)/(4 pi) (l-m)!/(l+m)!) (2l)!/(2^l l! (l-m)!), times sqrt(2) for m > 0."""
    squared = math.factorial(2 * degree) ** 2 / (
        4**degree
        * math.factorial(degree) ** 2
        * math.factorial(degree - order)
        * math.factorial(degree + order)
    )
    return math.sqrt((2 * degree + 1) / (4 * math.pi) * squared * (1 if order == 0 else 2))
