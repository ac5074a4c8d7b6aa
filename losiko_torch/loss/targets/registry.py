"""Targets by name, those of other packages among them.

>>> make_target("locally-linear", n_neighbors=8)
LocallyLinear(n_neighbors=8, reg=0.001)
"""

from __future__ import annotations

from losiko_torch.database.defaults import MOLECULES, Defaults
from losiko_torch.errors import InputError
from losiko_torch.loss.targets.interface import Target
from losiko_torch.registry import Registry

TARGETS = Registry("targets", "losiko_torch.loss.targets", "TARGET", ("nearest", "locally-linear"))


def make_target(
    targets: str | Target,
    n_neighbors: int | None = None,
    reg: float | None = None,
    defaults: Defaults = MOLECULES,
) -> Target:
    """Return the target of this name with these parameters, or the object itself.

    Raises:
        InputError: For an unknown name, parameters that the target does not take, and an object
            that is no target.
    """
    if isinstance(targets, str):
        if targets not in TARGETS.choices:
            raise InputError(f"targets '{targets}' are none of {', '.join(TARGETS.choices)}")
        return TARGETS[targets].make(n_neighbors, reg, defaults)
    if isinstance(targets, type) or not isinstance(targets, Target):
        raise InputError(
            f"targets {targets!r} are none: give a name such as 'nearest' or an object such as "
            "LocallyLinear(n_neighbors=64, reg=1e-3)"
        )
    if n_neighbors is not None or reg is not None:
        raise InputError("n_neighbors and reg belong to a name: give them to the target itself")
    return targets
