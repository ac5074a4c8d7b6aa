"""In-flight batching: as structures end others join; the batch shrinks when memory runs out.

A batch works best when it is full. The moment at which a structure joins follows from the sizes of
all and from those that have ended: the same structures take the same way every time.
"""

from __future__ import annotations

import gc
import math
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from losiko_torch.accelerators import is_out_of_memory

#: Share of the batch that has to be free before others join: judging and describing few atoms at
#: a time costs nearly as much as many.
REFILL = 0.25
#: Reason of a structure for which there is not enough memory.
TOO_LARGE = "it does not fit into memory, not even alone"


class InFlight(Protocol):
    """Structures that are in the batch, numbered among all."""

    def go_on(self, newcomers: list[int], enough: int) -> list[int]:
        """Let others join, and work until ``enough`` atoms have left or all.

        Returns:
            Numbers of the structures that stay.
        """

    def drop(self) -> None:
        """Forget the structures in the batch, and release their memory."""


@dataclass
class Capacity:
    """Number of atoms that a batch may hold; it shrinks when memory runs out."""

    atoms: int

    def shrink(self, held: int) -> None:
        """Halve the capacity, as memory did not suffice for the atoms held."""
        self.atoms = max(1, min(self.atoms, held) // 2)
        warnings.warn(
            f"out of memory with {held:,} atoms in a batch: going on with {self.atoms:,}",
            stacklevel=2,
        )


def flow(
    places: Iterable[int], sizes: Sequence[int], capacity: Capacity, in_flight: InFlight
) -> list[int]:
    """Pass structures through a batch, in their order.

    When memory runs out the batch is dropped and its structures begin again, fewer at a time.

    Args:
        places: Numbers of the structures among all.
        sizes: Atoms of each of all structures.
        capacity: Atoms that the batch may hold; a larger structure goes alone.
        in_flight: Structures in the batch; none is yet.

    Returns:
        Numbers of the structures that do not fit into memory, not even alone.
    """
    waiting, inside, too_large = deque(places), list[int](), list[int]()
    # Counted once: to count anew what waits, each time that others join, would be quadratic.
    left = sum(map(sizes.__getitem__, waiting))
    while waiting or inside:
        held = sum(map(sizes.__getitem__, inside))
        newcomers: list[int] = []
        while waiting and (held == 0 or held + sizes[waiting[0]] <= capacity.atoms):
            held += sizes[waiting[0]]
            left -= sizes[waiting[0]]
            newcomers.append(waiting.popleft())
        inside = [*inside, *newcomers]
        following = sizes[waiting[0]] if waiting else 0
        enough = _enough(following, left, held, capacity.atoms)
        try:
            inside = in_flight.go_on(newcomers, enough)
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Here, since as long as the error is known so are the tensors of its frames.
        in_flight.drop()
        _release()
        if len(inside) == 1:
            too_large += inside
        else:
            capacity.shrink(held)
            left += held
            waiting.extendleft(reversed(inside))
        inside = []
    return too_large


def _enough(following: int, left: int, held: int, capacity: int) -> int:
    """Return how many of the atoms ``held`` leave a batch before others join.

    ``following`` are the atoms of the next of these, ``left`` those of all of them.
    """
    if not left:
        return held
    portion = max(following, min(math.ceil(REFILL * capacity), left))
    return min(held, held + portion - capacity)


def _release() -> None:
    """Release the memory that torch keeps for later."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
