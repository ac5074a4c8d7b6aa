r"""Unit power spectra, and their gradient, from density coefficients.

    p = P / |P|,       P the distinct entries of P_l = C_l C_l^T        (see ``tiles``)
    dE/dP = (s - p (p . s)) / |P|                        for a slope s = dE/dp

Each kernel computes the matrices twice, first for a sum over all of them and then for the numbers
that depend on it: multiplying again is cheaper than storing thousands of numbers and reading them
back.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from losiko_kernels.gpu.launching import launch
from losiko_kernels.gpu.tiles import (
    degree_rows,
    products,
    store_gradient,
    sum_of_squares,
    tile_features,
    tiling,
)


def unit_power_spectrum(
    c: torch.Tensor, n_max: int, rows: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit features (n, F), and the lengths (n,) of the power spectra.

    Args:
        c: Scaled coefficients, shape (N, (l_max+1)^2, n_elements * n_max).
        n_max: Number of radial functions of an element.
        rows: Centers that are described, shape (n,), int64. None means all, in their order.

    A center without neighbours has length 0 and features 0.
    """
    n = c.shape[0] if rows is None else rows.shape[0]
    features, count, sizes = tiling(c, n_max)
    p, length = c.new_empty((n, count)), c.new_empty(n)
    if n > 0:
        launch(
            unit_kernel,
            (n,),
            c,
            features if rows is None else rows,
            features,
            p,
            length,
            **sizes,
            SOME=rows is not None,
            num_warps=1,
            num_stages=1,
            enable_fp_fusion=True,
        )
    return p, length


def power_spectrum_backward(
    c: torch.Tensor,
    length: torch.Tensor,
    slope: torch.Tensor,
    n_max: int,
    rows: torch.Tensor | None = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Gradient dE/dc, shaped as c, from ``slope`` = dE/dp (n, F) for unit features p.

    Args:
        c, n_max, rows: Arguments of ``unit_power_spectrum``.
        length: Lengths (n,) that it gave.
        slope: Slope, shape (n, F).
        out: Tensor that the gradients of these centers are written to. None means a new one.
    """
    features, _, sizes = tiling(c, n_max)
    n = c.shape[0] if rows is None else rows.shape[0]
    grad_c = torch.empty_like(c) if out is None else out
    if n > 0:
        launch(
            unit_backward_kernel,
            (n,),
            c,
            features if rows is None else rows,
            features,
            length,
            slope,
            grad_c,
            **sizes,
            SOME=rows is not None,
            num_warps=1,
            num_stages=1,
            enable_fp_fusion=True,
        )
    return grad_c


@triton.jit(do_not_specialize_on_alignment=["rows_of"])
def unit_kernel(
    c,
    rows_of,
    features,
    p,
    length,
    FEATURES: tl.constexpr,
    DEGREES: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SOME: tl.constexpr,
):
    """Compute |P|^2 of one center, then p."""
    place = tl.program_id(0).to(tl.int64)
    center = tl.load(rows_of + place) if SOME else place
    norm2 = tl.full((), 0, c.dtype.element_ty)
    for degree in range(DEGREES):
        rows = degree_rows(c, center, degree, DEGREES, CHANNELS)
        for tile in range(TILES):
            entries, diagonal = products(rows, degree, tile, CHANNELS, ROWS, COLUMNS)
            norm2 += sum_of_squares(entries, diagonal)
    shrink = inverse_root(norm2)
    tl.store(length + place, norm2 * shrink)
    for degree in range(DEGREES):
        rows = degree_rows(c, center, degree, DEGREES, CHANNELS)
        for tile in range(TILES):
            entries, _ = products(rows, degree, tile, CHANNELS, ROWS, COLUMNS)
            feature, upper = tile_features(features, degree, tile, TILES, ROWS, COLUMNS)
            tl.store(p + place * FEATURES + feature, entries * shrink, mask=upper)


@triton.jit(do_not_specialize_on_alignment=["rows_of"])
def unit_backward_kernel(
    c,
    rows_of,
    features,
    length,
    slope,
    grad_c,
    FEATURES: tl.constexpr,
    DEGREES: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SOME: tl.constexpr,
):
    """Compute P . s of one center, then the gradient."""
    place = tl.program_id(0).to(tl.int64)
    center = tl.load(rows_of + place) if SOME else place
    slope += place * FEATURES
    overlap = tl.full((), 0, c.dtype.element_ty)
    for degree in range(DEGREES):
        rows = degree_rows(c, center, degree, DEGREES, CHANNELS)
        for tile in range(TILES):
            entries, _ = products(rows, degree, tile, CHANNELS, ROWS, COLUMNS)
            feature, upper = tile_features(features, degree, tile, TILES, ROWS, COLUMNS)
            overlap += tl.sum(entries * tl.load(slope + feature, mask=upper, other=0.0))
    shrink = inverse(tl.load(length + place))
    along = overlap * shrink * shrink
    for degree in range(DEGREES):
        rows = degree_rows(c, center, degree, DEGREES, CHANNELS)
        out = degree_rows(grad_c, center, degree, DEGREES, CHANNELS)
        for tile in range(TILES):
            entries, _ = products(rows, degree, tile, CHANNELS, ROWS, COLUMNS)
            feature, _ = tile_features(features, degree, tile, TILES, ROWS, COLUMNS)
            s = tl.load(slope + feature)
            s = (s - entries * along) * shrink
            store_gradient(s, rows, out, degree, tile, CHANNELS, ROWS, COLUMNS)


@triton.jit
def inverse_root(square):
    """Inverse root 1 / sqrt(square), or 0 for 0."""
    return inverse(tl.sqrt(square))


@triton.jit
def inverse(number):
    """Inverse 1 / number, or 0 for 0."""
    return tl.where(number > 0, 1 / tl.where(number > 0, number, 1), 0)
