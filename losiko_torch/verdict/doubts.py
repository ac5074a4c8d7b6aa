"""Doubts about structures of a batch: at most one sentence each, the gravest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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

    def add(self, atoms: torch.Tensor, sentence_of: Callable[[int], str]) -> None:
        """Add a sentence about the structures of some atoms, from the first such atom of each.

        Args:
            atoms: Indices of atoms in the batch, the gravest of a structure first, shape (n,).
            sentence_of: Function from a row 0 to n - 1 to a sentence.
        """
        systems = self.batch.system_idx[atoms].tolist()
        for row, system in enumerate(systems):
            if system not in self.sentences:
                self.sentences[system] = sentence_of(row)

    def name(self, atom: torch.Tensor | int) -> str:
        """Return an atom's index in its structure and its symbol, such as "atom 3 (C)"."""
        atom = int(atom)
        system = int(self.batch.system_idx[atom])
        first = int(self.batch.counts[:system].sum())
        return f"atom {atom - first} ({chemical_symbols[int(self.batch.numbers[atom])]})"

    def all(self) -> list[str]:
        """Return the sentence of each structure, "" where there is none."""
        return [self.sentences.get(system, "") for system in range(self.batch.n_systems)]
