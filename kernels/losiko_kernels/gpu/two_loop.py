r"""L-BFGS's two loops of many structures, each by one program, in one launch.

With the steps s_k and changes of gradient y_k that a structure remembers, newest first, and
rho_k = 1 / (s_k . y_k), zero where nothing is remembered,

    q = g;   for k up:   a_k = rho_k s_k . q,   q = q - a_k y_k;   q = q / (rho_0 y_0 . y_0)
             for k down: q = q + (a_k - rho_k y_k . q) s_k;        direction = -q

(Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 7.4). The coordinates of a
structure stay in registers, and each remembered number is read twice.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from losiko_kernels.gpu.launching import on_device, power_of_two

#: Rows of a structure up to which its coordinates fit into a program's registers.
MOST_ROWS = 1024


def two_loop(
    gradient: torch.Tensor,
    steps: torch.Tensor,
    changes: torch.Tensor,
    curvature: torch.Tensor,
    first: torch.Tensor,
    largest: int,
    usual: float,
) -> torch.Tensor:
    """Directions, shape (N, 3).

    Args:
        gradient: Gradients g, shape (N, 3).
        steps, changes: Steps s and changes of gradient y, shape (m, N, 3).
        curvature: Numbers rho, shape (m, B).
        first: First row of each of B structures, and N, shape (B + 1,).
        largest: Rows of the largest structure, at most ``MOST_ROWS``.
        usual: Inverse curvature of structures that remember nothing.
    """
    count = len(first) - 1
    gradient, steps, changes = gradient.contiguous(), steps.contiguous(), changes.contiguous()
    direction = torch.empty_like(gradient)
    if count > 0 and largest > 0:
        block = power_of_two(3 * largest)
        with on_device(gradient):
            two_loop_kernel[(count,)](
                gradient,
                steps,
                changes,
                curvature.contiguous(),
                first,
                gradient.new_full((1,), usual),
                direction,
                gradient.numel(),
                count,
                MEMORY=len(steps),
                SHARES=power_of_two(len(steps)),
                BLOCK=block,
                num_warps=max(1, min(block // 64, 8)),
                num_stages=1,
                enable_fp_fusion=True,
            )
    return direction


@triton.jit
def two_loop_kernel(
    gradient,
    steps,
    changes,
    curvature,
    first,
    usual,
    direction,
    numbers,
    count,
    MEMORY: tl.constexpr,
    SHARES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Compute the direction of one structure; ``numbers`` are 3 N, ``count`` is B."""
    system = tl.program_id(0).to(tl.int64)
    begin = 3 * tl.load(first + system)
    end = 3 * tl.load(first + system + 1)
    place = begin + tl.arange(0, BLOCK)
    live = place < end
    q = tl.load(gradient + place, mask=live, other=0.0)
    which = tl.arange(0, SHARES)
    shares = tl.zeros((SHARES,), q.dtype)
    row = tl.full((), 0, tl.int64)
    for k in range(MEMORY):
        step = tl.load(steps + row * numbers + place, mask=live, other=0.0)
        change = tl.load(changes + row * numbers + place, mask=live, other=0.0)
        share = tl.load(curvature + row * count + system) * tl.sum(step * q)
        shares = tl.where(which == k, share, shares)
        q -= share * change
        row += 1
    newest = tl.load(curvature + system)
    change = tl.load(changes + place, mask=live, other=0.0)
    size = newest * tl.sum(change * change)
    q *= tl.where(newest > 0, 1 / tl.where(newest > 0, size, 1.0), tl.load(usual))
    for back in range(MEMORY):
        row -= 1
        step = tl.load(steps + row * numbers + place, mask=live, other=0.0)
        change = tl.load(changes + row * numbers + place, mask=live, other=0.0)
        share = tl.sum(tl.where(which == MEMORY - 1 - back, shares, 0.0))
        q += (share - tl.load(curvature + row * count + system) * tl.sum(change * q)) * step
    tl.store(direction + place, -q, mask=live)
