"""Stages of a relaxation before its last one, as data that can be printed and changed.

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
from losiko_torch.errors import InputError
from losiko_torch.keywords import names_unknown
from losiko_torch.loss.settings import TargetSettings
from losiko_torch.options import option

#: Standard deviation (Angstrom) below which noise ends: structures that differ by less relax to the
#: same.
LEAST_NOISE = 0.01
#: Steps of noise beyond which a mistake is assumed.
MOST_STEPS = 100_000
#: Steps of a stage where no number is given.
STAGE_STEPS = 50


@names_unknown
@dataclass(frozen=True, repr=False)
class Stage(TargetSettings):
    """Part of a relaxation: ``targets``, ``n_neighbors`` and ``reg`` as for ``relax``, and more.

    Attributes:
        max_steps: Evaluations granted to each structure; it goes on earlier once converged.
        noise: Standard deviations (Angstrom) of the noise that is added to every movable coordinate
            before each step after the first. With any, the stage takes all of these steps and no
            more, and the structure goes on from the lowest loss that it had.

    Raises:
        InputError: For numbers out of range.
    """

    max_steps: int = option(STAGE_STEPS, "Evaluations granted to each structure.", check=whole)
    noise: tuple[float, ...] = option((), "Standard deviations of the noise.")

    def __post_init__(self) -> None:
        super().__post_init__()
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

    def identity(self) -> str:
        """Return the stage in words, all that tells it from others."""
        return repr(self) + (f", sigmas {[*self.noise]}" if self.noise else "")

    def __repr__(self) -> str:
        neighbors = "" if self.n_neighbors is None else f" of {self.n_neighbors}"
        ridge = "" if self.reg is None else f" with reg {self.reg:g}"
        steps = f"{self.max_steps} steps"
        if self.noise:
            steps = f"noise {max(self.noise):.3g} to {min(self.noise):.3g} A, {self.n_steps} steps"
        targets = self.targets if isinstance(self.targets, str) else repr(self.targets)
        if self.targets is None:
            plain = not neighbors and not ridge
            targets = "the database's own targets" if plain else "locally-linear"
        return f"{targets}{neighbors}{ridge}, {steps}"


def annealed(s0_squared: float, alpha: float, every: int = 1) -> tuple[float, ...]:
    """Return the standard deviations of the paper's noise, N(0, s0^2 exp(-alpha iter)) (its eq. 9).

    Args:
        s0_squared: Variance before the first step, Angstrom^2.
        alpha: Decay of the variance from one addition of noise to the next.
        every: Steps from one addition of noise to the next; the optimizer works in between.

    Returns:
        Number for each step, as long as they are ``LEAST_NOISE`` or more.

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
    """Return stages for TARGETS[/NEIGHBORS]:STEPS,..., as in ``nearest:30,locally-linear/8:20``."""
    stages = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([\w.-]+)(?:/(\d+))?:(\d+)\s*", part)
        if match is None:
            raise InputError(
                f"stage '{part.strip()}' is not of the form TARGETS:STEPS or "
                "TARGETS/NEIGHBORS:STEPS, such as nearest:30 or locally-linear/8:20"
            )
        neighbors = None if match[2] is None else int(match[2])
        stages.append(Stage(match[1], neighbors, max_steps=int(match[3])))
    return stages
