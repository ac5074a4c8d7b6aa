"""Optimizers by name, those of other packages among them.

>>> from losiko_torch.optimizers.lbfgs import LBFGS
>>> make_optimizer("lbfgs") == LBFGS() == make_optimizer(LBFGS())
True
"""

from __future__ import annotations

from losiko_torch.errors import InputError
from losiko_torch.optimizers.interface import DirectSearch, Optimizer
from losiko_torch.registry import Registry

OPTIMIZERS = Registry(
    "optimizer", "losiko_torch.optimizers", "OPTIMIZER", ("lbfgs", "fire", "adam")
)


def make_optimizer(optimizer: str | Optimizer | DirectSearch) -> Optimizer | DirectSearch:
    """Return an optimizer of this name, or the object itself.

    Raises:
        InputError: For an unknown name, and for an object that is no optimizer.
    """
    if isinstance(optimizer, str):
        return OPTIMIZERS[optimizer]()
    if not isinstance(optimizer, type) and isinstance(optimizer, (Optimizer, DirectSearch)):
        return optimizer
    raise InputError(
        f"optimizer {optimizer!r} is none: give a name such as 'lbfgs' or an object such as "
        "LBFGS(max_step=0.1)"
    )
