"""``losiko curate``: unite databases, and leave out what is unwanted or there twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from losiko_torch.checks import positive
from losiko_torch.cli.build import NOTES, Output
from losiko_torch.cli.console import progress
from losiko_torch.cli.info import describe
from losiko_torch.cli.inputs import Force, open_database
from losiko_torch.database.components import COMPONENTS
from losiko_torch.database.curate import select as curation
from losiko_torch.database.curate.union import united
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import check_output
from losiko_torch.io.filters import parse_record_filter
from losiko_torch.options import WHAT

STEPS = "Steps, in this order"

Databases = Annotated[
    list[Path],
    typer.Argument(
        metavar="DB.losiko...",
        show_default=False,
        help="Databases of 'losiko build', or names of built-in ones, of one descriptor; "
        "several are united. Their elements may differ.",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILTER",
        show_default=False,
        help='Keep only structures whose record says so: "e_above_hull<0.2", "formula==SiO2". May '
        "be repeated; all must hold.",
        rich_help_panel=STEPS,
    ),
]
Minus = Annotated[
    Path | None,
    typer.Option(
        metavar="OTHER.losiko",
        show_default=False,
        help="Leave out what this database knows; needs --within.",
        rich_help_panel=STEPS,
    ),
]
Within = Annotated[
    float | None,
    typer.Option(
        metavar="D",
        show_default=False,
        help="With --minus: leave out environments with one of the other database nearer than D.",
        rich_help_panel=STEPS,
    ),
]
Thin = Annotated[
    float | None,
    typer.Option(
        metavar="D",
        show_default=False,
        help="Of environments nearer to each other than D keep the first.",
        rich_help_panel=STEPS,
    ),
]
PerElement = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        show_default=False,
        help="Keep N environments of each element, spread as widely as they can.",
        rich_help_panel=STEPS,
    ),
]
Components = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Principal components kept of an element's references where databases are united.",
        rich_help_panel=WHAT,
    ),
]
Title = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        show_default="those of the databases",
        help="Title of the new database.",
        rich_help_panel=NOTES,
    ),
]


def curate(
    databases: Databases,
    output: Output,
    where: Where = None,
    minus: Minus = None,
    within: Within = None,
    thin: Thin = None,
    per_element: PerElement = None,
    components: Components = COMPONENTS,
    force: Force = False,
    title: Title = None,
) -> None:
    """Make a database from others: unite them, choose among their structures, leave out what
    another one knows, thin out near-duplicates, sample evenly.

    Nothing is described anew. D is a separation |p - z| of unit descriptors, from 0 (the same
    surroundings) to about 1.4. What was united and what each step left is kept in the database,
    with the licences of all sources, and shown by 'losiko info'.

    Example: [bold]losiko curate qm9.losiko mine.losiko -o both.losiko --thin 0.05[/bold]

    Example: [bold]losiko curate carbon.losiko -o sp3.losiko --minus graphite.losiko --within
    0.3[/bold]

    Example: [bold]losiko curate big.losiko -o small.losiko --where "e_above_hull<0.05"
    --per-element 10000[/bold]
    """
    _check(databases, where, minus, within, thin, per_element)
    check_output(output, databases if minus is None else [*databases, minus], force)
    if len(databases) > 1:
        made = united([_named(path) for path in databases], components)
    else:
        made = open_database(databases[0])
    if where:
        made = curation.chosen(made, where)
    if minus is not None and within is not None:
        with progress("comparing", len(made)) as done:
            made = curation.minus(made, _named(minus), within, done)
    if thin is not None:
        with progress("thinning", len(made)) as done:
            made = curation.thinned(made, thin, done)
    if per_element is not None:
        wanted = sum(min(len(part), per_element) for part in made.environments.values())
        with progress("sampling", wanted) as done:
            made = curation.farthest(made, per_element, done)
    if title is not None:
        made = replace(made, metadata={**made.metadata, "title": title})
    made = curation.trimmed(made)
    made.save(output, overwrite=force)
    describe(made, str(output), output)


def _named(path: Path) -> EnvironmentDatabase:
    """Load a database, with the name of its file for a title if it has none."""
    database = open_database(path)
    title = database.metadata.get("title") or path.name
    return replace(database, metadata={**database.metadata, "title": title})


def _check(
    databases: list[Path],
    where: list[str] | None,
    minus: Path | None,
    within: float | None,
    thin: float | None,
    per_element: int | None,
) -> None:
    """Raise ``InputError`` for options that make no sense together, before anything is read."""
    if len(databases) == 1 and not where and minus is thin is per_element is within is None:
        raise InputError(
            "nothing to do with one database: give others to unite it with, or --where, --minus, "
            "--thin or --per-element"
        )
    if (minus is None) != (within is None):
        raise InputError("--minus OTHER.losiko and --within D belong together: give both")
    for option, separation in (("--within", within), ("--thin", thin)):
        if separation is not None:
            positive(option, separation)
    for text in where or []:
        parse_record_filter(text)
