"""Geometries of a database's structures, kept beside their descriptors.

Targets that learn forces or energies are fitted to structures, not to descriptors alone. All atoms
are concatenated, in the order of the structures' records: 13 bytes an atom, where a descriptor
takes 1 to 2 kB.

>>> from ase.build import molecule
>>> geometries = Geometries.of([molecule("CH3OH"), molecule("H2O")])
>>> len(geometries), geometries.counts.tolist(), geometries.atoms(1).get_chemical_formula()
(2, [6, 3], 'H2O')
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch.errors import InputError

#: Prefix of the names of all tensors of geometries in a file.
PREFIX = "geometries/"
#: Tensors that geometries have: their type, and their shape after the first dimension.
SHAPES: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
    "numbers": (torch.uint8, ()),
    "positions": (torch.float32, (3,)),
    "counts": (torch.int32, ()),
    "cells": (torch.float32, (3, 3)),
    "pbc": (torch.bool, (3,)),
}
#: Tensors that have a row for each atom; the others have one for each structure.
OF_ATOMS = ("numbers", "positions")
#: Tensors that are not written where no structure is periodic.
PERIODIC = ("cells", "pbc")


@dataclass(frozen=True, eq=False, repr=False)
class Geometries:
    """Geometries of S structures with N atoms together, on the CPU.

    Attributes:
        numbers: Atomic numbers of all atoms, shape (N,), uint8.
        positions: Positions of all atoms in Angstrom, shape (N, 3), float32.
        counts: Number of atoms of each structure, shape (S,), int32.
        cells: Cell vectors of each structure in Angstrom, in rows, shape (S, 3, 3), float32; zero
            for a structure that is not periodic.
        pbc: Directions in which each structure is periodic, shape (S, 3), bool.
    """

    numbers: torch.Tensor
    positions: torch.Tensor
    counts: torch.Tensor
    cells: torch.Tensor
    pbc: torch.Tensor

    @classmethod
    def of(cls, structures: Sequence[Atoms]) -> Geometries:
        """Geometries of at least one structure; positions and cells are rounded to float32."""
        arrays = {
            "numbers": np.concatenate([atoms.numbers for atoms in structures]),
            "positions": np.concatenate([atoms.positions for atoms in structures]),
            "counts": np.array([len(atoms) for atoms in structures]),
            "cells": np.array([atoms.cell.array * atoms.pbc.any() for atoms in structures]),
            "pbc": np.array([atoms.pbc for atoms in structures]),
        }
        return cls(**{name: torch.from_numpy(arrays[name]).to(SHAPES[name][0]) for name in SHAPES})

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        return f"Geometries({len(self):,} structures of {len(self.numbers):,} atoms)"

    @cached_property
    def first(self) -> list[int]:
        """Number of each structure's first atom among all atoms, and N: S + 1 numbers."""
        return list(accumulate(self.counts.tolist(), initial=0))

    def atoms(self, k: int) -> Atoms:
        """Structure ``k``, with its positions and cell in float64.

        Raises:
            IndexError: If there is no such structure.
        """
        k = range(len(self))[k]
        own = slice(self.first[k], self.first[k + 1])
        return Atoms(
            numbers=self.numbers[own].numpy().astype(int),
            positions=self.positions[own].double().numpy(),
            cell=self.cells[k].double().numpy(),
            pbc=self.pbc[k].numpy(),
        )

    def joined(self, other: Geometries) -> Geometries:
        """These geometries, and then the ``other`` ones."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in SHAPES}
        return Geometries(**{name: torch.cat(pair) for name, pair in pairs.items()})

    def kept(self, structures: Sequence[int]) -> Geometries:
        """Geometries of some structures, by their numbers, renumbered in the order given."""
        spans = (range(self.first[k], self.first[k + 1]) for k in structures)
        rows = torch.tensor(list(chain.from_iterable(spans)), dtype=torch.long)
        chosen = torch.tensor(list(structures), dtype=torch.long)
        return Geometries(
            **{name: getattr(self, name)[rows if name in OF_ATOMS else chosen] for name in SHAPES}
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors by name, such as "geometries/positions".

        Those of cells and their periodicity are left out where no structure is periodic.
        """
        left_out = () if self.pbc.any() else PERIODIC
        return {f"{PREFIX}{name}": getattr(self, name) for name in SHAPES if name not in left_out}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Geometries:
        """Geometries of named tensors, as ``tensors`` returns them.

        Raises:
            InputError: If tensors are missing, of the wrong type or shape, or hold what no
                structure does.
        """
        given = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        if set(given) not in (set(SHAPES), set(SHAPES) - set(PERIODIC)):
            raise InputError("its geometries are incomplete")
        count = len(given["counts"]) if given["counts"].ndim else 0
        for name in PERIODIC:
            dtype, shape = SHAPES[name]
            given.setdefault(name, torch.zeros((count, *shape), dtype=dtype))
        return cls(**given)._checked()

    def _checked(self) -> Geometries:
        """Return the geometries, or raise ``InputError`` if their tensors are damaged."""
        n_atoms = len(self.numbers) if self.numbers.ndim else 0
        count = len(self.counts) if self.counts.ndim else 0
        for name, (dtype, shape) in SHAPES.items():
            tensor = getattr(self, name)
            rows = n_atoms if name in OF_ATOMS else count
            if tensor.dtype != dtype or tensor.shape != (rows, *shape):
                raise InputError(f"the {name} of its geometries are of the wrong type or shape")
        if not ((self.counts > 0).all() and int(self.counts.long().sum()) == n_atoms):
            raise InputError("the counts of its geometries do not match their atoms")
        if not ((self.numbers > 0) & (self.numbers < len(chemical_symbols))).all():
            raise InputError("its geometries have atoms of no element")
        if not (torch.isfinite(self.positions).all() and torch.isfinite(self.cells).all()):
            raise InputError("its geometries contain numbers not finite")
        return self

    def check_places(
        self, n_structures: int, places: Mapping[int, tuple[torch.Tensor, torch.Tensor]]
    ) -> None:
        """Check that they are the geometries of a database.

        Args:
            n_structures: Number of the database's structures.
            places: Structure, and atom within it, of each reference of an element, both shape (n,),
                by atomic number.

        Raises:
            InputError: If the numbers of structures differ, or if a reference belongs to no atom of
                its element.
        """
        if len(self) != n_structures:
            raise InputError(
                f"its geometries are of {len(self):,} structures, and it has {n_structures:,}"
            )
        first = torch.tensor(self.first)
        for number, place in places.items():
            structure, atom = (each.cpu().long() for each in place)
            there = (structure >= 0) & (structure < len(self))
            structure = structure.clamp(0, len(self) - 1)
            there &= (atom >= 0) & (atom < self.counts[structure])
            if not (there.all() and (self.numbers[first[structure] + atom] == number).all()):
                raise InputError(
                    f"environments of {chemical_symbols[number]} belong to no atom of its "
                    "geometries"
                )


def united_geometries(every: Iterable[Geometries | None]) -> Geometries | None:
    """Geometries of at least one database after another. None if any of ``every`` is None."""
    united: Geometries | None = None
    for each in every:
        if each is None:
            return None
        united = each if united is None else united.joined(each)
    return united
