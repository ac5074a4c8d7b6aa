"""Doubts about structures of a batch: at most one sentence each, the gravest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from ase.data import chemical_symbols

from losiko_torch.systems.batch import Batch


@dataclass
class Doubts:
    """Sentences about the structures of a batch; the first one about a structure stays.

    Attributes:
        batch: Structures.
        sentences: Sentence about each structure that has one, by its number in the batch.
    """

    batch: Batch
    sentences: dict[int, str] = field(default_factory=dict)

    def add(self, system: int, sentence: str) -> None:
        """Add a sentence about a structure."""
        self.sentences.setdefault(system, sentence)

    def add_where(
        self,
        mask: torch.Tensor,
        atoms: torch.Tensor,
        sentence_of: Callable[[int], str],
        grave: torch.Tensor | None = None,
    ) -> None:
        """Add a sentence about the structures of those rows, pairs or atoms, that a mask chooses.

        Args:
            mask: Rows in question, shape (n,), bool.
            atoms: Atom of the batch that each row is about, shape (n,).
            sentence_of: Function from the number of a row to a sentence.
            grave: Number of each row, shape (n,), the smallest the gravest. None means that the
                first row of a structure is.
        """
        rows = mask.nonzero().squeeze(1)
        if grave is not None:
            rows = rows[torch.argsort(grave[rows])]
        systems = self.batch.system_idx[atoms[rows]].tolist()
        for row, system in zip(rows.tolist(), systems, strict=True):
            if system not in self.sentences:
                self.sentences[system] = sentence_of(row)

    @cached_property
    def _atoms(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Structure and atomic number of each atom, and first atom of each structure: on the host.

        To look at a number on a GPU is to wait for it.
        """
        system, numbers = (
            each.cpu().numpy() for each in (self.batch.system_idx, self.batch.numbers)
        )
        return system, numbers, np.searchsorted(system, np.arange(self.batch.n_systems))

    def name(self, atom: torch.Tensor) -> str:
        """Return an atom's index in its structure and its symbol, such as "atom 3 (C)"."""
        (system, numbers, first), place = self._atoms, int(atom)
        return f"atom {place - first[system[place]]} ({chemical_symbols[numbers[place]]})"

    def all(self) -> list[str]:
        """Return the sentence of each structure, "" where there is none."""
        return [self.sentences.get(system, "") for system in range(self.batch.n_systems)]
