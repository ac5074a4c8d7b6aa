r"""Rows of coefficients times the matrices of their atoms' elements, in one launch.

    out[i, lm, b] = sum_a values[i, lm, a] A^X_l[a, b],        X the element of atom i

and with the transposed matrices on the way back. A program is a degree of some atoms of one
element, and some columns b; it goes through the 2l+1 rows of each atom. Atoms are read and written
where they are, in any order. Products are plain ones in the precision of the inputs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from losiko_kernels import TILE
from losiko_kernels.gpu.launching import launch, power_of_two

#: Channels that are multiplied at once, and columns of a program, at most.
CHANNELS, COLUMNS = 32, 32
#: Sizes of a block of a product, at least.
LEAST = 16


def mix(
    values: torch.Tensor,
    rows: torch.Tensor,
    tiles: torch.Tensor,
    place: torch.Tensor,
    matrices: torch.Tensor,
    back: bool,
) -> torch.Tensor:
    """Coefficients mixed, shape (n, (l_max + 1)^2, b), or with ``back`` their gradient.

    Args:
        values: Coefficients (n, (l_max + 1)^2, a); with ``back`` (n, (l_max + 1)^2, b).
        rows: Atoms in the order of their elements, shape (n,), int64.
        tiles: Atomic number, first place in that order and end of each tile, of up to ``TILE``
            atoms of one element, shape (T, 3), int32. Every atom is in one tile.
        place: Place of each atomic number among the matrices, int32.
        matrices: Matrices A, shape (elements, l_max + 1, a, b).
        back: Whether the matrices are transposed.
    """
    degrees, channels, columns = matrices.shape[1:]
    constants = sizes(channels, columns, back)
    values = values.contiguous()
    out = values.new_empty((*values.shape[:2], constants["COLUMNS"]))
    if len(tiles) > 0:
        parts = triton.cdiv(constants["COLUMNS"], constants["BLOCK"])
        launch(
            mix_kernel,
            (len(tiles), degrees, parts),
            values,
            rows,
            tiles,
            place,
            matrices.contiguous(),
            out,
            DEGREES=degrees,
            ATOMS=TILE,
            **constants,
            num_warps=4,
            num_stages=1,
            enable_fp_fusion=True,
        )
    return out


def sizes(channels: int, columns: int, back: bool) -> dict[str, int]:
    """Compile-time arguments of the kernel for matrices (channels, columns), transposed or not."""
    strides = {"CHANNEL_STRIDE": columns, "COLUMN_STRIDE": 1}
    if back:
        strides = {"CHANNEL_STRIDE": 1, "COLUMN_STRIDE": columns}
        channels, columns = columns, channels
    some, block = (
        max(LEAST, min(power_of_two(count), most))
        for count, most in ((channels, CHANNELS), (columns, COLUMNS))
    )
    return {"CHANNELS": channels, "COLUMNS": columns, "SOME": some, "BLOCK": block, **strides}


@triton.jit
def mix_kernel(
    values,
    rows,
    tiles,
    place,
    matrices,
    out,
    DEGREES: tl.constexpr,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNEL_STRIDE: tl.constexpr,
    COLUMN_STRIDE: tl.constexpr,
    ATOMS: tl.constexpr,
    SOME: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Mix one degree of a tile's atoms into BLOCK columns, SOME channels at a time."""
    tile = tl.program_id(0)
    degree = tl.program_id(1)
    which = tl.load(tiles + 3 * tile + 1) + tl.arange(0, ATOMS)
    live = which < tl.load(tiles + 3 * tile + 2)
    atom = tl.load(rows + which, mask=live, other=0)
    column = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    stored = live[:, None] & (column < COLUMNS)[None, :]
    element = tl.load(place + tl.load(tiles + 3 * tile))
    own = matrices + (element * DEGREES + degree) * (CHANNELS * COLUMNS)
    own += column[None, :] * COLUMN_STRIDE
    row = atom * (DEGREES * DEGREES) + degree * degree
    for m in range(2 * degree + 1):
        sums = tl.zeros((ATOMS, BLOCK), values.dtype.element_ty)
        for start in tl.static_range(0, CHANNELS, SOME):
            channel = start + tl.arange(0, SOME)
            used = channel < CHANNELS
            there = values + ((row + m) * CHANNELS)[:, None] + channel[None, :]
            left = tl.load(there, mask=live[:, None] & used[None, :], other=0.0)
            there = own + channel[:, None] * CHANNEL_STRIDE
            right = tl.load(there, mask=used[:, None] & (column < COLUMNS)[None, :], other=0.0)
            sums = tl.dot(left, right, sums, input_precision="ieee", out_dtype=sums.dtype)
        there = out + ((row + m) * COLUMNS)[:, None] + column[None, :]
        tl.store(there, sums, mask=stored)
