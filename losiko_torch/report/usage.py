"""How often each structure of the database was the nearest reference of an atom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

from losiko_torch.report.names import References, environment_keys, nearest_references

if TYPE_CHECKING:
    import pyarrow as pa

#: Structures of the database that are named.
MOST_USED = 20


@dataclass(frozen=True)
class Use:
    """A structure of the database and the atoms that ended nearest to it.

    Attributes:
        structure: Its number.
        name: What it is known by.
        atoms: How many atoms.
        elements: How many of each element, by symbol, most first; empty if that is not known.
    """

    structure: int
    name: str
    atoms: int
    elements: dict[str, int]


@dataclass(frozen=True)
class Usage:
    """Use of a database by a run.

    Attributes:
        atoms: Atoms that have a nearest reference.
        structures: Structures of the database that are nearest to at least one.
        environments: Environments that are.
        available: Structures and environments that there are; None if that is not known.
        most: The most used structures, most first.
        note: Why structures have no names; empty if they have.
    """

    atoms: int
    structures: int
    environments: int
    available: tuple[int, int] | None
    most: list[Use]
    note: str

    @property
    def line(self) -> str:
        """The whole in one sentence."""
        known = ("", "") if self.available is None else tuple(f" of {n:,}" for n in self.available)
        return (
            f"{self.atoms:,} atoms are nearest to {self.environments:,}{known[1]} environments, "
            f"which are of {self.structures:,}{known[0]} structures."
        )


def usage(table: pa.Table, references: References, most: int = MOST_USED) -> Usage:
    """Count for a run's table whose environments are nearest to its atoms."""
    structure, atom = nearest_references(table)
    numbers = references.elements(structure, atom)
    used, counts = np.unique(structure, return_counts=True)
    known = references.records
    return Usage(
        atoms=len(structure),
        structures=len(used),
        environments=len(np.unique(environment_keys(structure, atom))),
        available=None if known is None else (len(known), len(references.keys)),
        most=[
            Use(
                int(used[k]),
                references.name(int(used[k])),
                int(counts[k]),
                _elements(numbers[structure == used[k]]),
            )
            for k in np.argsort(-counts, kind="stable")[:most]
        ],
        note=references.note,
    )


def _elements(numbers: np.ndarray) -> dict[str, int]:
    found, counts = np.unique(numbers[numbers > 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {chemical_symbols[found[k]]: int(counts[k]) for k in order}
