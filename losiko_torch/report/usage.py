"""Use of a database by a run: counts of the references that atoms ended nearest to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

from losiko_torch.report.names import References, environment_keys, nearest_references

if TYPE_CHECKING:
    import pyarrow as pa

#: Number of structures of the database that are named.
MOST_USED = 20


@dataclass(frozen=True)
class Use:
    """Use of one structure of the database.

    Attributes:
        structure: Number of the structure in the database.
        name: Name of the structure.
        atoms: Number of atoms that ended nearest to one of its environments.
        elements: Numbers of such atoms by element's symbol, largest first; empty if not known.
    """

    structure: int
    name: str
    atoms: int
    elements: dict[str, int]


@dataclass(frozen=True)
class Usage:
    """Use of a database by a run.

    Attributes:
        atoms: Number of atoms that have a nearest reference.
        structures: Number of the database's structures that are nearest to an atom.
        environments: Number of the database's environments that are nearest to an atom.
        available: Numbers of structures and environments in the database. None means not known.
        most: The most used structures, most used first.
        note: Reason why structures have no names; empty if they have.
    """

    atoms: int
    structures: int
    environments: int
    available: tuple[int, int] | None
    most: list[Use]
    note: str

    @property
    def line(self) -> str:
        """The numbers as a sentence."""
        known = ("", "") if self.available is None else tuple(f" of {n:,}" for n in self.available)
        return (
            f"{self.atoms:,} atoms are nearest to {self.environments:,}{known[1]} environments, "
            f"which are of {self.structures:,}{known[0]} structures."
        )


def usage(table: pa.Table, references: References, most: int = MOST_USED) -> Usage:
    """Count the references that the atoms of a run ended nearest to.

    Args:
        table: Table of the run, see ``losiko_torch.io.table``.
        references: Environments of the run's database.
        most: Number of structures that are named.
    """
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
