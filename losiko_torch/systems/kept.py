"""Facts about tensors that are worked out once: to look at a number on a GPU is to wait for it.

They are kept as long as the tensor is, and until it is written to.

>>> numbers = torch.tensor([8, 1, 1])
>>> [(number, rows.tolist()) for number, rows in elements_of(numbers)]
[(1, [1, 2]), (8, [0])]
>>> elements_of(numbers) is elements_of(numbers)
True
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import torch
from torch.utils.weak import WeakTensorKeyDictionary

T = TypeVar("T")

_FACTS = WeakTensorKeyDictionary()


def kept(tensor: torch.Tensor, name: Hashable, make: Callable[[], T]) -> T:
    """Return a fact about a tensor, made where it is not known; nobody may write to it."""
    if tensor.is_inference():
        return make()
    version, facts = _FACTS.get(tensor, (None, None))
    if facts is None or version != tensor._version:
        facts = {}
        _FACTS[tensor] = tensor._version, facts
    if name not in facts:
        facts[name] = make()
    return facts[name]


def elements_of(numbers: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
    """Return the elements among atoms (n,), each with the rows of its atoms."""

    def found() -> list[tuple[int, torch.Tensor]]:
        every = numbers.unique().tolist()
        return [(number, (numbers == number).nonzero().squeeze(1)) for number in every]

    return kept(numbers, "elements", found)


def any_true(mask: torch.Tensor) -> bool:
    """Return whether any entry of a mask is true."""
    return kept(mask, "any", lambda: bool(mask.any()))


def all_true(mask: torch.Tensor) -> bool:
    """Return whether all entries of a mask are true."""
    return kept(mask, "all", lambda: bool(mask.all()))


def counts_of(numbered: torch.Tensor, count: int) -> torch.Tensor:
    """Return how many entries have each of ``count`` numbers, shape (count,)."""
    return kept(numbered, ("counts", count), lambda: torch.bincount(numbered, minlength=count))


def avoids_waits(device: torch.device) -> bool:
    """Return whether to do more work rather than to wait for numbers of a device."""
    return device.type == "cuda"
