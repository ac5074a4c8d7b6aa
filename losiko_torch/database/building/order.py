"""The order of environments in a database, and the parts in which structures are described.

Structures of the same elements are described together, because most descriptors are far cheaper for
few elements. The order in the database is that of the structures all the same. Both follow from the
atomic numbers alone, before anything is described.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import torch
from ase import Atoms

from losiko_torch.systems.atom_weights import filled, own_weights

#: Atoms described at once.
ATOMS_AT_ONCE = 1024
#: Atoms of a part, the unit that an interrupted build does not have to do again.
ATOMS_A_PART = 32 * ATOMS_AT_ONCE

#: Numbers of structures of the same elements, described at once.
Block = list[int]


@dataclass(frozen=True, eq=False)
class Layout:
    """All atoms of the structures in one row, and the environments that they become.

    Attributes:
        structures: The n structures of the database.
        numbers: Atomic numbers of all N atoms, shape (N,).
        first: Number of each structure's first atom, and N, shape (n + 1,).
        rows: Row of each atom among the environments of its element, shape (N,).
    """

    structures: list[Atoms]
    numbers: np.ndarray
    first: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, structures: list[Atoms]) -> Layout:
        counts = [len(atoms) for atoms in structures]
        numbers = np.concatenate([atoms.numbers for atoms in structures])
        rows = np.empty(len(numbers), dtype=np.int64)
        for number in np.unique(numbers):
            atoms = np.flatnonzero(numbers == number)
            rows[atoms] = np.arange(len(atoms))
        return cls(structures, numbers, np.concatenate([[0], np.cumsum(counts)]), rows)

    @cached_property
    def counts(self) -> dict[int, int]:
        """Number of environments of each element, by atomic number."""
        elements, counts = np.unique(self.numbers, return_counts=True)
        return dict(zip(elements.tolist(), counts.tolist(), strict=True))

    def parts(self) -> list[list[Block]]:
        """All structures in blocks of the same elements, gathered into parts of similar size."""
        parts: list[list[Block]] = []
        size = ATOMS_A_PART
        for block in self.blocks(range(len(self.structures))):
            if size >= ATOMS_A_PART:
                parts.append([])
                size = 0
            parts[-1].append(block)
            size += sum(len(self.structures[k]) for k in block)
        return parts

    def blocks(self, chosen: Iterable[int]) -> Iterator[Block]:
        """Yield the ``chosen`` structures in blocks, each of the same elements."""

        def elements_of(k: int) -> tuple[int, ...]:
            return tuple(np.unique(self.structures[k].numbers).tolist())

        for _, alike in groupby(sorted(sorted(chosen), key=elements_of), key=elements_of):
            block: Block = []
            size = 0
            for k in alike:
                block.append(k)
                size += len(self.structures[k])
                if size >= ATOMS_AT_ONCE:
                    yield block
                    block, size = [], 0
            if block:
                yield block

    def atoms_of(self, block: Block) -> np.ndarray:
        """Numbers of all atoms of a block, in the order in which they are described, shape (n,)."""
        return np.concatenate([np.arange(self.first[k], self.first[k + 1]) for k in block])

    def holding(self, atoms: np.ndarray) -> set[int]:
        """The structures that these atoms belong to."""
        return set((np.searchsorted(self.first, atoms, side="right") - 1).tolist())

    def places(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Structure, and atom within it, of each environment of an element; each (n,), int32."""
        atoms = np.flatnonzero(self.numbers == number)
        structure = np.searchsorted(self.first, atoms, side="right") - 1
        atom = atoms - self.first[structure]
        return torch.from_numpy(structure).int(), torch.from_numpy(atom).int()

    def weights(self, number: int) -> torch.Tensor:
        """Weights of the environments of an element, shape (n,), float32."""
        return torch.from_numpy(self._weights[self.numbers == number]).float()

    @cached_property
    def _weights(self) -> np.ndarray:
        return filled(self.structures, map(own_weights, self.structures))
