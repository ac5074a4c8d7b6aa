r"""Repulsion of atoms that come nearer than any such pair in the database.

    k/2 sum_{i<j, r_ij < d_ij} (d_ij - r_ij)^2

d_ij is the shortest interatomic distance of the two elements in all structures of the database,
periodic images included. A pair of elements that no structure holds within 5 Angstrom of each other
has the sum of its covalent radii instead (Cordero et al., Dalton Trans. 2832, 2008, through ASE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from typing import Any, ClassVar, Self

import torch
from ase.data import atomic_numbers, chemical_symbols

from losiko_torch.checks import positive
from losiko_torch.database.building.closest import closest_table
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.errors import InputError
from losiko_torch.keywords import names_unknown
from losiko_torch.options import Option
from losiko_torch.systems.batch import Batch, sum_by_system
from losiko_torch.systems.neighbors import find_pairs

#: Longest interatomic distance that atoms are kept apart by, Angstrom.
LARGEST = 10.0
#: Interatomic distances (Angstrom) by pairs of atomic numbers, the smaller number first.
Closest = Mapping[tuple[int, int], float]


@names_unknown
@dataclass(frozen=True)
class Repulsion:
    """Penalty on atoms nearer than any pair of their elements in the database.

    Attributes:
        stiffness: Factor k of the penalty, 1/Angstrom^2.
        closest: Interatomic distances by pairs of elements, such as {("O", "H"): 0.95}. None
            takes those of the database.

    Raises:
        InputError: For numbers that are not positive, and with a database whose file does not
            hold the distances.
    """

    name: ClassVar[str] = "repulsion"
    option: ClassVar[Option] = Option(
        "Push apart atoms that are nearer than any such pair in the database.", text=bool
    )

    stiffness: float = 10.0
    closest: Mapping[tuple[Any, Any], float] | None = None

    def __post_init__(self) -> None:
        stiffness = positive("the stiffness of the repulsion", self.stiffness)
        object.__setattr__(self, "stiffness", stiffness)
        if self.closest is not None:
            object.__setattr__(self, "closest", _by_number(self.closest))

    @classmethod
    def parse(cls, value: bool) -> Self | None:
        """Return the term where the command line asks for it."""
        return cls() if value else None

    def for_database(self, database: DatabaseRecord) -> Self:
        """Return the term with the distances of a database, unless it has its own."""
        if self.closest is not None:
            return self
        found = getattr(database, "closest", None)
        if found is None:
            raise InputError(
                "term 'repulsion': the database does not hold the shortest interatomic distances, "
                "as it was built by an earlier version: build it again, or give Repulsion(closest=)"
            )
        return replace(self, closest=found)

    def __call__(self, batch: Batch) -> torch.Tensor:
        table = self._table.to(batch.positions)
        present = batch.numbers.unique()
        reach = float(table[present][:, present].max())
        pairs = find_pairs(batch, reach, periodic=True).of_others()
        # A root of zero has no gradient: atoms on one spot are not pushed in any direction.
        squares = pairs.vectors(batch).square().sum(1)
        apart = squares.clamp(min=torch.finfo(squares.dtype).tiny).sqrt()
        least = table[batch.numbers[pairs.center], batch.numbers[pairs.neighbor]]
        overlap = (least - apart).clamp(min=0)
        # Each pair is listed from both of its ends.
        values = self.stiffness / 4 * overlap.square()
        system = batch.system_idx[pairs.center]
        # The zero keeps the value differentiable where no pair is near.
        none = 0 * sum_by_system(batch.positions.sum(1), batch.system_idx, batch.n_systems)
        return sum_by_system(values, system, batch.n_systems) + none

    @cached_property
    def _table(self) -> torch.Tensor:
        """Interatomic distances of all pairs of elements, Angstrom, shape (Z, Z), float64."""
        if self.closest is None:
            raise InputError("term 'repulsion' has no distances: use it with a database")
        return closest_table(self.closest)

    def identity(self) -> dict[str, Any]:
        own = None
        if self.closest is not None:
            own = {
                f"{chemical_symbols[first]}-{chemical_symbols[second]}": distance
                for (first, second), distance in self.closest.items()
            }
        return {"name": self.name, "stiffness": self.stiffness, "closest": own}


def _by_number(closest: Mapping[tuple[Any, Any], float]) -> dict[tuple[int, int], float]:
    """Return distances by sorted pairs of atomic numbers, checked."""
    if not isinstance(closest, Mapping):
        raise InputError(
            f"term 'repulsion': closest is a {type(closest).__name__}, not distances by pairs of "
            "elements such as {('O', 'H'): 0.95}"
        )
    found: dict[tuple[int, int], float] = {}
    for pair, distance in closest.items():
        try:
            first, second = sorted(map(_atomic_number, pair))
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"term 'repulsion': {pair!r} is no pair of elements such as ('O', 'H')"
            ) from None
        length = positive(f"the distance of {pair!r}", distance)
        if length > LARGEST:
            raise InputError(
                f"term 'repulsion': the distance of {pair!r} is {length:g} A, beyond {LARGEST:g} A"
            )
        if found.get((first, second), length) != length:
            raise InputError(f"term 'repulsion': {pair!r} is given twice, with two distances")
        found[first, second] = length
    return found


def _atomic_number(element: Any) -> int:
    if isinstance(element, str):
        return atomic_numbers[element]
    if not isinstance(element, Integral) or not 0 < int(element) < len(chemical_symbols):
        raise ValueError(element)
    return int(element)


TERM = Repulsion
