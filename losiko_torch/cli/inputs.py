"""Structures and databases that the commands work on, and the options that name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from ase import Atoms

from losiko_torch.cli.console import note, progress
from losiko_torch.database.builtin import cache_file, default_database
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.io.read import split_source
from losiko_torch.io.stream import check_sources, one_after_the_other
from losiko_torch.options import HOW, WHAT

Structures = Annotated[
    list[str],
    typer.Argument(
        metavar="STRUCTURES",
        show_default=False,
        help="Files that ASE reads, or QM9-style npz; frames by a slice: file@:100, file@-1.",
    ),
]
DatabaseFile = Annotated[
    Path | None,
    typer.Option(
        "--database",
        "-d",
        metavar="DB.losiko",
        show_default="the built-in one: organic molecules of H, C, N, O, F, S, Cl",
        help="References, from 'losiko build'.",
        rich_help_panel=WHAT,
    ),
]
ReferenceWeights = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        show_default=False,
        help="Weigh references by this number in the info of their structures (1 without it): the "
        "larger, the further they attract; 0 leaves them out.",
        rich_help_panel=HOW,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", "-f", help="Overwrite the output; never an input.", rich_help_panel=WHAT
    ),
]
NoPbc = Annotated[
    bool,
    typer.Option(
        "--no-pbc",
        help="Take structures for molecules, whatever periodicity their files give them.",
        rich_help_panel=WHAT,
    ),
]


def read_inputs(sources: Sequence[str], no_pbc: bool = False) -> list[Atoms]:
    """Return all structures of the files, in order, unreadable ones among them.

    Args:
        sources: Files of structures.
        no_pbc: Whether to make all of them molecules.

    Raises:
        InputError: If nothing of a file can be read.
    """
    check_sources(sources)
    structures = []
    with progress("reading") as done:
        for atoms in one_after_the_other(sources, no_pbc):
            structures.append(atoms)
            done(1)
    return structures


def input_files(sources: Iterable[str], database: Path | None = None) -> list[Path]:
    """Return the files themselves, without slices: an output must never replace one of them."""
    files = [split_source(source)[0] for source in sources]
    return files if database is None else [*files, database]


def open_database(path: Path | None, weights: str | None = None) -> EnvironmentDatabase:
    """Open a database, the built-in one for None, weighted by a key of its structures' records."""
    if path is None and not cache_file().exists():
        note("first use of the built-in database: computing its descriptors, about a minute")
    opened = default_database() if path is None else EnvironmentDatabase.load(path)
    return opened if weights is None else opened.weighted(weights)


def name_of(path: Path | None) -> str:
    """Return the name of a database in messages."""
    return "the built-in database" if path is None else str(path)
