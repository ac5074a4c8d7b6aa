"""Rows of three numbers, all those of a structure in one program's registers.

A program holds them as a block of (BLOCK, 4), BLOCK a power of two that is at least the rows of the
largest structure; what is not ``live`` in it is zero. So threads read memory in its order, and the
norm of a row is a sum along a dimension. Sums of a structure follow from its own rows and BLOCK.
"""

from __future__ import annotations

import triton
import triton.language as tl

from losiko_kernels.gpu.launching import power_of_two

#: Numbers of a block that a thread holds at least, and threads of a warp.
EACH, WARP = 4, 32
#: Warps of a program at most.
MOST_WARPS = 16


def launch_of(largest: int) -> dict[str, int | bool]:
    """Block and options of a launch for structures of at most ``largest`` rows."""
    block = power_of_two(largest)
    return {
        "BLOCK": block,
        "num_warps": max(1, min(4 * block // (EACH * WARP), MOST_WARPS)),
        "num_stages": 1,
        "enable_fp_fusion": True,
    }


@triton.jit
def rows_of(first, system, BLOCK: tl.constexpr):
    """Places in memory of the numbers of a structure's rows, and which of them there are."""
    row = tl.load(first + system) + tl.arange(0, BLOCK)
    axis = tl.arange(0, 4)
    live = (row < tl.load(first + system + 1))[:, None] & (axis < 3)[None, :]
    return 3 * row[:, None] + axis[None, :], live


@triton.jit
def dot(a, b):
    """Sum of the products of two blocks."""
    return tl.sum(a * b)


@triton.jit
def longest_row(block):
    """Largest norm of a row; NaN if one is."""
    norm = tl.sqrt(tl.sum(block * block, 1))
    return tl.where(tl.sum((norm != norm).to(tl.int32)) > 0, float("nan"), tl.max(norm))


@triton.jit
def constant(NUMBER: tl.constexpr, like):
    """A number in the precision of another: one that is compared would be rounded to single."""
    return tl.full((), NUMBER, like.dtype)
