r"""Tiles of the power spectrum's matrices, recomputed wherever they are needed.

    P_l[a, b] = sum_m c[l^2 + l + m, a] c[l^2 + l + m, b]

A program is a center and one warp. It computes the matrix of each degree in tiles of all rows a and
some columns b, about 32 entries a thread, each the sum of 2l+1 outer products of a row of
coefficients with itself: a dozen numbers loaded for 32 multiplications, no padding of 2l+1, and
plain arithmetic in the precision of the inputs. The matrix is symmetric and the gradient sums over
a tile's rows, so that a tile's columns of the gradient are complete when the tile is done, in any
order.

Features are the distinct entries in DScribe's order: pairs of elements, then l, then n, n'
(n' >= n within one element). A table, the same for every center, holds the feature f of each entry:
f for the first of the two entries that share it, a <= b, and -1 - f for the second. Entries outside
the matrix are zero and count as a second entry of feature 0, whose address is valid to load; the
number is multiplied by zero or not stored.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl

from losiko_kernels.gpu.launching import power_of_two


class Tiling(NamedTuple):
    """Tiles into which the matrices of C = n_elements * n_max channels are cut.

    Attributes:
        features: Feature of each entry, as described in the text of this file, shape (l_max + 1,
            rows, tiles * columns), int32.
        count: Number of features F.
        sizes: Compile-time arguments of the kernels.
    """

    features: torch.Tensor
    count: int
    sizes: dict[str, int]


def tiling(c: torch.Tensor, n_max: int) -> Tiling:
    """The tiling of coefficients (n, M, C), M = (l_max + 1)^2."""
    _, orders, channels = c.shape
    degrees = round(orders**0.5)
    # In double precision an entry takes two registers.
    entries = 1024 if c.dtype == torch.float32 else 512
    rows = max(4, power_of_two(channels))
    columns = max(4, min(rows, entries // rows))
    tiles = triton.cdiv(channels, columns)
    features = _feature_of_entry(n_max, channels, degrees, rows, tiles * columns, c.device)
    count = channels * (channels + 1) // 2 * degrees
    sizes = {
        "FEATURES": count,
        "DEGREES": degrees,
        "CHANNELS": channels,
        "TILES": tiles,
        "ROWS": rows,
        "COLUMNS": columns,
    }
    return Tiling(features, count, sizes)


@lru_cache(maxsize=64)
def _feature_of_entry(
    n_max: int, channels: int, degrees: int, rows: int, columns: int, device: torch.device
) -> torch.Tensor:
    table = torch.full((degrees, rows, columns), -1, dtype=torch.int32)
    start = 0
    upper = torch.triu_indices(n_max, n_max)
    for a in range(0, channels, n_max):
        for b in range(a, channels, n_max):
            if a == b:
                n, other = upper
            else:
                n, other = torch.cartesian_prod(torch.arange(n_max), torch.arange(n_max)).T
            size = degrees * len(n)
            block = torch.arange(start, start + size, dtype=torch.int32).reshape(degrees, -1)
            table[:, b + other, a + n] = -1 - block
            table[:, a + n, b + other] = block
            start += size
    return table.to(device)


@triton.jit
def degree_rows(c, center, degree, DEGREES: tl.constexpr, CHANNELS: tl.constexpr):
    """Pointer to the 2l+1 rows of a center's coefficients of degree l."""
    return c + (center * (DEGREES * DEGREES) + degree * degree) * CHANNELS


@triton.jit
def products(
    rows,
    degree,
    tile,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Entries (ROWS, COLUMNS) of P_l, zero outside the matrix, and its diagonal (COLUMNS,)."""
    a = tl.arange(0, ROWS)
    b = tile * COLUMNS + tl.arange(0, COLUMNS)
    entries = tl.zeros((ROWS, COLUMNS), rows.dtype.element_ty)
    diagonal = tl.zeros((COLUMNS,), rows.dtype.element_ty)
    for m in range(2 * degree + 1):
        left = tl.load(rows + m * CHANNELS + a, mask=a < CHANNELS, other=0.0)
        right = tl.load(rows + m * CHANNELS + b, mask=b < CHANNELS, other=0.0)
        entries += left[:, None] * right[None, :]
        diagonal += right * right
    return entries, diagonal


@triton.jit
def sum_of_squares(entries, diagonal):
    """Contribution of a tile to |P|^2: a feature off the diagonal is two entries."""
    return (tl.sum(entries * entries) + tl.sum(diagonal * diagonal)) * 0.5


@triton.jit
def tile_features(
    features, degree, tile, TILES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Feature of each entry of a tile (ROWS, COLUMNS), and a mask of the first entries of each."""
    a = tl.arange(0, ROWS)
    b = tile * COLUMNS + tl.arange(0, COLUMNS)
    place = (degree * ROWS + a)[:, None] * (TILES * COLUMNS) + b[None, :]
    entry = tl.load(features + place)
    # The hint breaks a tie in the choice of layout: threads are to lie along the columns.
    return tl.max_contiguous(tl.maximum(entry, -1 - entry), (1, 2)), entry >= 0


@triton.jit
def store_gradient(
    slope,
    rows,
    out,
    degree,
    tile,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Store a tile's columns of dE/dC_l = (slope, its diagonal doubled) C_l.

    ``slope`` (ROWS, COLUMNS) is dE/dP_l, by the feature that each entry is.
    """
    a = tl.arange(0, ROWS)
    b = tile * COLUMNS + tl.arange(0, COLUMNS)
    # A diagonal entry is a square and counts twice in the derivative.
    slope = tl.where(a[:, None] == b[None, :], 2 * slope, slope)
    for m in range(2 * degree + 1):
        left = tl.load(rows + m * CHANNELS + a, mask=a < CHANNELS, other=0.0)
        columns = tl.sum(slope * left[:, None], 0)
        tl.store(out + m * CHANNELS + b, columns, mask=b < CHANNELS)
