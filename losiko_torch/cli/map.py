"""``losiko map``: draw where the atoms of structures lie among the references of a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.text import Text

from losiko_torch.cli.console import progress, stdout
from losiko_torch.cli.inputs import (
    STRUCTURES_HELP,
    DatabaseFile,
    Force,
    NoPbc,
    input_files,
    name_of,
    open_database,
    read_inputs,
)
from losiko_torch.cli.pipe import read_pipe
from losiko_torch.cli.settings_options import takes
from losiko_torch.cli.tables import print_failures
from losiko_torch.io.atomic import check_output
from losiko_torch.loss.settings import LossSettings
from losiko_torch.options import WHAT
from losiko_torch.report.environment_map import EnvironmentMap, environment_map
from losiko_torch.report.map_page import writer_for
from losiko_torch.report.wording import plural
from losiko_torch.systems.names import title_of

Structures = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STRUCTURES",
        show_default=False,
        help=f"{STRUCTURES_HELP} Without any the database alone is drawn.",
        callback=read_pipe,
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="MAP.html|MAP.png",
        show_default=False,
        help="A page to explore (needs plotly: pip install 'losiko-torch\\[map]'), or a picture.",
        rich_help_panel=WHAT,
    ),
]


@takes(LossSettings, ("device", "dtype"))
def map_(
    settings: dict[str, Any],
    output: Output,
    structures: Structures = None,
    database: DatabaseFile = None,
    force: Force = False,
    no_pbc: NoPbc = False,
) -> int:
    """Draw where the atoms of structures lie among the references of a database.

    For each element the references (grey) and the structures' atoms, coloured by the separation
    |p - z| from the nearest reference, in the plane in which the references vary most. In the
    page, pointing at an atom shows its name and that of what it resembles; a click shows its
    structure in three dimensions, and an atom there its point. Structures that cannot be described
    are left out and listed, and make the exit status 1.

    Example: [bold]losiko map guesses.xyz -o map.html[/bold]
    """
    sources = structures or []
    write = writer_for(output)
    check_output(output, input_files(sources, database), force)
    inputs = read_inputs(sources, no_pbc)
    references = open_database(database)
    with progress("mapping", len(inputs)) as done:
        drawn = environment_map(inputs, references, progress=done, **settings)
    name = name_of(database) if database is None else database.name
    mapped = plural(len(inputs) - len(drawn.failures), "structure")
    where = f"the environments of {name}"
    title = f"{mapped} among {where}" if inputs else f"{where[0].upper()}{where[1:]}"
    write(drawn, output, overwrite=force, title=title)
    failures = [(title_of(inputs[k], k), why) for k, why in drawn.failures.items()]
    print_failures(failures, "left out")
    _print_summary(drawn, name_of(database))
    stdout().print(Text(f"written to {output}"))
    return 1 if failures else 0


def _print_summary(drawn: EnvironmentMap, name: str) -> None:
    n_references = sum(len(element.references.xy) for element in drawn.elements)
    symbols = " ".join(element.symbol for element in drawn.elements)
    line = f"{n_references:,} environments of {symbols} from {name}"
    separations = np.concatenate([element.separation for element in drawn.elements])
    if drawn.structures:
        placed = len(drawn.structures) - len(drawn.failures)
        line = f"{placed:,} of {plural(len(drawn.structures), 'structure')} among {line}"
    if len(separations):
        line += (
            f": an atom's separation |p - z| {np.median(separations):.2e} (median), "
            f"{separations.max():.2e} at most"
        )
    stdout().print(Text(line, style="bold"))
