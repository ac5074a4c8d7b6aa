"""Facts about tensors that are worked out once: to look at a number on a GPU is to wait for it.

They are kept as long as the tensor is, and until it is written to (``losiko_kernels.kept``).

>>> numbers = torch.tensor([8, 1, 1])
>>> [(number, rows.tolist()) for number, rows in elements_of(numbers)]
[(1, [1, 2]), (8, [0])]
>>> elements_of(numbers) is elements_of(numbers)
True
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import torch
from losiko_kernels.kept import kept


def elements_of(numbers: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
    """Return the elements among atoms (n,), each with the rows of its atoms."""

    def found() -> list[tuple[int, torch.Tensor]]:
        every = numbers.unique().tolist()
        return [(number, (numbers == number).nonzero().squeeze(1)) for number in every]

    return kept(numbers, "elements", found)


class ByElement(NamedTuple):
    """Atoms (n,) brought together by element.

    Attributes:
        order: Atoms in the order of their elements, shape (n,); None where that is theirs.
        place: Place of each atom in that order, shape (n,); None likewise.
        elements: The elements, each with its part of the order.
    """

    order: torch.Tensor | None
    place: torch.Tensor | None
    elements: list[tuple[int, slice]]

    def together(self, values: torch.Tensor) -> torch.Tensor:
        """Return rows of atoms in the order of their elements."""
        return values if self.order is None else values.index_select(0, self.order)

    def apart(self, values: torch.Tensor) -> torch.Tensor:
        """Return rows in the order of the atoms again."""
        return values if self.place is None else values.index_select(0, self.place)


def by_element(numbers: torch.Tensor) -> ByElement:
    """Return the order that brings atoms (n,) of these numbers together by element."""

    def found() -> ByElement:
        every, counts = (each.tolist() for each in numbers.unique(return_counts=True))
        ends = list(accumulate(counts))
        parts = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
        elements = list(zip(every, parts, strict=True))
        if len(every) <= 1:
            return ByElement(None, None, elements)
        order = torch.argsort(numbers, stable=True)
        return ByElement(order, torch.argsort(order), elements)

    return kept(numbers, "by element", found)


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
