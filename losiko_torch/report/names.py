"""The database of a run, to name the references that its atoms ended nearest to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols

from losiko_torch.database.builtin import default_database
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import InputError
from losiko_torch.systems.names import known_as, numbered
from losiko_torch.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class References:
    """Environments by structure and atom.

    Attributes:
        records: What the database tells of its structures; None if it cannot be told.
        keys: Structure and atom of each environment in one number, rising, shape (N,).
        numbers: Atomic number of each, shape (N,).
        note: Why there are no records.
    """

    records: list[dict[str, Any]] | None
    keys: np.ndarray
    numbers: np.ndarray
    note: str = ""

    @classmethod
    def unknown(cls, note: str) -> References:
        return cls(None, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), note)

    @classmethod
    def of(cls, database: EnvironmentDatabase) -> References:
        parts = [
            (environment_keys(part.structure.cpu().numpy(), part.atom.cpu().numpy()), number)
            for number, part in database.environments.items()
        ]
        keys = np.concatenate([keys for keys, _ in parts])
        numbers = np.concatenate([np.full(len(keys), number) for keys, number in parts])
        order = np.argsort(keys)
        return cls(database.structures, keys[order], numbers[order])

    def elements(self, structure: np.ndarray, atom: np.ndarray) -> np.ndarray:
        """Atomic numbers of environments (n,); 0 for those that are not there."""
        wanted = environment_keys(structure, atom)
        if not len(self.keys):
            return np.zeros(len(wanted), dtype=np.int64)
        places = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        return np.where(self.keys[places] == wanted, self.numbers[places], 0)

    def name(self, structure: int) -> str:
        """What a structure is known by, "CCO (C2H6O)", or its number."""
        if self.records is None:
            return numbered(structure)
        record = self.records[structure]
        return known_as(record, record["formula"], structure)

    def environments(self, structure: np.ndarray, atom: np.ndarray) -> list[str]:
        """What environments (n,) are known by, such as "C1 of CCO (C2H6O)"."""
        numbers = self.elements(structure, atom)
        symbols = [chemical_symbols[number] if number else "atom " for number in numbers]
        return [
            f"{symbol}{k} of {self.name(int(place))}" if place >= 0 else "none"
            for symbol, k, place in zip(symbols, atom, structure, strict=True)
        ]


def nearest_references(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Structure and atom (n,) of the nearest reference of every atom of a run that has one."""
    structure, atom = (
        table[name].combine_chunks().flatten().to_numpy().astype(np.int64)
        for name in ("nearest_structure", "nearest_atom")
    )
    return structure[structure >= 0], atom[structure >= 0]


def references_of(record: dict[str, Any], table: pa.Table) -> References:
    """The database that a run names, if it is there and holds what the run's table tells of.

    Args:
        record: The run's record; its "database" is a path, or None for the embedded one.
        table: Its table.
    """
    path = record["database"]
    if path is None and record["version"] != __version__:
        return References.unknown(
            f"the run was made by losiko {record['version']}, whose embedded database may have "
            f"been another than that of {__version__}"
        )
    try:
        database = default_database() if path is None else EnvironmentDatabase.look(path)
    except InputError as error:
        return References.unknown(str(error))
    found = References.of(database)
    structure, atom = nearest_references(table)
    if (found.elements(structure, atom) == 0).any():
        name = "the embedded database" if path is None else path
        return References.unknown(f"{name} is no longer the database that the run was made with")
    return found


def environment_keys(structure: np.ndarray, atom: np.ndarray) -> np.ndarray:
    """Structure and atom of environments in one number each, (n,)."""
    return (structure.astype(np.int64) << 32) + atom
