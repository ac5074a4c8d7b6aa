"""Nelder-Mead (SciPy's), the paper's optimizer, kept as the yardstick for the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import minimize

from losiko_torch.checks import whole
from losiko_torch.keywords import names_unknown
from losiko_torch.optimizers.interface import Minimum, check_positive


@names_unknown
@dataclass(frozen=True)
class NelderMead:
    """Nelder-Mead with SciPy's adaptive parameters.

    Attributes:
        first_step: Edge of the first simplex, Angstrom.
        position_spread, loss_spread: Spreads of the simplex at which it has converged, Angstrom and
            in units of the loss; both must be met.
        per_kick: Evaluations for each variable after each addition of noise.

    Raises:
        InputError: For numbers that are not positive.
    """

    name: ClassVar[str] = "nelder-mead"
    max_steps: ClassVar[int] = 20_000

    first_step: float = 0.05
    position_spread: float = 1e-3
    loss_spread: float = 1e-6
    per_kick: int = 2

    def __post_init__(self) -> None:
        check_positive(self, "first_step", "position_spread", "loss_spread")
        whole("per_kick", self.per_kick)

    def minimum(
        self, loss: Callable[[np.ndarray], float], first: np.ndarray, max_steps: int
    ) -> Minimum:
        simplex = np.vstack([first, first + self.first_step * np.eye(len(first))])
        found = minimize(
            loss,
            first,
            method="Nelder-Mead",
            options={
                "initial_simplex": simplex,
                "maxfev": max_steps,
                "maxiter": max_steps,
                "xatol": self.position_spread,
                "fatol": self.loss_spread,
                "adaptive": True,
            },
        )
        return Minimum(found.x, float(found.fun), bool(found.success), int(found.nfev))


OPTIMIZER = NelderMead
