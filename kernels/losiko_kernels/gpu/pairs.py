r"""Pairs as the density sees them, and the way back from pairs to atoms, in one launch each.

With r the vector of a pair, d the width over which neighbours fade before the cutoff c, and
t = (|r| - c + d) / d within 0 to 1,

    w = 1 - t^3 (10 - 15 t + 6 t^2),        dw/d(r^2) = -15 (t - t^2)^2 / (d |r|).

A pair beyond the cutoff is one whose vector, weight and slope are zero. The gradient by the
position of atom i, of a loss with the gradients p by the vectors and q by the weights, is the sum
of u = p + 2 q dw/d(r^2) r over the pairs that i is the neighbour of, less that over the pairs that
i is the center of. A program is an atom: no sum runs across programs, and results repeat to the
last bit.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl

from losiko_kernels.gpu.launching import launch

#: Pairs of a program that looks at pairs, and those that a program adds at once.
PAIRS, LANES = 256, 32


def pair_geometry(
    positions: torch.Tensor,
    center: torch.Tensor,
    neighbor: torch.Tensor,
    channel: torch.Tensor,
    cutoff: float,
    width: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vectors (E, 3) in Angstrom, weights (E,), their slopes by r^2 (E,), and channels (E,).

    Args:
        positions: Positions in Angstrom, shape (N, 3).
        center, neighbor: Atoms of each pair, shape (E,), int64.
        channel: Channel of each atom as a neighbour, shape (N,), int64.
        cutoff: Distance in Angstrom beyond which there is no neighbour.
        width: Width in Angstrom over which neighbours fade out before; 0 stands for a weight of 1.
    """
    count = len(center)
    vectors = positions.new_empty((count, 3))
    weights, slopes = positions.new_empty(count), positions.new_empty(count)
    own = torch.empty_like(center)
    if count > 0:
        launch(
            geometry_kernel,
            (triton.cdiv(count, PAIRS),),
            positions.contiguous(),
            center,
            neighbor,
            channel,
            _limits(cutoff, width, positions.dtype, positions.device),
            vectors,
            weights,
            slopes,
            own,
            count,
            FADING=width > 0,
            BLOCK=PAIRS,
            num_warps=4,
            num_stages=1,
            enable_fp_fusion=True,
        )
    return vectors, weights, slopes, own


def gradient_of_atoms(
    by_vectors: torch.Tensor,
    by_weights: torch.Tensor,
    vectors: torch.Tensor,
    slopes: torch.Tensor,
    first: torch.Tensor,
    incoming: torch.Tensor,
    first_incoming: torch.Tensor,
) -> torch.Tensor:
    """Gradient by the positions, shape (N, 3).

    Args:
        by_vectors, by_weights: Gradients by vectors (E, 3) and weights (E,), both 0 where far.
        vectors, slopes: Vectors and slopes of the weights, as ``pair_geometry`` makes them.
        first: First pair of each atom as a center, and E, shape (N + 1,), int64.
        incoming: Pairs in the order of their neighbours, shape (E,), int64.
        first_incoming: Place there of the first one of each neighbour, and E, (N + 1,), int64.
    """
    n = len(first) - 1
    gradient = by_vectors.new_empty((n, 3))
    if n > 0:
        launch(
            atoms_kernel,
            (n,),
            by_vectors,
            by_weights,
            vectors,
            slopes,
            first,
            incoming,
            first_incoming,
            gradient,
            BLOCK=LANES,
            num_warps=1,
            num_stages=1,
            enable_fp_fusion=True,
        )
    return gradient


@lru_cache(maxsize=64)
def _limits(cutoff: float, width: float, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """c^2, c - d, 1 / d and the least r^2 whose root is taken; see ``harmonics.parameters``."""
    inner = cutoff - width
    least = max(inner, 0.0) ** 2 + 1e-12
    values = [cutoff**2, inner, 1 / width if width > 0 else 0.0, least]
    return torch.tensor(values, dtype=dtype, device=device)


@triton.jit(do_not_specialize=["count"])
def geometry_kernel(
    positions,
    center,
    neighbor,
    channel,
    limits,
    vectors,
    weights,
    slopes,
    element,
    count,
    FADING: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Look at BLOCK pairs."""
    pair = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    live = pair < count
    i = 3 * tl.load(center + pair, mask=live, other=0)
    j = tl.load(neighbor + pair, mask=live, other=0)
    tl.store(element + pair, tl.load(channel + j, mask=live, other=0), mask=live)
    j = 3 * j
    x = tl.load(positions + j, mask=live, other=0.0) - tl.load(positions + i, mask=live, other=0.0)
    y = tl.load(positions + j + 1, mask=live, other=0.0)
    y -= tl.load(positions + i + 1, mask=live, other=0.0)
    z = tl.load(positions + j + 2, mask=live, other=0.0)
    z -= tl.load(positions + i + 2, mask=live, other=0.0)
    r2 = x * x + y * y + z * z
    # What is not finite is not near.
    near = r2 <= tl.load(limits)
    tl.store(vectors + 3 * pair, tl.where(near, x, 0.0), mask=live)
    tl.store(vectors + 3 * pair + 1, tl.where(near, y, 0.0), mask=live)
    tl.store(vectors + 3 * pair + 2, tl.where(near, z, 0.0), mask=live)
    weight = tl.zeros_like(r2) + 1
    slope = tl.zeros_like(r2)
    if FADING:
        per_width = tl.load(limits + 2)
        r = tl.sqrt(tl.maximum(r2, tl.load(limits + 3)))
        t = tl.minimum(tl.maximum((r - tl.load(limits + 1)) * per_width, 0.0), 1.0)
        weight = 1 - t * t * t * (10 - 15 * t + 6 * t * t)
        share = t - t * t
        slope = share * share / r * (-15 * per_width)
    tl.store(weights + pair, tl.where(near, weight, 0.0), mask=live)
    tl.store(slopes + pair, tl.where(near, slope, 0.0), mask=live)


@triton.jit
def atoms_kernel(
    by_vectors,
    by_weights,
    vectors,
    slopes,
    first,
    incoming,
    first_incoming,
    gradient,
    BLOCK: tl.constexpr,
):
    """Add up what pulls at one atom: at the neighbours' ends of its pairs, and at the others'."""
    atom = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    x = tl.zeros((BLOCK,), gradient.dtype.element_ty)
    y = x
    z = x
    begin = tl.load(first_incoming + atom)
    end = tl.load(first_incoming + atom + 1)
    for start in range(begin, end, BLOCK):
        live = start + lane < end
        pair = tl.load(incoming + start + lane, mask=live, other=0)
        own = pull(by_vectors, by_weights, vectors, slopes, pair, live)
        x += own[0]
        y += own[1]
        z += own[2]
    begin = tl.load(first + atom)
    end = tl.load(first + atom + 1)
    for start in range(begin, end, BLOCK):
        pair = start + lane
        own = pull(by_vectors, by_weights, vectors, slopes, pair, pair < end)
        x -= own[0]
        y -= own[1]
        z -= own[2]
    tl.store(gradient + 3 * atom, tl.sum(x))
    tl.store(gradient + 3 * atom + 1, tl.sum(y))
    tl.store(gradient + 3 * atom + 2, tl.sum(z))


@triton.jit
def pull(by_vectors, by_weights, vectors, slopes, pair, live):
    """u of pairs, zero where they are not live."""
    through = 2 * tl.load(by_weights + pair, mask=live, other=0.0)
    through = through * tl.load(slopes + pair, mask=live, other=0.0)
    pair = 3 * pair
    x = through * tl.load(vectors + pair, mask=live, other=0.0)
    y = through * tl.load(vectors + pair + 1, mask=live, other=0.0)
    z = through * tl.load(vectors + pair + 2, mask=live, other=0.0)
    x += tl.load(by_vectors + pair, mask=live, other=0.0)
    y += tl.load(by_vectors + pair + 1, mask=live, other=0.0)
    z += tl.load(by_vectors + pair + 2, mask=live, other=0.0)
    return x, y, z
