"""Atoms of a batch some at a time, in the order of their elements.

What is large for each atom, such as its features, then exists for few of them at once.

>>> numbers = torch.tensor([8, 1, 1, 8, 1])
>>> for piece in pieces_of(numbers, 3):
...     print(piece.rows.tolist(), piece.elements)
[1, 2] [(1, slice(0, 2, None))]
[4, 0, 3] [(1, slice(0, 1, None)), (8, slice(1, 3, None))]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from losiko_kernels import TILE

from losiko_torch.systems.kept import by_element, kept

#: Atoms at once on a processor, so that what is worked out of them stays near it, and elsewhere, so
#: that a device has enough to do.
ON_PROCESSOR, ELSEWHERE = 4096, 65_536


@dataclass(frozen=True, eq=False)
class Piece:
    """Part of the atoms of a batch, by element.

    Attributes:
        rows: Numbers of the atoms in the batch, shape (m,).
        elements: Their elements, each with its part of the m atoms.
    """

    rows: torch.Tensor
    elements: list[tuple[int, slice]]

    @cached_property
    def tiles(self) -> torch.Tensor:
        """Element, first atom and end of tiles of atoms of one element, shape (T, 3), int32."""
        tiles = [
            (number, first, min(first + TILE, some.stop))
            for number, some in self.elements
            for first in range(some.start, some.stop, TILE)
        ]
        return torch.tensor(tiles, dtype=torch.int32, device=self.rows.device).reshape(-1, 3)


def pieces_of(numbers: torch.Tensor, most: int | None = None) -> list[Piece]:
    """Return atoms (n,) of these numbers in pieces of about the same size.

    ``most`` are the atoms of a piece at most. None means what suits the device.
    """
    if most is None:
        most = ON_PROCESSOR if numbers.device.type == "cpu" else ELSEWHERE

    def found() -> list[Piece]:
        atoms, n = by_element(numbers), len(numbers)
        order = torch.arange(n, device=numbers.device) if atoms.order is None else atoms.order
        count = max(1, -(-n // most))
        ends = [n * k // count for k in range(count + 1)]
        return [
            Piece(order[first:end], _within(atoms.elements, first, end))
            for first, end in pairwise(ends)
        ]

    return kept(numbers, ("pieces", most), found)


def all_of(numbers: torch.Tensor) -> Piece:
    """Return all atoms (n,) of these numbers as one piece."""
    (piece,) = pieces_of(numbers, max(1, len(numbers)))
    return piece


def places_of(elements: Sequence[int], device: torch.device) -> torch.Tensor:
    """Return the place of each atomic number among some, -1 where it is none of them, int32."""
    place = torch.full((max(elements, default=0) + 1,), -1, dtype=torch.int32)
    place[list(elements)] = torch.arange(len(elements), dtype=torch.int32)
    return place.to(device)


def _within(parts: list[tuple[int, slice]], first: int, end: int) -> list[tuple[int, slice]]:
    """Return what of the parts of elements lies within these places, counted from the first."""
    cut = [(z, max(some.start, first), min(some.stop, end)) for z, some in parts]
    return [(z, slice(start - first, stop - first)) for z, start, stop in cut if start < stop]
