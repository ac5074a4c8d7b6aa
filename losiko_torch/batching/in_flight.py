"""Structures flowing through a batch: as some end others join; it shrinks when memory runs out.

A batch works best when it is full. Which structures join when follows from their sizes and from
which have ended: the same structures take the same way every time.
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

#: Share of the batch that has to be free before others join: judging and describing few atoms at
#: a time costs nearly as much as many.
REFILL = 0.25
#: Why a structure fails for which there is not enough memory.
TOO_LARGE = "it does not fit into memory, not even alone"
#: What errors of torch say that are of no type of their own.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


class Company(Protocol):
    """The structures that are in the batch, numbered among all."""

    def go_on(self, newcomers: list[int], enough: int) -> list[int]:
        """Let others join, work until ``enough`` atoms have left or all; those that stay."""

    def drop(self) -> None:
        """Forget all that are in the batch, and let go of their memory."""


@dataclass
class Room:
    """How many atoms a batch may hold; fewer once memory has run out."""

    atoms: int

    def shrink(self, held: int) -> None:
        """Memory did not suffice for so many."""
        self.atoms = max(1, min(self.atoms, held) // 2)
        warnings.warn(
            f"out of memory with {held:,} atoms in a batch: going on with {self.atoms:,}",
            stacklevel=2,
        )


def flow(places: Iterable[int], sizes: Sequence[int], room: Room, company: Company) -> list[int]:
    """Pass structures through a batch, in their order.

    When memory runs out the batch is dropped and its structures begin again, fewer at a time.

    Args:
        places: Which of all structures.
        sizes: Atoms of each of all structures.
        room: For how many atoms there is room at a time; a larger structure goes alone.
        company: Those in the batch; none is yet.

    Returns:
        Those that do not fit into memory, not even alone.
    """
    waiting, inside, too_large = deque(places), list[int](), list[int]()
    while waiting or inside:
        held = sum(sizes[place] for place in inside)
        newcomers: list[int] = []
        while waiting and (held == 0 or held + sizes[waiting[0]] <= room.atoms):
            held += sizes[waiting[0]]
            newcomers.append(waiting.popleft())
        inside = [*inside, *newcomers]
        enough = _enough([sizes[place] for place in waiting], held, room.atoms)
        try:
            inside = company.go_on(newcomers, enough)
            continue
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        # Here, since as long as the error is known so are the tensors of its frames.
        company.drop()
        _release()
        if len(inside) == 1:
            too_large += inside
        else:
            room.shrink(held)
            waiting.extendleft(reversed(inside))
        inside = []
    return too_large


def _enough(waiting: Sequence[int], held: int, room: int) -> int:
    """Atoms that have to leave a batch of so many ``held`` before others (their sizes) join."""
    if not waiting:
        return held
    portion = max(waiting[0], min(math.ceil(REFILL * room), sum(waiting)))
    return min(held, held + portion - room)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        sign in str(error) for sign in _OUT_OF_MEMORY
    )


def _release() -> None:
    """Give back what torch keeps for later."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
