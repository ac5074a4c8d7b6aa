"""Choice of the kernels of a GPU that give each structure of a batch a program of its own.

Where there are none plain torch works on the rows of all structures at once, and on processors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from losiko_torch.accelerators import gpu_kernel
from losiko_torch.systems.kept import kept
from losiko_torch.systems.sums import ascending, first_of

#: Rows of a structure up to which they fit into the registers of a program.
MOST_ROWS = 1024


def kernel_for(name: str, system_idx: torch.Tensor, count: int) -> Callable[..., Any] | None:
    """Return a kernel that knows the rows of each of ``count`` structures; None if none serves.

    Args:
        name: Name of the kernel in ``losiko_kernels.gpu``.
        system_idx: Structure of each row, shape (N,).
        count: Number of structures.
    """
    kernel = gpu_kernel(system_idx.device, name)
    if kernel is None:
        return None
    first, largest = kept(system_idx, ("rows", count), lambda: _rows(system_idx, count))
    return partial(kernel, first=first, largest=largest) if largest <= MOST_ROWS else None


def _rows(system_idx: torch.Tensor, count: int) -> tuple[torch.Tensor, float]:
    """Return the first row of each structure, and N, (count + 1,), and the rows of the largest.

    The latter is infinite where a structure's rows are not together.
    """
    first = first_of(system_idx, count)
    return first, int(first.diff().max()) if ascending(system_idx) and count else math.inf
