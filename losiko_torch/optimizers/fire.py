"""FIRE (Bitzek et al., Phys. Rev. Lett. 97, 170201, 2006), equal to ASE's step for step.

Damped dynamics that speeds up while it runs downhill and stops at once when it does not; each
structure has its own time step and damping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from losiko_torch.keywords import names_unknown
from losiko_torch.optimizers import interface
from losiko_torch.optimizers.interface import check_positive
from losiko_torch.systems.batch import sum_by_system


@dataclass(frozen=True)
class State(interface.State):
    """State of each structure: N atoms, B structures.

    Attributes:
        velocity: Velocity, shape (N, 3).
        time_step, mixing: ASE's dt and a, shape (B,).
        downhill: Steps since the last stop, shape (B,).
    """

    of_systems: ClassVar = ("time_step", "mixing", "downhill")

    velocity: torch.Tensor
    time_step: torch.Tensor
    mixing: torch.Tensor
    downhill: torch.Tensor


@names_unknown
@dataclass(frozen=True)
class FIRE:
    """FIRE with ASE's parameters and defaults; see ``optimizers.interface.Optimizer``.

    Attributes:
        dt, dtmax: First and largest time step; their squares are lengths over gradients (A^2).
        maxstep: Largest norm of a structure's whole step, Angstrom.
        nmin: Downhill steps before the time step grows.
        finc, fdec: Growth and shrinkage of the time step.
        astart, fa: Start and decay of the mixing of velocity and force.

    Raises:
        InputError: For numbers that are not positive.
    """

    name: ClassVar[str] = "fire"

    dt: float = 0.1
    maxstep: float = 0.2
    dtmax: float = 1.0
    nmin: int = 5
    finc: float = 1.1
    fdec: float = 0.5
    astart: float = 0.1
    fa: float = 0.99

    def __post_init__(self) -> None:
        check_positive(self, "dt", "maxstep", "dtmax", "nmin", "finc", "fdec", "astart", "fa")

    def init(self, positions: torch.Tensor, n_systems: int) -> State:
        per_system = positions.new_ones(n_systems)
        return State(
            trial=positions,
            position=positions,
            velocity=torch.zeros_like(positions),
            time_step=self.dt * per_system,
            mixing=self.astart * per_system,
            downhill=torch.zeros_like(per_system),
        )

    def step(
        self,
        state: State,
        loss: torch.Tensor,
        gradient: torch.Tensor,
        system_idx: torch.Tensor,
        fresh: torch.Tensor,
    ) -> tuple[State, torch.Tensor]:
        n_systems = len(loss)

        def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return sum_by_system((a * b).sum(1), system_idx, n_systems)

        force, velocity = -gradient, state.velocity
        downhill = dot(force, velocity) > 0
        tiny = torch.finfo(loss.dtype).tiny
        along = (dot(velocity, velocity) / dot(force, force).clamp(min=tiny)).sqrt()
        mixed = (1 - state.mixing)[system_idx, None] * velocity
        mixed = mixed + (state.mixing * along)[system_idx, None] * force
        velocity = torch.where(downhill[system_idx, None], mixed, torch.zeros_like(velocity))

        faster = downhill & (state.downhill > self.nmin)
        # ASE does not slow down before the first step, when there is no velocity yet.
        moving = dot(state.velocity, state.velocity) > 0
        slower = ~downhill & moving
        time_step = torch.where(faster, self.finc * state.time_step, state.time_step)
        time_step = torch.where(slower, self.fdec * time_step, time_step.clamp(max=self.dtmax))
        mixing = torch.where(faster, self.fa * state.mixing, state.mixing)
        mixing = torch.where(slower, torch.full_like(mixing, self.astart), mixing)

        velocity = velocity + time_step[system_idx, None] * force
        step = time_step[system_idx, None] * velocity
        length = dot(step, step).sqrt()
        step = step * (self.maxstep / length.clamp(min=self.maxstep))[system_idx, None]
        taken = State(
            trial=state.trial + step,
            position=state.trial,
            velocity=velocity,
            time_step=time_step,
            mixing=mixing,
            downhill=torch.where(downhill, state.downhill + 1, torch.zeros_like(state.downhill)),
        )
        return taken, torch.ones_like(fresh)


OPTIMIZER = FIRE
