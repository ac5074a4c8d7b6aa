"""Device and block sizes of a kernel's launch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def on_device(tensor: torch.Tensor) -> AbstractContextManager:
    """Context in which Triton launches on a tensor's device, which need not be the current one."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def power_of_two(count: int) -> int:
    """The smallest power of two, a size of Triton's blocks, that is at least ``count``."""
    return 1 << max(count - 1, 0).bit_length()
