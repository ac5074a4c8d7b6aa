r"""Density coefficients and their gradient, in one launch each.

    c[i, lm, element * n_max + n] = sum_j w_ij g_nl(r_ij^2) R_lm(r_ij / scale)

Forward, a program is a center and a lane a channel. The center's pairs follow one by one; their
harmonics are the same number in every lane, and all coefficients of a lane's channel stay in
registers until they are written, once, as whole rows. No sum runs across lanes or programs, so
results repeat to the last bit.

Backward, a few lanes are a pair and share its radial functions. With the incoming gradient G of the
center's coefficients,

    u_lm = sum_n g_nl G[lm, n],      v_lm = sum_n dg_nl/d(r^2) G[lm, n]
    dE/dr = w (sum_lm u_lm grad R_lm + 2 r sum_lm v_lm R_lm),      dE/dw = sum_lm u_lm R_lm
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from losiko_kernels.gpu.harmonics import (
    azimuths,
    degree_ranges,
    legendre_row,
    parameters,
    times_harmonic,
    times_legendre,
)
from losiko_kernels.gpu.launching import launch, power_of_two
from losiko_kernels.gpu.radial import interval, radial_value, radial_value_and_slope
from losiko_kernels.kept import kept

if TYPE_CHECKING:
    from losiko_kernels.radial_table import RadialTable


def expand_density(
    vectors: torch.Tensor,
    weights: torch.Tensor | None,
    first: torch.Tensor,
    element: torch.Tensor,
    n_elements: int,
    table: RadialTable,
) -> torch.Tensor:
    """Coefficients (n, (l_max+1)^2, n_elements * n_max), scaled as the table is.

    Args:
        vectors: Vectors from center to neighbour in Angstrom, sorted by center, shape (E, 3).
        weights: Weights of the pairs, shape (E,). None means all 1.
        first: Number of each center's first pair, and E, shape (n + 1,), int64.
        element: Element of each pair's neighbour, 0..n_elements-1, shape (E,), int64.
        n_elements: Number of elements.
        table: Radial functions as piecewise polynomials, in the vectors' precision.
    """
    n = first.shape[0] - 1
    degrees, channels = table.l_max + 1, n_elements * table.n_max
    out = vectors.new_empty((n, degrees**2, channels))
    if n == 0:
        return out
    block = power_of_two(channels)
    for low, high in degree_ranges(table.l_max):
        launch(
            expand_kernel,
            (n,),
            vectors,
            vectors if weights is None else weights,
            first,
            element,
            table.coefficients,
            _parameters(table, vectors),
            out,
            **_sizes(table, n_elements),
            LOW=low,
            HIGH=high,
            WEIGHTED=weights is not None,
            BLOCK=block,
            num_warps=max(1, min(block // 32, 8)),
            num_stages=1,
            enable_fp_fusion=True,
        )
    return out


def expand_density_backward(
    grad_c: torch.Tensor,
    factor: torch.Tensor | None,
    vectors: torch.Tensor,
    weights: torch.Tensor | None,
    first: torch.Tensor,
    element: torch.Tensor,
    n_elements: int,
    table: RadialTable,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Gradient of sum_i factor_i <grad_c_i, c_i> by vectors (E, 3) and by weights (E,) or None.

    Args:
        grad_c: Gradient by the coefficients, shape (n, (l_max+1)^2, n_elements * n_max).
        factor: Factors of the centers, shape (n,). None means all 1.
        vectors, weights, first, element, n_elements, table: Arguments of ``expand_density``.
    """
    count = vectors.shape[0]
    grad_vectors = torch.empty_like(vectors)
    grad_weights = None if weights is None else torch.empty_like(weights)
    if count == 0:
        return grad_vectors, grad_weights
    lanes = power_of_two(table.coefficients.shape[3])
    # Four numbers a thread are one load of the table.
    pairs = max(1, 512 // lanes)
    launch(
        backward_kernel,
        (triton.cdiv(count, pairs),),
        grad_c,
        vectors if factor is None else factor,
        vectors,
        vectors if weights is None else weights,
        _next_centers(first, count),
        element,
        table.coefficients,
        _parameters(table, vectors),
        grad_vectors,
        grad_vectors if grad_weights is None else grad_weights,
        count,
        **_sizes(table, n_elements),
        FACTORED=factor is not None,
        WEIGHTED=weights is not None,
        PAIRS=pairs,
        LANES=lanes,
        num_warps=4,
        num_stages=1,
        enable_fp_fusion=True,
    )
    return grad_vectors, grad_weights


def _next_centers(first: torch.Tensor, count: int) -> torch.Tensor:
    """Return one more than the center of each pair, int32, kept with ``first``."""

    def found() -> torch.Tensor:
        places = torch.arange(count, device=first.device)
        return torch.searchsorted(first, places, right=True, out_int32=True)

    return kept(first, "next centers", found)


def _parameters(table: RadialTable, like: torch.Tensor) -> torch.Tensor:
    return parameters(table.l_max, table.scale, table.inverse_width, like.dtype, like.device)


def _sizes(table: RadialTable, n_elements: int) -> dict[str, int]:
    """Compile-time arguments that both ways share."""
    return {
        "INTERVALS": table.coefficients.shape[0],
        "N_PAD": table.coefficients.shape[3],
        "N_MAX": table.n_max,
        "CHANNELS": n_elements * table.n_max,
        "DEGREES": table.l_max + 1,
    }


@triton.jit
def expand_kernel(
    vectors,
    weights,
    first,
    element,
    table,
    constants,
    out,
    INTERVALS: tl.constexpr,
    N_PAD: tl.constexpr,
    N_MAX: tl.constexpr,
    CHANNELS: tl.constexpr,
    DEGREES: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    WEIGHTED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Degrees LOW..HIGH-1 of the coefficients of one center."""
    center = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, BLOCK)
    own_element = channel // N_MAX
    radial = channel % N_MAX
    in_use = channel < CHANNELS
    inverse_scale = tl.load(constants)
    inverse_width = tl.load(constants + 1)

    sums = ()
    for _ in tl.static_range(HIGH * HIGH - LOW * LOW):
        sums = sums + (tl.zeros((BLOCK,), out.dtype.element_ty),)  # noqa: RUF005
    for pair in range(tl.load(first + center), tl.load(first + center + 1)):
        x = tl.load(vectors + 3 * pair)
        y = tl.load(vectors + 3 * pair + 1)
        z = tl.load(vectors + 3 * pair + 2)
        k, t = interval(x * x + y * y + z * z, inverse_width, INTERVALS)
        place = table + k * (6 * DEGREES * N_PAD) + radial
        mask = in_use & (own_element == tl.load(element + pair))
        x = x * inverse_scale
        y = y * inverse_scale
        z = z * inverse_scale
        r2 = x * x + y * y + z * z
        cosine, sine = azimuths(x, y, HIGH - 1)
        new_sums = ()
        previous = ()
        last = ()
        for degree in tl.static_range(HIGH):
            row = legendre_row(z, r2, last, previous, degree)
            if degree >= LOW:
                g = radial_value(place + degree * N_PAD, mask, t, DEGREES * N_PAD)
                if WEIGHTED:
                    g = g * tl.load(weights + pair)
                for m in tl.static_range(2 * degree + 1):
                    term = times_harmonic(g, row, cosine, sine, degree, m - degree)
                    old = sums[degree * degree - LOW * LOW + m]
                    new_sums = new_sums + (old + term,)  # noqa: RUF005
            previous = last
            last = row
        sums = new_sums
    for lm in tl.static_range(LOW * LOW, HIGH * HIGH):
        place = out + (center * (DEGREES * DEGREES) + lm) * CHANNELS + channel
        tl.store(place, sums[lm - LOW * LOW] * tl.load(constants + 2 + lm), mask=in_use)


@triton.jit(do_not_specialize=["count"])
def backward_kernel(
    grad_c,
    factor,
    vectors,
    weights,
    next_center,
    element,
    table,
    constants,
    grad_vectors,
    grad_weights,
    count,
    INTERVALS: tl.constexpr,
    N_PAD: tl.constexpr,
    N_MAX: tl.constexpr,
    CHANNELS: tl.constexpr,
    DEGREES: tl.constexpr,
    FACTORED: tl.constexpr,
    WEIGHTED: tl.constexpr,
    PAIRS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Gradients of PAIRS pairs; numbers of pairs are blocks (PAIRS,), radial ones (PAIRS, LANES).

    ``next_center`` is one more than the center of each pair.
    """
    pair = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    live = pair < count
    x = tl.load(vectors + 3 * pair, mask=live, other=0.0)
    y = tl.load(vectors + 3 * pair + 1, mask=live, other=0.0)
    z = tl.load(vectors + 3 * pair + 2, mask=live, other=0.0)
    center = tl.load(next_center + pair, mask=live, other=1).to(tl.int64) - 1
    own_element = tl.load(element + pair, mask=live, other=0)
    inverse_scale = tl.load(constants)
    inverse_width = tl.load(constants + 1)

    n = tl.arange(0, LANES)
    k, t = interval(x * x + y * y + z * z, inverse_width, INTERVALS)
    place = table + (k * (6 * DEGREES * N_PAD))[:, None] + n[None, :]
    in_table = live[:, None] & (n < N_PAD)[None, :]
    start = center * (DEGREES * DEGREES * CHANNELS) + own_element * N_MAX
    incoming = grad_c + start[:, None] + n[None, :]
    in_use = live[:, None] & (n < N_MAX)[None, :]
    t = t[:, None]

    x = x * inverse_scale
    y = y * inverse_scale
    z = z * inverse_scale
    r2 = x * x + y * y + z * z
    cosine, sine = azimuths(x, y, DEGREES - 1)
    zero = tl.zeros((PAIRS,), x.dtype)
    # Derivatives of the sum of u_lm R_lm: by z; by x and y through the azimuth; and through r^2 (to
    # be multiplied by x and y). Then the value of that sum, and the sum of v_lm R_lm.
    along_z = zero
    through_x = zero
    through_y = zero
    through_r2 = zero
    value_sum = zero
    slope_sum = zero
    previous = ()
    last = ()
    for degree in tl.static_range(DEGREES):
        row = legendre_row(z, r2, last, previous, degree)
        value, slope = radial_value_and_slope(place + degree * N_PAD, in_table, t, DEGREES * N_PAD)
        for m in tl.static_range(degree + 1):
            norm = tl.load(constants + 2 + degree * degree + degree + m)
            rows = incoming + (degree * degree + degree + m) * CHANNELS
            g = tl.load(rows, mask=in_use, other=0.0)
            u = tl.sum(g * value, 1) * norm
            v = tl.sum(g * slope, 1) * norm
            if m == 0:
                ring_u = u
                ring_v = v
            else:
                rows = incoming + (degree * degree + degree - m) * CHANNELS
                g = tl.load(rows, mask=in_use, other=0.0)
                u_sine = tl.sum(g * value, 1) * norm
                v_sine = tl.sum(g * slope, 1) * norm
                ring_u = u * cosine[m - 1] + u_sine * sine[m - 1]
                ring_v = v * cosine[m - 1] + v_sine * sine[m - 1]
                # d(x + iy)^m = m (x + iy)^(m-1) (dx + i dy)
                q_u = times_legendre(m * u, row, degree, m)
                q_u_sine = times_legendre(m * u_sine, row, degree, m)
                if m == 1:
                    through_x += q_u
                    through_y += q_u_sine
                else:
                    through_x += q_u * cosine[m - 2] + q_u_sine * sine[m - 2]
                    through_y += q_u_sine * cosine[m - 2] - q_u * sine[m - 2]
            value_sum += times_legendre(ring_u, row, degree, m)
            slope_sum += times_legendre(ring_v, row, degree, m)
            if m < degree:
                ring_z = ring_u * ((degree * degree - m * m) / (2 * degree - 1))
                along_z += times_legendre(ring_z, last, degree - 1, m)
            if m < degree - 1:
                ring_r2 = ring_u * ((degree - m) * (degree - m - 1) / (2 * degree - 1))
                through_r2 -= times_legendre(ring_r2, last, degree - 1, m + 1)
        previous = last
        last = row

    size = zero + 1
    if FACTORED:
        size = tl.load(factor + center, mask=live, other=0.0)
    if WEIGHTED:
        tl.store(grad_weights + pair, size * value_sum, mask=live)
        size = size * tl.load(weights + pair, mask=live, other=0.0)
    # t moves by 2 / width, r^2 by twice the vector, which is x / inverse_scale.
    radial = slope_sum * (4 * inverse_width) / inverse_scale
    through_r2 = through_r2 * inverse_scale + radial
    size_scaled = size * inverse_scale
    grad_x = size_scaled * through_x + size * through_r2 * x
    grad_y = size_scaled * through_y + size * through_r2 * y
    grad_z = size_scaled * along_z + size * radial * z
    tl.store(grad_vectors + 3 * pair, grad_x, mask=live)
    tl.store(grad_vectors + 3 * pair + 1, grad_y, mask=live)
    tl.store(grad_vectors + 3 * pair + 2, grad_z, mask=live)
