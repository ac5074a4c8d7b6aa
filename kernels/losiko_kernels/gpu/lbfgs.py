r"""A step of L-BFGS of many structures, each by one program, all in one launch.

A program takes a structure's trial in or shortens it, remembers its last step, and looks for the
next direction; ``losiko_torch.optimizers.lbfgs`` says how, and does the same in plain torch. With
the steps s_k and changes of gradient y_k that a structure remembers, newest first, and
rho_k = 1 / (s_k . y_k), zero where nothing is remembered,

    q = g;   for k up:   a_k = rho_k s_k . q,   q = q - a_k y_k;   q = q / (rho_0 y_0 . y_0)
             for k down: q = q + (a_k - rho_k y_k . q) s_k;        direction = -q

(Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 7.4). A structure's rows stay in
registers. The history is read twice where it was, and written once where it is to be, a pair
further on: nothing that a program writes is read again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import triton
import triton.language as tl

from losiko_kernels.gpu.launching import launch, power_of_two
from losiko_kernels.gpu.rows import constant, dot, launch_of, longest_row, rows_of


def lbfgs_step(
    before: Mapping[str, torch.Tensor],
    loss: torch.Tensor,
    gradient: torch.Tensor,
    fresh: torch.Tensor,
    first: torch.Tensor,
    largest: int,
    armijo: float,
    usual: float,
    shortest: float,
    cosine: float,
    longest: float,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """State after a step, and the mask (B,) of the structures whose trial was accepted.

    Args:
        before: State of N rows and B structures, with m remembered steps: ``trial``, ``position``,
            ``gradient`` and ``direction`` (N, 3), ``loss``, ``length`` and ``slope`` (B,),
            ``steps`` and ``changes`` (m, N, 3), ``curvature`` (m, B).
        loss, gradient: Loss (B,) and gradient (N, 3) of the trial.
        fresh: Structures whose trial is accepted whatever its loss, shape (B,).
        first: First row of each structure, and N, shape (B + 1,).
        largest: Rows of the largest structure.
        armijo: Share of what the slope promises that a step has to gain.
        usual: Inverse curvature of structures that remember nothing.
        shortest: Length of a trial below which the history is dropped.
        cosine: Smallest cosine of a step and its change of gradient that are remembered.
        longest: Longest way of a row in one step.
    """
    before = {name: each.contiguous() for name, each in before.items()}
    after = {name: torch.empty_like(each) for name, each in before.items()}
    accepted, numbers = torch.empty_like(fresh), torch.finfo(loss.dtype)
    count, memory = len(loss), len(before["steps"])
    if count > 0:
        launch(
            lbfgs_kernel,
            (count,),
            **before,
            trial_loss=loss.contiguous(),
            trial_gradient=gradient.contiguous(),
            fresh=fresh.contiguous(),
            first=first,
            **{f"new_{name}": each for name, each in after.items()},
            accepted=accepted,
            numbers=gradient.numel(),
            count=count,
            ARMIJO=armijo,
            USUAL=usual,
            SHORTEST=shortest,
            COSINE=cosine,
            LONGEST=longest,
            EPS=numbers.eps,
            TINY=numbers.tiny,
            MEMORY=memory,
            WIDTH=power_of_two(memory),
            **launch_of(largest),
        )
    return after, accepted


@triton.jit(do_not_specialize=["numbers", "count"])
def lbfgs_kernel(
    trial,
    position,
    loss,
    gradient,
    direction,
    length,
    slope,
    steps,
    changes,
    curvature,
    trial_loss,
    trial_gradient,
    fresh,
    first,
    new_trial,
    new_position,
    new_loss,
    new_gradient,
    new_direction,
    new_length,
    new_slope,
    new_steps,
    new_changes,
    new_curvature,
    accepted,
    numbers,
    count,
    ARMIJO: tl.constexpr,
    USUAL: tl.constexpr,
    SHORTEST: tl.constexpr,
    COSINE: tl.constexpr,
    LONGEST: tl.constexpr,
    EPS: tl.constexpr,
    TINY: tl.constexpr,
    MEMORY: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Step one structure; ``numbers`` are 3 N, ``count`` is B."""
    system = tl.program_id(0).to(tl.int64)
    place, live = rows_of(first, system, BLOCK)
    there, here = tl.load(trial_loss + system), tl.load(loss + system)
    way, promise = tl.load(length + system), tl.load(slope + system)

    # Every row's term is a difference of numbers near one, and rounded like those.
    rows = (tl.load(first + system + 1) - tl.load(first + system)).to(here.dtype)
    limit = rows * (2 * EPS) + tl.abs(here) * (10 * EPS) + here + (way * promise) * ARMIJO
    taken = (tl.load(fresh + system) != 0) | (there <= limit)
    tl.store(accepted + system, taken)
    tl.store(new_loss + system, tl.where(taken, there, here))

    # The step that is remembered if it was taken.
    x, tried = load_rows(position, place, live), load_rows(trial, place, live)
    g, found = load_rows(gradient, place, live), load_rows(trial_gradient, place, live)
    step, change = tried - x, found - g
    product = dot(step, change)
    sizes = tl.sqrt(dot(step, step)) * tl.sqrt(dot(change, change))
    push = taken & (product > sizes * COSINE)
    weight = 1 / tl.where(push, product, 1.0)
    x, g = tl.where(taken, tried, x), tl.where(taken, found, g)
    tl.store(new_position + place, x, mask=live)
    tl.store(new_gradient + place, g, mask=live)

    # Minimum of the parabola through both losses and the slope.
    rise = there - here - way * promise
    bottom = promise * (way * way) / tl.where(-2 * rise > -TINY, -TINY, -2 * rise)
    bottom = tl.where(bottom == bottom, bottom, 0.0)
    bottom = tl.where(bottom < way * 0.1, way * 0.1, bottom)
    bottom = tl.where(bottom > way * 0.5, way * 0.5, bottom)
    dropped = (~taken) & (bottom < constant(SHORTEST, bottom))
    turn = taken | dropped
    way = tl.where(turn, 1.0, bottom)
    tl.store(new_length + system, way)

    # Both loops; the pair k was k - 1 before one was pushed, and -1 is the one that is.
    q = g
    which = tl.arange(0, WIDTH)
    shares = tl.zeros((WIDTH,), g.dtype)
    newest = tl.full((), 0, tl.int64) - push.to(tl.int64)
    source, target = newest, tl.full((), 0, tl.int64)
    for k in range(MEMORY):
        s = remembered(steps + source * numbers, source, place, live, step)
        y = remembered(changes + source * numbers, source, place, live, change)
        tl.store(new_steps + target * numbers + place, s, mask=live)
        tl.store(new_changes + target * numbers + place, y, mask=live)
        rho = weight_of(curvature + source * count + system, source, weight, dropped)
        share = rho * dot(s, q)
        shares = tl.where(which == k, share, shares)
        q -= share * y
        source += 1
        target += 1
    y = remembered(changes + newest * numbers, newest, place, live, change)
    rho = weight_of(curvature + newest * count + system, newest, weight, dropped)
    q *= tl.where(rho > 0, 1 / tl.where(rho > 0, rho * dot(y, y), 1.0), constant(USUAL, rho))
    for back in range(MEMORY):
        source -= 1
        s = remembered(steps + source * numbers, source, place, live, step)
        y = remembered(changes + source * numbers, source, place, live, change)
        rho = weight_of(curvature + source * count + system, source, weight, dropped)
        share = tl.sum(tl.where(which == MEMORY - 1 - back, shares, 0.0))
        q += (share - rho * dot(y, q)) * s

    # A direction that rounding turned uphill is replaced by the gradient's.
    uphill = dot(-q, g) >= 0
    ahead = tl.where(uphill, g * -USUAL, -q)
    reach, most = longest_row(ahead), constant(LONGEST, g)
    ahead *= tl.where(reach <= most, 1.0, most / reach)
    if not turn:
        ahead = load_rows(direction, place, live)
    tl.store(new_direction + place, ahead, mask=live)
    tl.store(new_slope + system, dot(ahead, g))
    tl.store(new_trial + place, x + way * ahead, mask=live)

    source = newest + which
    rhos = tl.load(curvature + source * count + system, mask=(source >= 0) & (which < MEMORY))
    rhos = tl.where(source >= 0, rhos, weight)
    rhos = tl.where(dropped | (uphill & turn), 0.0, rhos)
    tl.store(new_curvature + which * count + system, rhos, mask=which < MEMORY)


@triton.jit
def load_rows(rows, place, live):
    """Rows of a structure, zero where it has none."""
    return tl.load(rows + place, mask=live, other=0.0)


@triton.jit
def remembered(rows, source, place, live, newest):
    """Rows of a pair in memory, or the newest one, which is not there yet."""
    return tl.where(source >= 0, load_rows(rows, place, live & (source >= 0)), newest)


@triton.jit
def weight_of(weight, source, newest, dropped):
    """Weight of a pair, likewise; zero if all is forgotten."""
    known = tl.where(source >= 0, tl.load(weight, mask=source >= 0, other=0.0), newest)
    return tl.where(dropped, 0.0, known)
