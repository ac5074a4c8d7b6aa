"""Provenance of a database in its metadata: its sources, and the steps of curation since.

``made_from`` lists the databases that were united, each with all its metadata and its counts at
that time, or the sets of structures that a database was built of. ``curation`` lists the steps
taken, in words, with the number of environments before and after. Entries that differ among the
sources (licences above all) are listed with their source.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch.database.record import AnyDatabase, DatabaseRecord
from losiko_torch.errors import InputError
from losiko_torch.learned.stored import LEARNED, PREFIX
from losiko_torch.systems.names import METADATA

MADE_FROM, CURATION = "made_from", "curation"
#: The step noted where targets had been fitted to the references of before.
DROPPED = "fitted targets dropped: fit again"
#: Title of structures that no facts are known of, among others.
OTHERS = "other structures"
#: Entries of the metadata that a united database combines from its sources.
SHARED = ("level_of_theory", "licence", "citation")


def check_whole(database: DatabaseRecord) -> None:
    """Raise ``InputError`` for a database restricted to some elements."""
    if any(part.products is not None for part in database.environments.values()):
        raise InputError("a restricted database cannot be curated: take the one it was made from")


def after(database: AnyDatabase, environments: dict[int, Any], step: str) -> AnyDatabase:
    """The database with the environments that a step left, and the step in its metadata.

    Learned targets, which belong to the structures, stay. Other targets, fitted to the references
    of before, are dropped, with a note.

    Raises:
        InputError: If no environment is left, or none with a weight.
    """
    if not any(len(part) for part in environments.values()):
        raise InputError(f"no environment is left in the database: {step}")
    if not any(part.usable for part in environments.values()):
        raise InputError(f"all environments that are left weigh 0: {step}")
    left = {
        z: replace(part, fitted=left_in(part.fitted))
        for z, part in environments.items()
        if len(part)
    }
    metadata = noted(database.metadata, f"{step}: {_counts(database.environments, left)}")
    kept = {name: each for name, each in database.fitted.items() if name == LEARNED}
    parts = database.environments.values()
    if len(kept) < len(database.fitted) or any(
        len(left_in(part.fitted)) < len(part.fitted) for part in parts
    ):
        metadata = noted(metadata, DROPPED)
    made = replace(database, environments=left, metadata=metadata, fitted=kept)
    return made.calibrated()


def left_in(fitted: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors of learned targets among all that were fitted to an element."""
    return {name: each for name, each in fitted.items() if name.startswith(PREFIX)}


def noted(metadata: dict[str, Any], entry: str) -> dict[str, Any]:
    """Metadata with one more step of curation."""
    return {**metadata, CURATION: [*_steps(metadata), entry]}


def name_in(database: DatabaseRecord, number: int) -> str:
    """Name of one of several databases, numbered from 0: its title, or else its number."""
    return str(database.metadata.get("title") or f"database {number + 1}")


def united_metadata(databases: Sequence[DatabaseRecord]) -> dict[str, Any]:
    """Metadata of a union: title, level of theory and licence of all, all sources, all steps."""
    names = [name_in(database, number) for number, database in enumerate(databases)]
    sources = [
        source
        for name, database in zip(names, databases, strict=True)
        for source in _sources(name, database)
    ]
    metadata = _of_all(names, sources)
    for name, database in zip(names, databases, strict=True):
        for step in _steps(database.metadata):
            metadata = noted(metadata, f"{name}: {step}")
    sizes = " + ".join(f"{len(database):,}" for database in databases)
    total = sum(map(len, databases))
    metadata = noted(
        metadata, f"{len(databases)} databases united: {sizes} = {total:,} environments"
    )
    fitted = any(database.is_fitted for database in databases)
    return noted(metadata, DROPPED) if fitted else metadata


def metadata_of(structures: Sequence[Atoms]) -> dict[str, Any]:
    """Metadata of the sets that structures are of, as their files keep it; {} if none does.

    That of one set is taken as it is. Several are combined as those of databases are.
    """
    sets = [atoms.info.get(METADATA) for atoms in structures]
    # Structures of one file may share one record.
    texts = {
        key: json.dumps(each, sort_keys=True, default=str)
        for key, each in {id(each): each for each in sets}.items()
    }
    counts = Counter(texts[id(each)] for each in sets)
    sources = {texts[id(each)]: each for each in sets if isinstance(each, dict) and each}
    if len(sources) < 2 and sum(counts[text] for text in sources) in (0, len(sets)):
        return dict(next(iter(sources.values()), {}))
    told = [
        {**each, "title": str(each.get("title") or f"set {number + 1}"), "structures": counts[text]}
        for number, (text, each) in enumerate(sources.items())
    ]
    others = len(sets) - sum(each["structures"] for each in told)
    if others:
        told.append({"title": OTHERS, "structures": others})
    return _of_all([each["title"] for each in told], told)


def _of_all(names: Sequence[str], sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Title, level of theory, licence and citation of all sources, and the sources themselves."""
    metadata: dict[str, Any] = {"title": " + ".join(dict.fromkeys(names))}
    for key in SHARED:
        if any(key in source for source in sources):
            metadata[key] = _together(key, sources)
    return {**metadata, MADE_FROM: sources}


def _sources(name: str, database: DatabaseRecord) -> list[dict[str, Any]]:
    """Sources of a database: those that it was united from, or itself."""
    told = database.metadata.get(MADE_FROM)
    if isinstance(told, list) and all(isinstance(each, dict) and "title" in each for each in told):
        return told
    own = {key: value for key, value in database.metadata.items() if key != CURATION}
    counts = {"structures": len(database.structures), "environments": len(database)}
    return [{**own, "title": name, **counts}]


def _together(key: str, sources: list[dict[str, Any]]) -> Any:
    """Value of an entry that all sources share, else each value with the title of its source."""
    told = [source.get(key) for source in sources]
    if all(value == told[0] for value in told):
        return told[0]
    entries = (
        f"{'not given' if value is None else value} ({source['title']})"
        for value, source in zip(told, sources, strict=True)
    )
    return "; ".join(dict.fromkeys(entries))


def _steps(metadata: dict[str, Any]) -> list[Any]:
    steps = metadata.get(CURATION, [])
    return steps if isinstance(steps, list) else [steps]


def _counts(before: dict[int, Any], left: dict[int, Any]) -> str:
    """Counts in words, as in "30 of 50 environments left (H 20 of 30, C 10 of 20)"."""
    each = ", ".join(
        f"{chemical_symbols[number]} {len(left.get(number, ())):,} of {len(part):,}"
        for number, part in before.items()
    )
    total, rest = sum(map(len, before.values())), sum(map(len, left.values()))
    return f"{rest:,} of {total:,} environments left ({each})"
