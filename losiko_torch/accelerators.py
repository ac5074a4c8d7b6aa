"""Which compiled kernels serve a device, if any: those of ``losiko_kernels``.

Without them plain torch computes the same, slower.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch


def kernels_for(device: torch.device) -> ModuleType | None:
    """``losiko_kernels.cpu`` or ``losiko_kernels.gpu``, where what compiles them is installed."""
    return _kernels(device.type)


@lru_cache
def _kernels(device: str) -> ModuleType | None:
    if device == "cpu" and find_spec("numba") is not None:
        return import_module("losiko_kernels.cpu")
    if device == "cuda" and find_spec("triton") is not None:
        return import_module("losiko_kernels.gpu")
    return None
