"""Measures of each structure's trial, and what becomes of it: each by one program, one launch.

``losiko_torch.relaxation`` does the same in plain torch: ``measuring`` and ``ending``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import triton
import triton.language as tl

from losiko_kernels.gpu.launching import launch
from losiko_kernels.gpu.rows import constant, dot, launch_of, longest_row, rows_of


def measure(
    trial: torch.Tensor,
    start: torch.Tensor,
    movable: torch.Tensor,
    loss: torch.Tensor,
    gradient: torch.Tensor,
    first: torch.Tensor,
    largest: int,
    hold: float,
    stiffness: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss (B,) with the pull to the start, largest gradient (B,), and what an optimizer sees.

    The latter are ``stiffness`` times the loss (B,) and its gradient (N, 3).

    Args:
        trial, start: Positions of N atoms of B structures, shape (N, 3).
        movable: 1 where a number may change, 0 where it may not, shape (N, 3).
        loss, gradient: Loss (B,) and its gradient (N, 3) without the pull.
        first: First atom of each structure, and N, shape (B + 1,).
        largest: Atoms of the largest structure.
        hold: Stiffness of the pull.
        stiffness: Factor of the loss.
    """
    held, size, steep_loss = (torch.empty_like(loss) for _ in range(3))
    steep_gradient = torch.empty_like(trial)
    if len(loss) > 0:
        launch(
            measure_kernel,
            (len(loss),),
            trial.contiguous(),
            start.contiguous(),
            movable.contiguous(),
            loss.contiguous(),
            gradient.contiguous(),
            first,
            held,
            size,
            steep_loss,
            steep_gradient,
            HOLD=hold,
            STIFFNESS=stiffness,
            **launch_of(largest),
        )
    return held, size, steep_loss, steep_gradient


@triton.jit
def measure_kernel(
    trial,
    start,
    movable,
    loss,
    gradient,
    first,
    held,
    gradient_size,
    steep_loss,
    steep_gradient,
    HOLD: tl.constexpr,
    STIFFNESS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Measure one structure."""
    system = tl.program_id(0).to(tl.int64)
    place, live = rows_of(first, system, BLOCK)
    x = tl.load(trial + place, mask=live, other=0.0)
    free = tl.load(movable + place, mask=live, other=0.0)
    # Zero times what is not finite is NaN.
    g = x * 0 + tl.load(gradient + place, mask=live, other=0.0) * free
    value = tl.load(loss + system)
    if HOLD != 0:
        away = (x - tl.load(start + place, mask=live, other=0.0)) * free
        value += dot(away, away) * (HOLD / 2)
        g += away * HOLD
    tl.store(held + system, value)
    tl.store(gradient_size + system, longest_row(g))
    tl.store(steep_loss + system, value * STIFFNESS)
    tl.store(steep_gradient + place, g * STIFFNESS, mask=live)


def conclude(
    before: Mapping[str, torch.Tensor],
    ends: Mapping[str, torch.Tensor],
    trial: torch.Tensor,
    position: torch.Tensor,
    loss: torch.Tensor,
    size: torch.Tensor,
    accepted: torch.Tensor,
    first: torch.Tensor,
    largest: int,
    fmax: float,
    max_steps: int,
) -> dict[str, torch.Tensor]:
    """Best, losses, steps and ends of B structures after an evaluation of their trials.

    Args:
        before: Those before it: ``best`` (N, 3), ``best_loss``, ``loss``, ``steps`` and ``ended``
            (B,); with the numbers ``system`` (B,) and ``atom`` (N,) among all structures.
        ends: Ends of all structures, written to for those that end here: positions ``last`` and
            ``best``, shape (all atoms, 3); ``converged``, ``broken`` and ``n_steps``, (all,).
        trial, position: Positions evaluated, and those accepted last, shape (N, 3).
        loss, size: Loss of the trial and its largest gradient, shape (B,).
        accepted: Structures whose trial was accepted, shape (B,).
        first: First atom of each structure, and N, shape (B + 1,).
        largest: Atoms of the largest structure.
        fmax: Largest gradient of what has converged.
        max_steps: Evaluations granted to a structure.
    """
    changing = ("best", "best_loss", "loss", "steps", "ended")
    after = {name: torch.empty_like(before[name]) for name in changing}
    if len(loss) > 0:
        launch(
            conclude_kernel,
            (len(loss),),
            *(before[name].contiguous() for name in (*changing, "system", "atom")),
            trial.contiguous(),
            position.contiguous(),
            loss.contiguous(),
            size.contiguous(),
            accepted.contiguous(),
            first,
            *after.values(),
            *(ends[name] for name in ("last", "best", "converged", "broken", "n_steps")),
            max_steps,
            FMAX=fmax,
            **launch_of(largest),
        )
        # What knows a fact about a tensor has to know that it was written to.
        for each in ends.values():
            torch.autograd.graph.increment_version(each)
    return after


@triton.jit(do_not_specialize=["max_steps"])
def conclude_kernel(
    best,
    best_loss,
    loss,
    taken,
    ended,
    number,
    atom,
    trial,
    position,
    trial_loss,
    gradient_size,
    accepted,
    first,
    new_best,
    new_best_loss,
    new_loss,
    new_taken,
    new_ended,
    end_last,
    end_best,
    end_converged,
    end_broken,
    end_steps,
    max_steps,
    FMAX: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Decide what becomes of one structure."""
    system = tl.program_id(0).to(tl.int64)
    place, live = rows_of(first, system, BLOCK)
    here, size = tl.load(trial_loss + system), tl.load(gradient_size + system)
    stays = tl.load(ended + system) == 0
    took = tl.load(accepted + system) != 0
    # Zero times what is not finite is NaN.
    lost = (0 * (here + size) != 0) & stays
    converged = took & (size <= constant(FMAX, size))
    steps = tl.load(taken + system) + 1
    done = converged | lost | (steps >= max_steps)
    lowest = tl.load(best_loss + system)
    better = here < lowest
    tl.store(new_best_loss + system, tl.where(better, here, lowest))
    tl.store(new_loss + system, tl.where(took, here, tl.load(loss + system)))
    tl.store(new_taken + system, steps)
    tl.store(new_ended + system, done | (~stays))

    x = tl.load(best + place, mask=live, other=0.0)
    x = tl.where(better, tl.load(trial + place, mask=live, other=0.0), x)
    tl.store(new_best + place, x, mask=live)
    leaves = done & stays
    among_all = tl.load(number + system)
    tl.store(end_broken + among_all, lost, mask=lost)
    tl.store(end_converged + among_all, converged, mask=stays)
    tl.store(end_steps + among_all, steps, mask=leaves)
    if leaves:
        there = 3 * tl.load(atom + place // 3, mask=live, other=0) + place % 3
        tl.store(end_last + there, tl.load(position + place, mask=live), mask=live)
        tl.store(end_best + there, x, mask=live)
