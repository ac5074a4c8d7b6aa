"""``losiko info``: contents of a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from ase.data import chemical_symbols
from rich.table import Table
from rich.text import Text

from losiko_torch.cli.console import facts_table, stdout
from losiko_torch.cli.inputs import DatabaseFile, open_database
from losiko_torch.cli.learned_facts import learned_facts
from losiko_torch.cli.tables import structure_table
from losiko_torch.database.builtin import (
    builtin_metadata,
    builtin_name,
    builtin_names,
    cache_file,
)
from losiko_torch.database.components import compact
from losiko_torch.database.curate.provenance import CURATION, MADE_FROM
from losiko_torch.database.element import Environments
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.database.on_demand import EnvironmentsOnDemand
from losiko_torch.database.record import TITLES
from losiko_torch.descriptors.interface import species_of, summary_of
from losiko_torch.errors import InputError

File = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DB.losiko]",
        show_default=False,
        help="A file, or the name of a built-in database; without one, that which is the default.",
    ),
]


def info(database: File = None, option: DatabaseFile = None) -> None:
    """Show what a database holds: its origin, level of theory, licence, environments, descriptor,
    learned targets.

    Example: [bold]losiko info[/bold], which lists the built-in databases too

    Example: [bold]losiko info organic.losiko[/bold]
    """
    if database is not None and option is not None:
        raise InputError("a database is named twice: give DB.losiko or -d DB.losiko")
    database = option if database is None else database
    builtin = builtin_name(database)
    if builtin is None:
        assert database is not None
        describe(EnvironmentDatabase.look(database), str(database), database)
        return
    describe(open_database(Path(builtin)), f"built-in database '{builtin}'", cache_file(builtin))
    if database is None:
        stdout().print(_builtin_ones())


def describe(database: EnvironmentDatabase, name: str, file: Path) -> None:
    """Print the facts of a database and a table of its elements.

    Args:
        database: The database.
        name: Name to print.
        file: File of the database, whose size is printed if it exists.
    """
    facts = facts_table(_facts(database))
    if file.exists():
        facts.add_row("file size", _size(file.stat().st_size))
    out = stdout()
    out.print(Text(name, style="bold"))
    out.print(facts)
    out.print(_elements(database))


def _builtin_ones() -> Table:
    """Return the built-in databases, by the name that ``-d`` takes."""
    columns = dict.fromkeys(("name", "holds", "level of theory", "limits"), "left")
    table = structure_table("built in", columns)
    for name in builtin_names():
        metadata = builtin_metadata(name=name)
        told = ("title", "level_of_theory", "limits")
        table.add_row(name, *(str(metadata.get(each, "")) for each in told))
    return table


def _facts(database: EnvironmentDatabase) -> Iterator[tuple[str, str]]:
    metadata = database.metadata
    for key, title in TITLES.items():
        yield title, _shown(metadata.get(key)) or "not given"
    for key, value in metadata.items():
        if key not in TITLES:
            yield from _rows(key, value)
    yield "structures", f"{len(database.structures):,}"
    yield "geometries", "not kept" if database.geometries is None else "kept"
    yield "environments", f"{len(database):,}"
    weights = [part.weight for part in database.environments.values() if part.weight is not None]
    if weights:
        different = torch.cat([weight[weight != 1] for weight in weights])
        yield (
            "weights",
            f"{len(different):,} environments weigh {different.min():g} to {different.max():g}, "
            f"the others 1",
        )
    yield "descriptor", summary_of(database.descriptor)
    known = species_of(database.descriptor)
    species = "any element" if known is None else " ".join(chemical_symbols[z] for z in known)
    yield "", f"{database.n_features:,} features of {species}"
    yield from learned_facts(database)


def _elements(database: EnvironmentDatabase) -> Table:
    names = {"element": "left", "environments": "right", "structures": "right"}
    names |= {"components": "right", "length kept": "right", "numbers": "left", "search": "left"}
    table = structure_table("", names)
    for number, part in database.environments.items():
        table.add_row(
            chemical_symbols[number],
            f"{len(part):,}",
            f"{len(part.structure.unique()):,}",
            *_described(part),
        )
    return table


def _described(part: Environments) -> tuple[str, ...]:
    """Return the cells about the descriptors of an element's references."""
    if isinstance(part, EnvironmentsOnDemand) and not part.is_described:
        return "-", "-", "-", "described on demand"
    return (
        f"{part.vectors.shape[1]:,}",
        f"{part.length_kept:.4%}",
        "float16" if compact(part.vectors, len(part)).dtype == torch.float16 else "float32",
        _search(part),
    )


def _rows(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Rows of an entry of the metadata: one, or one for each source and step of curation."""
    entries = value if key in (MADE_FROM, CURATION) and isinstance(value, list) else [value]
    for number, entry in enumerate(entries):
        yield "" if number else key.replace("_", " "), _shown(entry)


def _search(part: Environments) -> str:
    if part.probed is None or part.centroids is None:
        return "all references"
    return f"{part.probed:,} of {len(part.centroids):,} lists"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_shown(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return f"{value:,}" if type(value) is int else str(value)


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
