"""What every launch needs: its device, and block sizes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def on_device(tensor: torch.Tensor) -> AbstractContextManager:
    """Triton launches on the current device, which need not be the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def power_of_two(count: int) -> int:
    """The smallest one that is at least ``count``: sizes of Triton's blocks."""
    return 1 << max(count - 1, 0).bit_length()
