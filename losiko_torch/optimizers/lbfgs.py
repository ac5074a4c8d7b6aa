r"""Batched L-BFGS: every structure has its own history, step length and line search.

The direction is the two-loop recursion of Nocedal and Wright, Numerical Optimization, 2nd ed.,
algorithm 7.4, all structures at once; a trial is accepted by the Armijo rule (their eq. 3.4) and
shortened by quadratic interpolation otherwise (their eq. 3.57).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from losiko_torch.checks import whole
from losiko_torch.keywords import names_unknown
from losiko_torch.optimizers import interface
from losiko_torch.optimizers.interface import check_positive, limited
from losiko_torch.systems.batch import sum_by_system
from losiko_torch.systems.by_structure import kernel_for
from losiko_torch.systems.kept import counts_of, kept

#: Sufficient decrease demanded of a step, as a share of what the slope promises.
ARMIJO = 1e-4
#: Inverse curvature (A^2) assumed before any is known.
FIRST_CURVATURE = 0.02
#: Step lengths below this are noise: the history is dropped.
SHORTEST = 1e-3
#: Smallest cosine of a step and its change of gradient that are remembered.
SMALLEST_COSINE = 1e-8
#: These numbers as a kernel takes them.
NUMBERS = {
    "armijo": ARMIJO,
    "usual": FIRST_CURVATURE,
    "shortest": SHORTEST,
    "cosine": SMALLEST_COSINE,
}


@dataclass(frozen=True)
class State(interface.State):
    """State of each structure: N atoms, B structures, m remembered steps.

    Attributes:
        loss, gradient: Loss (B,) and gradient (N, 3) of the last accepted point.
        direction: Direction of the line search, shape (N, 3).
        length: Length of its trial along the direction, shape (B,).
        slope: Slope of the loss along the direction, shape (B,).
        steps, changes: Differences of positions and gradients, newest first, shape (m, N, 3).
        curvature: 1 / (step . change), zero where nothing is remembered, shape (m, B).
    """

    of_systems: ClassVar = ("loss", "length", "slope", "curvature")

    loss: torch.Tensor
    gradient: torch.Tensor
    direction: torch.Tensor
    length: torch.Tensor
    slope: torch.Tensor
    steps: torch.Tensor
    changes: torch.Tensor
    curvature: torch.Tensor


@names_unknown
@dataclass(frozen=True)
class LBFGS:
    """Batched L-BFGS; see ``optimizers.interface.Optimizer`` for what its methods do.

    Attributes:
        memory: Steps remembered.
        max_step: Longest way of any atom in one step, Angstrom.

    Raises:
        InputError: For numbers out of range.
    """

    name: ClassVar[str] = "lbfgs"

    memory: int = 20
    max_step: float = 0.15

    def __post_init__(self) -> None:
        whole("memory", self.memory)
        check_positive(self, "max_step")

    def init(self, positions: torch.Tensor, n_systems: int) -> State:
        per_system = positions.new_zeros(n_systems)
        history = positions.new_zeros((self.memory, *positions.shape))
        return State(
            trial=positions,
            position=positions,
            loss=per_system + torch.inf,
            gradient=torch.zeros_like(positions),
            direction=torch.zeros_like(positions),
            length=per_system,
            slope=per_system,
            steps=history,
            changes=history,
            curvature=positions.new_zeros((self.memory, n_systems)),
        )

    def step(
        self,
        state: State,
        loss: torch.Tensor,
        gradient: torch.Tensor,
        system_idx: torch.Tensor,
        fresh: torch.Tensor,
    ) -> tuple[State, torch.Tensor]:
        kernel = kernel_for("lbfgs_step", system_idx, len(loss))
        if kernel is None:
            return plain_step(state, loss, gradient, system_idx, fresh, self.max_step)
        known = vars(state), loss, gradient, fresh
        after, accepted = kernel(*known, longest=self.max_step, **NUMBERS)
        return State(**after), accepted


def plain_step(
    state: State,
    loss: torch.Tensor,
    gradient: torch.Tensor,
    system_idx: torch.Tensor,
    fresh: torch.Tensor,
    max_step: float,
) -> tuple[State, torch.Tensor]:
    """Step in plain torch, which kernels equal; see ``optimizers.interface.Optimizer``."""
    n_systems = len(loss)
    # Every atom's term is a difference of numbers near one, and rounded like those.
    eps, n_atoms = torch.finfo(loss.dtype).eps, counts_of(system_idx, n_systems)
    of_atoms = kept(n_atoms, ("rounding", loss.dtype), lambda: 2 * eps * n_atoms.to(loss.dtype))
    limit = torch.add(of_atoms, state.loss.abs(), alpha=10 * eps).add_(state.loss)
    limit.addcmul_(state.length, state.slope, value=ARMIJO)
    accepted = fresh | (loss <= limit)
    state = _remember(state, gradient, accepted, system_idx, n_systems)
    taken = accepted[system_idx, None]
    position = torch.where(taken, state.trial, state.position)
    new_gradient = torch.where(taken, gradient, state.gradient)

    shorter = _interpolated(state, loss)
    lost = ~accepted & (shorter < SHORTEST)
    curvature = state.curvature.masked_fill(lost, 0.0)
    turn = accepted | lost
    direction = _two_loop(new_gradient, state.steps, state.changes, curvature, system_idx)
    slope = sum_by_system((direction * new_gradient).sum(1), system_idx, n_systems)
    # A direction that rounding turned uphill is replaced by the gradient's.
    uphill = slope >= 0
    direction = torch.where(uphill[system_idx, None], -FIRST_CURVATURE * new_gradient, direction)
    curvature = curvature.masked_fill(uphill & turn, 0.0)
    direction = limited(direction, max_step, system_idx, n_systems)
    direction = torch.where(turn[system_idx, None], direction, state.direction)
    slope = sum_by_system((direction * new_gradient).sum(1), system_idx, n_systems)
    length = shorter.masked_fill(turn, 1.0)
    return (
        replace(
            state,
            trial=torch.addcmul(position, length[system_idx, None], direction),
            position=position,
            loss=torch.where(accepted, loss, state.loss),
            gradient=new_gradient,
            direction=direction,
            length=length,
            slope=slope,
            curvature=curvature,
        ),
        accepted,
    )


def _remember(
    state: State,
    gradient: torch.Tensor,
    moved: torch.Tensor,
    system_idx: torch.Tensor,
    n_systems: int,
) -> State:
    """Push the last step and change of gradient of the structures that moved."""
    step, change = state.trial - state.position, gradient - state.gradient
    pairs = torch.stack([step, step, change], 1), torch.stack([change, step, change], 1)
    sums = sum_by_system((pairs[0] * pairs[1]).sum(2), system_idx, n_systems)
    product, sizes = sums[:, 0], sums[:, 1:].sqrt()
    push = moved & (product > SMALLEST_COSINE * sizes.prod(1))
    push_atoms = push[None, system_idx, None]

    def pushed(old: torch.Tensor, new: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask, torch.cat([new[None], old[:-1]]), old)

    return replace(
        state,
        steps=pushed(state.steps, step, push_atoms),
        changes=pushed(state.changes, change, push_atoms),
        curvature=pushed(state.curvature, 1 / product.masked_fill(~push, 1.0), push[None]),
    )


def _two_loop(
    gradient: torch.Tensor,
    steps: torch.Tensor,
    changes: torch.Tensor,
    curvature: torch.Tensor,
    system_idx: torch.Tensor,
) -> torch.Tensor:
    """Minus the approximate inverse Hessian times the gradient."""
    n_systems = curvature.shape[1]

    def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return sum_by_system((a * b).sum(1), system_idx, n_systems)

    q = gradient
    shares = []
    for step, change, weight in zip(steps, changes, curvature, strict=True):
        share = weight * dot(step, q)
        shares.append(share)
        q = q - share[system_idx, None] * change
    known = curvature[0] > 0
    scale = 1 / (curvature[0] * dot(changes[0], changes[0])).masked_fill(~known, 1.0)
    scale = torch.where(known, scale, torch.full_like(scale, FIRST_CURVATURE))
    q = q * scale[system_idx, None]
    history = zip(steps, changes, curvature, shares, strict=True)
    for step, change, weight, share in reversed(list(history)):
        q = q + (share - weight * dot(change, q))[system_idx, None] * step
    return -q


def _interpolated(state: State, loss: torch.Tensor) -> torch.Tensor:
    """Minimum of the parabola through both losses and the slope, within 0.1 to 0.5 lengths."""
    rise = torch.addcmul(loss - state.loss, state.length, state.slope, value=-1)
    best = state.slope * state.length**2 / (-2 * rise).clamp(max=-torch.finfo(loss.dtype).tiny)
    return torch.nan_to_num(best, nan=0.0).clamp(0.1 * state.length, 0.5 * state.length)


OPTIMIZER = LBFGS
