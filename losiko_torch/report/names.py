"""Names of the references that the atoms of a run ended nearest to, from the run's database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols

from losiko_torch.database.builtin import builtin_database, builtin_name
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import InputError
from losiko_torch.systems.names import known_as, numbered
from losiko_torch.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class References:
    """Environments of a database, by structure and atom.

    Attributes:
        records: Records of the database's structures. None means that they are not known.
        keys: Keys of the environments, see ``environment_keys``, rising, shape (N,).
        numbers: Atomic numbers of the environments, shape (N,).
        note: Reason why there are no records.
    """

    records: list[dict[str, Any]] | None
    keys: np.ndarray
    numbers: np.ndarray
    note: str = ""

    @classmethod
    def unknown(cls, note: str) -> References:
        """Return references without names, for the reason in ``note``."""
        return cls(None, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), note)

    @classmethod
    def of(cls, database: EnvironmentDatabase) -> References:
        """Return the references of a database."""
        parts = [
            (environment_keys(part.structure.cpu().numpy(), part.atom.cpu().numpy()), number)
            for number, part in database.environments.items()
        ]
        keys = np.concatenate([keys for keys, _ in parts])
        numbers = np.concatenate([np.full(len(keys), number) for keys, number in parts])
        order = np.argsort(keys)
        return cls(database.structures, keys[order], numbers[order])

    def elements(self, structure: np.ndarray, atom: np.ndarray) -> np.ndarray:
        """Return atomic numbers of environments, shape (n,), 0 where there is no such environment.

        Args:
            structure: Numbers of the database's structures, shape (n,).
            atom: Indices of the atoms in them, shape (n,).
        """
        wanted = environment_keys(structure, atom)
        if not len(self.keys):
            return np.zeros(len(wanted), dtype=np.int64)
        places = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        return np.where(self.keys[places] == wanted, self.numbers[places], 0)

    def name(self, structure: int) -> str:
        """Return the name of a structure, "CCO (C2H6O)", or its number."""
        if self.records is None:
            return numbered(structure)
        record = self.records[structure]
        return known_as(record, record["formula"], structure)

    def environments(self, structure: np.ndarray, atom: np.ndarray) -> list[str]:
        """Return names of n environments, "C1 of CCO (C2H6O)", "none" for negative structures.

        Args:
            structure: Numbers of the database's structures, shape (n,).
            atom: Indices of the atoms in them, shape (n,).
        """
        numbers = self.elements(structure, atom)
        symbols = [chemical_symbols[number] if number else "atom " for number in numbers]
        return [
            f"{symbol}{k} of {self.name(int(place))}" if place >= 0 else "none"
            for symbol, k, place in zip(symbols, atom, structure, strict=True)
        ]


def nearest_references(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return structures and atoms of the nearest references of all atoms of a run, shapes (n,).

    Atoms without a nearest reference are left out.

    Args:
        table: Table of the run, see ``losiko_torch.io.table``.
    """
    structure, atom = (
        table[name].combine_chunks().flatten().to_numpy().astype(np.int64)
        for name in ("nearest_structure", "nearest_atom")
    )
    return structure[structure >= 0], atom[structure >= 0]


def references_of(record: dict[str, Any], table: pa.Table) -> References:
    """Return the references of the database that a run was made with.

    If the database is missing, unreadable or another one by now, the references have no names.

    Args:
        record: The run's record. Its "database" is a path; None means the built-in database.
        table: The run's table.
    """
    path = record["database"]
    builtin = builtin_name(path)
    if builtin is not None and record["version"] != __version__:
        return References.unknown(
            f"the run was made by losiko {record['version']}, whose built-in database may have "
            f"been another than that of {__version__}"
        )
    try:
        database = EnvironmentDatabase.look(path) if builtin is None else builtin_database(builtin)
    except InputError as error:
        return References.unknown(str(error))
    found = References.of(database)
    structure, atom = nearest_references(table)
    if (found.elements(structure, atom) == 0).any():
        name = "the built-in database" if path is None else path
        return References.unknown(f"{name} is no longer the database that the run was made with")
    return found


def environment_keys(structure: np.ndarray, atom: np.ndarray) -> np.ndarray:
    """Return structure and atom of n environments in one number each, shape (n,)."""
    return (structure.astype(np.int64) << 32) + atom
