"""Counter of the bytes of tensors that live at once, as a GPU would hold them.

Tensors are on the processor. What a compiled kernel makes and drops inside does not count: one for
a GPU keeps that in registers.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from step_counter import as_one, wrapped_kernels
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Bytes of the tensors that were made since it began and live, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.inside = False
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # What was there before, such as weights, is known from then on, and counts nothing.
        self.note((args, kwargs), counts=False)
        made = func(*args, **(kwargs or {}))
        self.note(made, counts=True)
        if not self.inside:
            self.peak = max(self.peak, self.live)
        return made

    def note(self, tensors: Any, counts: bool) -> None:
        """Know the memory of tensors until it is released."""
        for each in tree_leaves(tensors):
            if not isinstance(each, torch.Tensor):
                continue
            memory = each.untyped_storage()
            if memory._cdata not in self.known:
                self.known.add(memory._cdata)
                size = memory.nbytes() if counts else 0
                self.live += size
                weakref.finalize(memory, self.released, memory._cdata, size)

    def released(self, number: int, count: int) -> None:
        self.known.discard(number)
        self.live -= count


@contextmanager
def live_bytes() -> Iterator[LiveBytes]:
    """Yield the count of what lives of what the body makes; of kernels what they return counts."""
    count = LiveBytes()
    with wrapped_kernels(lambda name, run: as_one(count, run)), count:
        yield count
