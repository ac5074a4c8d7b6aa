"""Targets by name, those of other packages among them.

>>> list(TARGETS)[:2]
['nearest', 'locally-linear']
"""

from __future__ import annotations

from losiko_torch.registry import Registry

TARGETS = Registry(
    "targets", "losiko_torch.loss.targets", "TARGET", ("nearest", "locally-linear", "learned")
)
