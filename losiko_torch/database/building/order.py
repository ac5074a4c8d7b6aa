"""Where the environments of many structures go: their order in a database, and their parts.

What is described together are structures of the same elements: most descriptors are far cheaper for
few elements. The order of the database is that of the structures all the same. All of this follows
from the atomic numbers alone, before anything is described.
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
#: Atoms of a part: what a build that was stopped does not have to do again.
ATOMS_A_PART = 32 * ATOMS_AT_ONCE

#: Numbers of structures of the same elements, described at once.
Block = list[int]


@dataclass(frozen=True, eq=False)
class Layout:
    """Structures, their atoms one behind the other, and the environments that these become.

    Attributes:
        structures: They.
        numbers: Atomic numbers of all N atoms, (N,).
        first: Number of each structure's first atom, and N, (n + 1,).
        rows: The row of each atom among the environments of its element, (N,).
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
        """Environments of each element."""
        elements, counts = np.unique(self.numbers, return_counts=True)
        return dict(zip(elements.tolist(), counts.tolist(), strict=True))

    def parts(self) -> list[list[Block]]:
        """All structures, in blocks of the same elements, so many to a part."""
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
        """Some of the structures, those of the same elements together."""

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
        """Numbers of all atoms of a block, in the order in which they are described."""
        return np.concatenate([np.arange(self.first[k], self.first[k + 1]) for k in block])

    def holding(self, atoms: np.ndarray) -> set[int]:
        """The structures that these atoms belong to."""
        return set((np.searchsorted(self.first, atoms, side="right") - 1).tolist())

    def places(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Structure and atom within it of each environment of an element, (n,), int32."""
        atoms = np.flatnonzero(self.numbers == number)
        structure = np.searchsorted(self.first, atoms, side="right") - 1
        atom = atoms - self.first[structure]
        return torch.from_numpy(structure).int(), torch.from_numpy(atom).int()

    def weights(self, number: int) -> torch.Tensor:
        """What each environment of an element weighs, (n,), float32."""
        return torch.from_numpy(self._weights[self.numbers == number]).float()

    @cached_property
    def _weights(self) -> np.ndarray:
        return filled(self.structures, map(own_weights, self.structures))
