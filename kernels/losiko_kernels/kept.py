"""Facts about tensors that are worked out once, and kept as long as these are not written to."""

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
