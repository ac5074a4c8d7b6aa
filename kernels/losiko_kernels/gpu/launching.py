"""Launches of kernels: their device, their block sizes, and launches that only compile."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def launch(kernel: Any, grid: tuple[int, ...], *given: Any, **named: Any) -> None:
    """Launch a kernel on the device of its arguments, which need not be the current one.

    Tensors on the meta device have shapes and no memory: with such nothing is launched. The kernel
    is compiled for the current device, exactly as a launch there would do it.
    """
    like = next(each for each in (*given, *named.values()) if isinstance(each, torch.Tensor))
    if like.is_meta:
        kernel.warmup(*given, grid=grid, **named)
        return
    with _device_of(like):
        kernel[grid](*given, **named)


def _device_of(tensor: torch.Tensor) -> AbstractContextManager:
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def power_of_two(count: int) -> int:
    """The smallest power of two, a size of Triton's blocks, that is at least ``count``."""
    return 1 << max(count - 1, 0).bit_length()
