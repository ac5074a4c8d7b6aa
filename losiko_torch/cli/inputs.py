"""Structures and databases that the commands work on, and the options that name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from ase import Atoms

from losiko_torch.cli.console import progress
from losiko_torch.cli.pipe import read_pipe
from losiko_torch.database.builtin import builtin_database, builtin_name
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.io.read import split_source
from losiko_torch.io.stream import check_sources, one_after_the_other
from losiko_torch.options import HOW, WHAT
from losiko_torch.systems.names import DRAWN

#: What the argument for structures says of itself.
STRUCTURES_HELP = (
    "Files that ASE reads, SDF, SMILES (.smi), pymatgen's JSON, or QM9-style npz, folders of them, "
    "- for a pipe; frames by a slice: file@:100, file@-1."
)
Structures = Annotated[
    list[str],
    typer.Argument(
        metavar="STRUCTURES", show_default=False, help=STRUCTURES_HELP, callback=read_pipe
    ),
]
DatabaseFile = Annotated[
    Path | None,
    typer.Option(
        "--database",
        "-d",
        metavar="DB.losiko",
        show_default="'organic', which is built in",
        help="References, from 'losiko build', or the name of a built-in database.",
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
            atoms.info.pop(DRAWN, None)
            structures.append(atoms)
            done(1)
    return structures


def input_files(sources: Iterable[str], database: Path | None = None) -> list[Path]:
    """Return the files themselves, without slices: an output must never replace one of them."""
    files = [split_source(source)[0] for source in sources]
    return files if database is None else [*files, database]


def open_database(path: Path | None, weights: str | None = None) -> EnvironmentDatabase:
    """Open a database, weighted by a key of its structures' records.

    None is the built-in one, and a name that is no file may be one of those.
    """
    builtin = builtin_name(path)
    if builtin is None:
        assert path is not None
        opened = EnvironmentDatabase.load(path)
    else:
        opened = builtin_database(builtin)
    return opened if weights is None else opened.weighted(weights)


def name_of(path: Path | None) -> str:
    """Return the name of a database in messages."""
    builtin = builtin_name(path)
    if builtin is None:
        return str(path)
    return "the built-in database" if path is None else f"the built-in database '{builtin}'"
