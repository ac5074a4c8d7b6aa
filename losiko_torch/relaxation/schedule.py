"""What a relaxation goes through before its last stage, as data that can be printed and changed.

>>> from losiko_torch import Stage, annealed
>>> sigmas = annealed(s0_squared=0.2, alpha=0.05)
>>> len(sigmas), round(sigmas[0], 3), round(sigmas[-1], 3)
(153, 0.447, 0.01)
>>> [Stage(targets="nearest", noise=annealed(0.01, 0.5)), Stage(n_neighbors=8, max_steps=20)]
[nearest, noise 0.1 to 0.0105 A, 11 steps, locally-linear of 8, 20 steps]
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real

from losiko_torch.checks import positive, whole
from losiko_torch.database.defaults import Defaults
from losiko_torch.errors import InputError
from losiko_torch.loss.targets import Target, make_target

#: Noise ends where its standard deviation falls below this (Angstrom): the structures that it then
#: still tells apart relax to the same.
LEAST_NOISE = 0.01
#: Steps of noise beyond which a mistake is assumed.
MOST_STEPS = 100_000
#: Steps of a stage that names none.
STAGE_STEPS = 50


@dataclass(frozen=True, repr=False)
class Stage:
    """A part of a relaxation.

    Attributes:
        targets, n_neighbors, reg: As for ``relax``.
        max_steps: Evaluations granted to each structure; it goes on earlier once converged.
        noise: Standard deviations (Angstrom) of what is added to every movable coordinate before
            each step after the first. If there are any the stage takes all of these steps and no
            more, and the structure goes on from the lowest loss that it had.

    Raises:
        InputError: For numbers out of range.
    """

    targets: str = "locally-linear"
    n_neighbors: int | None = None
    reg: float | None = None
    max_steps: int = STAGE_STEPS
    noise: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        make_target(self.targets, self.n_neighbors, self.reg)
        whole("max_steps", self.max_steps)
        listed = isinstance(self.noise, (tuple, list))
        if not listed or not all(isinstance(s, Real) and 0 <= s < math.inf for s in self.noise):
            raise InputError(
                "noise must be a tuple of standard deviations in Angstrom, none negative, as "
                "annealed(0.2, 0.05) makes it"
            )

    @property
    def n_steps(self) -> int:
        """Evaluations at most."""
        return len(self.noise) + 1 if self.noise else self.max_steps

    def target(self, defaults: Defaults) -> Target:
        """The target, with what was left out."""
        return make_target(self.targets, self.n_neighbors, self.reg, defaults)

    def __repr__(self) -> str:
        neighbors = "" if self.n_neighbors is None else f" of {self.n_neighbors}"
        ridge = "" if self.reg is None else f" with reg {self.reg:g}"
        steps = f"{self.max_steps} steps"
        if self.noise:
            steps = f"noise {max(self.noise):.3g} to {min(self.noise):.3g} A, {self.n_steps} steps"
        return f"{self.targets}{neighbors}{ridge}, {steps}"


def annealed(s0_squared: float, alpha: float, every: int = 1) -> tuple[float, ...]:
    """Standard deviations of the paper's noise, N(0, s0^2 exp(-alpha iter)) (its eq. 9).

    Args:
        s0_squared: Variance before the first step, Angstrom^2.
        alpha: Its decay from one addition of noise to the next.
        every: Noise is added after every so many steps; the optimizer works in between.

    Returns:
        One number for each step, as long as they are ``LEAST_NOISE`` or more.

    Raises:
        InputError: For numbers that are not positive.
    """
    s0_squared, alpha = positive("s0_squared", s0_squared), positive("alpha", alpha)
    whole("every", every)
    count = math.floor(max(0.0, math.log(s0_squared / LEAST_NOISE**2)) / alpha) + 1
    if s0_squared < LEAST_NOISE**2:
        return ()
    if count * every > MOST_STEPS:
        raise InputError(f"noise of {count * every:,} steps: use a larger alpha")
    kicks = (math.sqrt(s0_squared * math.exp(-alpha * k)) for k in range(count))
    return tuple(sigma for kick in kicks for sigma in (kick, *[0.0] * (every - 1)))


def parse_schedule(text: str) -> list[Stage]:
    """Stages from text such as ``nearest:30,locally-linear/8:20``: TARGETS[/NEIGHBORS]:STEPS."""
    stages = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([a-z-]+)(?:/(\d+))?:(\d+)\s*", part)
        if match is None:
            raise InputError(
                f"stage '{part.strip()}' is not of the form TARGETS:STEPS or "
                "TARGETS/NEIGHBORS:STEPS, such as nearest:30 or locally-linear/8:20"
            )
        neighbors = None if match[2] is None else int(match[2])
        stages.append(Stage(match[1], neighbors, max_steps=int(match[3])))
    return stages
