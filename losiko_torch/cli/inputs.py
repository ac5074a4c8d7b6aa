"""What the commands work on: structures and a database, and the options that name them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from ase import Atoms

from losiko_torch.cli.console import note, progress
from losiko_torch.database.builtin import cache_file, default_database
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.io.read import read_structures, split_source

WHAT, HOW, WHERE = "Input and output", "Method", "Computer"


def _positive(value: float | None) -> float | None:
    if value is not None and not value > 0:
        raise typer.BadParameter(f"{value} is not larger than 0.")
    return value


def parse_weights(text: str) -> dict[str, float]:
    """{"H": 0.5, "O": 2.0} from "H=0.5,O=2"."""
    weights: dict[str, float] = {}
    for entry in text.split(","):
        element, equals, number = (part.strip() for part in entry.partition("="))
        if not equals or not element:
            raise typer.BadParameter(f"'{entry.strip()}' is not of the form H=0.5.")
        if element in weights:
            raise typer.BadParameter(f"{element} is given twice.")
        try:
            weights[element] = float(number)
        except ValueError:
            raise typer.BadParameter(f"'{number}' is not a number.") from None
    return weights


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
        show_default="the embedded one: organic molecules of H, C, N, O, F, S, Cl",
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
Targets = Annotated[
    str,
    typer.Option(
        metavar="nearest|locally-linear",
        help="What an atom is compared with: its nearest reference, or the best combination of "
        "the nearest ones.",
        rich_help_panel=HOW,
    ),
]
Neighbors = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        show_default="64; 32 for crystals",
        help="References in a combination (locally-linear).",
        rich_help_panel=HOW,
    ),
]
Reg = Annotated[
    float | None,
    typer.Option(
        callback=_positive,
        metavar="X",
        show_default="1e-3; 0.3 for crystals",
        help="Ridge on the weights of a combination (locally-linear).",
        rich_help_panel=HOW,
    ),
]
Degree = Annotated[
    float,
    typer.Option(
        callback=_positive,
        metavar="D",
        show_default="1, the squared distance",
        help="Exponent of the similarity kernel; a larger one sees smaller differences.",
        rich_help_panel=HOW,
    ),
]
Weights = Annotated[
    dict | None,
    typer.Option(
        parser=parse_weights,
        metavar="H=0.5,O=2",
        show_default="1 each",
        help="Weight of each element's atoms in the loss.",
        rich_help_panel=HOW,
    ),
]
Fmax = Annotated[
    float | None,
    typer.Option(
        callback=_positive,
        metavar="F",
        show_default="0.02; 0.003 for crystals",
        help="Converged once the loss changes by less than this per Angstrom on every atom (1/A).",
        rich_help_panel=HOW,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        show_default="cpu",
        help="Where to compute: cpu, cuda, cuda:1.",
        rich_help_panel=WHERE,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        metavar="float32|float64", help="Floating-point numbers used.", rich_help_panel=WHERE
    ),
]
BatchAtoms = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        show_default="as many as memory allows",
        help="Atoms worked on at once.",
        rich_help_panel=WHERE,
    ),
]


def read_inputs(sources: Iterable[str], no_pbc: bool = False) -> list[Atoms]:
    """All structures of the files, in order; with ``no_pbc`` none is periodic."""
    structures = []
    for source in sources:
        with progress(f"reading {source}") as done:
            for atoms in read_structures(source):
                if no_pbc:
                    atoms.pbc = False
                structures.append(atoms)
                done(1)
    return structures


def input_files(sources: Iterable[str], database: Path | None = None) -> list[Path]:
    """The files themselves, without slices: what an output must never replace."""
    files = [split_source(source)[0] for source in sources]
    return files if database is None else [*files, database]


def open_database(path: Path | None, weights: str | None = None) -> EnvironmentDatabase:
    """A database file, or the embedded database; weighted by a key of its structures' records."""
    if path is None and not cache_file().exists():
        note("first use of the embedded database: computing its descriptors, about a minute")
    opened = default_database() if path is None else EnvironmentDatabase.load(path)
    return opened if weights is None else opened.weighted(weights)


def name_of(path: Path | None) -> str:
    """How a database is called in what is printed."""
    return "the embedded database" if path is None else str(path)
