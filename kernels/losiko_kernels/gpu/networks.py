r"""Inner layers of the networks of all elements, there and back, in one launch.

    f = w3 . s(z2) + c,    z2 = s(z1) W2 + b2,    s(z) = z / (1 + exp(-z))
    df/dz1 = ((w3 s'(z2)) W2^T) s'(z1)

Atoms lie together by element. A program is a member and a tile of atoms of one element, which a
table tells it. Products go block by block in the plain arithmetic of the inputs' precision, which
tensor cores would round. What lies between both products is written to memory, where other threads
of the program read it: it does not fit into registers.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from losiko_kernels import TILE
from losiko_kernels.gpu.launching import launch

#: Columns of a product that are summed at once, and terms of a sum that are loaded at once, at
#: most, by the bytes of a number.
COLUMNS, TERMS = {4: 64, 8: 32}, {4: 32, 8: 16}


def inner_layers(
    z1: torch.Tensor,
    between: torch.Tensor,
    values: torch.Tensor,
    rows: torch.Tensor,
    tiles: torch.Tensor,
    place: torch.Tensor,
    w2: torch.Tensor,
    b2: torch.Tensor,
    w3: torch.Tensor,
    constant: torch.Tensor,
) -> None:
    """Write f, each member's, to ``values``, and df/dz1 over ``z1``; all tensors are contiguous.

    Args:
        z1: Results of the first layer of m atoms, shape (m, K h), h a multiple of 16.
        between: Memory of the shape of ``z1`` for what lies between both products.
        values: Memory for f of n atoms, shape (K, n).
        rows: Places of the m atoms among these, shape (m,), int64.
        tiles: Atomic number, first atom and end of each tile, at most ``TILE`` atoms of one
            element, shape (T, 3), int32.
        place: Place of each atomic number among E elements, int32.
        w2, b2, w3, constant: Weights and c, shapes (E, K, h, h), (E, K, h), (E, K, h), (E, K).
    """
    _, members, width, _ = w2.shape
    if len(tiles) == 0:
        return
    launch(
        inner_kernel,
        (len(tiles), members),
        z1,
        between,
        values,
        rows,
        tiles,
        place,
        w2,
        b2,
        w3,
        constant,
        values.shape[1],
        **sizes(members, width, z1.dtype),
        num_warps=4,
        num_stages=1,
        enable_fp_fusion=True,
    )


def sizes(members: int, width: int, dtype: torch.dtype) -> dict[str, int]:
    """Compile-time arguments of the kernel."""
    # The largest power of two that divides the width.
    most = width & -width
    return {
        "MEMBERS": members,
        "WIDTH": width,
        "ATOMS": TILE,
        "COLUMNS": min(COLUMNS[dtype.itemsize], most),
        "TERMS": min(TERMS[dtype.itemsize], most),
    }


@triton.jit(do_not_specialize=["count"], do_not_specialize_on_alignment=["rows"])
def inner_kernel(
    z1,
    between,
    values,
    rows,
    tiles,
    place,
    w2,
    b2,
    w3,
    constant,
    count,
    MEMBERS: tl.constexpr,
    WIDTH: tl.constexpr,
    ATOMS: tl.constexpr,
    COLUMNS: tl.constexpr,
    TERMS: tl.constexpr,
):
    """Compute f of a tile's atoms by one member, and write df/dz1 over z1; ``count`` is n."""
    tile, member = tl.program_id(0), tl.program_id(1)
    own = tl.load(place + tl.load(tiles + 3 * tile)) * MEMBERS + member
    atom = tl.load(tiles + 3 * tile + 1) + tl.arange(0, ATOMS)
    live = atom < tl.load(tiles + 3 * tile + 2)
    row = (atom.to(tl.int64) * (MEMBERS * WIDTH) + member * WIDTH)[:, None]
    w2 += own * (WIDTH * WIDTH)
    b2 += own * WIDTH
    w3 += own * WIDTH
    value = tl.zeros((ATOMS,), z1.dtype.element_ty) + tl.load(constant + own)
    for begin in range(0, WIDTH, COLUMNS):
        column = begin + tl.arange(0, COLUMNS)
        z2 = tl.zeros((ATOMS, COLUMNS), z1.dtype.element_ty)
        for start in range(0, WIDTH, TERMS):
            term = start + tl.arange(0, TERMS)
            z = tl.load(z1 + row + term[None, :], mask=live[:, None], other=0.0)
            weights = tl.load(w2 + term[:, None] * WIDTH + column[None, :])
            z2 = tl.dot(z * tl.sigmoid(z), weights, z2, input_precision="ieee", out_dtype=z2.dtype)
        z2 += tl.load(b2 + column)[None, :]
        last = tl.load(w3 + column)[None, :]
        value += tl.sum(z2 * tl.sigmoid(z2) * last, 1)
        tl.store(between + row + column[None, :], last * slope(z2), mask=live[:, None])
    found = tl.load(rows + atom, mask=live, other=0)
    tl.store(values + member * count + found, value, mask=live)
    # What other threads of the program have written is read from here on.
    tl.debug_barrier()
    for begin in range(0, WIDTH, COLUMNS):
        column = begin + tl.arange(0, COLUMNS)
        back = tl.zeros((ATOMS, COLUMNS), z1.dtype.element_ty)
        for start in range(0, WIDTH, TERMS):
            term = start + tl.arange(0, TERMS)
            by_z2 = tl.load(between + row + term[None, :], mask=live[:, None], other=0.0)
            weights = tl.load(w2 + column[None, :] * WIDTH + term[:, None])
            back = tl.dot(by_z2, weights, back, input_precision="ieee", out_dtype=back.dtype)
        z = tl.load(z1 + row + column[None, :], mask=live[:, None], other=0.0)
        tl.store(z1 + row + column[None, :], back * slope(z), mask=live[:, None])


@triton.jit
def slope(z):
    """Derivative s'(z)."""
    share = tl.sigmoid(z)
    return share * (1 + z * (1 - share))
