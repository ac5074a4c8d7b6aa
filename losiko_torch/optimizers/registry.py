"""The optimizers by name."""

from __future__ import annotations

from losiko_torch.errors import InputError
from losiko_torch.optimizers.adam import Adam
from losiko_torch.optimizers.fire import FIRE
from losiko_torch.optimizers.gradient_descent import GradientDescent
from losiko_torch.optimizers.interface import Optimizer
from losiko_torch.optimizers.lbfgs import LBFGS

#: Those that step with gradients, a whole batch at a time.
GRADIENT_OPTIMIZERS: dict[str, Optimizer] = {
    "lbfgs": LBFGS(),
    "fire": FIRE(),
    "adam": Adam(),
    "gradient-descent": GradientDescent(),
}
NELDER_MEAD = "nelder-mead"
OPTIMIZERS = (*GRADIENT_OPTIMIZERS, NELDER_MEAD)


def check_optimizer(name: str) -> None:
    """Raise ``InputError`` for an optimizer that there is not."""
    if name not in OPTIMIZERS:
        raise InputError(f"optimizer '{name}' is none of {', '.join(OPTIMIZERS)}")
