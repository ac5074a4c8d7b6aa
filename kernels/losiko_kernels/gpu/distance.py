r"""The distance of a unit power spectrum from a target, and its gradient, in one launch.

    d = |p - t|^2,     p = P / |P|,     dd/dP = 2 / |P| (p - t - p (p . (p - t)))

Neither P nor its gradient is ever in memory: a program computes its center's matrices tile by tile,
first for |P| and P . t, then for the differences p - t. It sums their squares into d, which as
|p|^2 - 2 p . t + |t|^2 would lose all digits, and multiplies them with the coefficients. The target
need not be of unit length. The kernel reads the coefficients and the target, and writes d and as
many numbers as coefficients.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from losiko_kernels.gpu.launching import launch
from losiko_kernels.gpu.power_spectrum import inverse_root
from losiko_kernels.gpu.tiles import (
    degree_rows,
    products,
    store_gradient,
    sum_of_squares,
    tile_features,
    tiling,
)


def distance(
    c: torch.Tensor, target: torch.Tensor, n_max: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances d (n,), and their gradient dd/dc, shaped as c.

    Args:
        c: Scaled coefficients, shape (n, (l_max+1)^2, n_elements * n_max).
        target: Target of each center, in the order of the features, shape (n, F).
        n_max: Number of radial functions of an element.

    A center without neighbours has p = 0 and gradient 0.
    """
    n = c.shape[0]
    features, _, sizes = tiling(c, n_max)
    d, grad_c = c.new_empty(n), torch.empty_like(c)
    if n > 0:
        launch(
            distance_kernel,
            (n,),
            c,
            features,
            target,
            d,
            grad_c,
            **sizes,
            num_warps=1,
            num_stages=1,
            enable_fp_fusion=True,
        )
    return d, grad_c


@triton.jit
def distance_kernel(
    c,
    features,
    target,
    d,
    grad_c,
    FEATURES: tl.constexpr,
    DEGREES: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Compute |P|^2 and P . t of one center, then d and the gradient."""
    center = tl.program_id(0).to(tl.int64)
    target += center * FEATURES
    norm2 = tl.full((), 0, c.dtype.element_ty)
    overlap = norm2
    for degree in range(DEGREES):
        rows = degree_rows(c, center, degree, DEGREES, CHANNELS)
        for tile in range(TILES):
            entries, diagonal = products(rows, degree, tile, CHANNELS, ROWS, COLUMNS)
            feature, upper = tile_features(features, degree, tile, TILES, ROWS, COLUMNS)
            t = tl.load(target + feature, mask=upper, other=0.0)
            norm2 += sum_of_squares(entries, diagonal)
            overlap += tl.sum(entries * t)

    shrink = inverse_root(norm2)
    # p . (p - t), whose rounding error changes the gradient no more than that of p itself.
    along = 1 - overlap * shrink
    total = tl.full((), 0, c.dtype.element_ty)
    for degree in range(DEGREES):
        rows = degree_rows(c, center, degree, DEGREES, CHANNELS)
        out = degree_rows(grad_c, center, degree, DEGREES, CHANNELS)
        for tile in range(TILES):
            entries, _ = products(rows, degree, tile, CHANNELS, ROWS, COLUMNS)
            p = entries * shrink
            feature, upper = tile_features(features, degree, tile, TILES, ROWS, COLUMNS)
            difference = p - tl.load(target + feature)
            total += tl.sum(tl.where(upper, difference * difference, 0))
            slope = (difference - along * p) * (2 * shrink)
            store_gradient(slope, rows, out, degree, tile, CHANNELS, ROWS, COLUMNS)
    tl.store(d + center, total)
