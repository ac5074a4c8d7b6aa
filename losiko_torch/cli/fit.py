"""``losiko fit``: fit learned targets to the structures that a database keeps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from losiko_torch.checks import positive
from losiko_torch.cli.console import facts_table, note, stdout, steps_progress
from losiko_torch.cli.inputs import Force, open_database
from losiko_torch.cli.learned_facts import learned_facts
from losiko_torch.cli.settings_options import takes
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import check_output
from losiko_torch.learned.fit import MOST_STEPS, STEPS
from losiko_torch.loss.settings import LossSettings
from losiko_torch.options import HOW, WHAT

Database = Annotated[
    Path,
    typer.Argument(
        metavar="DB.losiko", show_default=False, help="Database of 'losiko build' or 'curate'."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT.losiko",
        show_default="DB.losiko itself",
        help="The database to write, with learned targets.",
        rich_help_panel=WHAT,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        metavar="M",
        show_default="as many steps as the structures call for",
        help="Time for the fit, turned into steps by the speed of the first ones.",
        rich_help_panel=HOW,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        show_default=f"{STEPS} times the root of the structures, at most {MOST_STEPS:,}",
        help="Steps of the fit, in place of --minutes.",
        rich_help_panel=HOW,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0, metavar="S", help="Seed: the same gives the same targets.", rich_help_panel=HOW
    ),
]
Start = Annotated[
    Path | None,
    typer.Option(
        metavar="OTHER.losiko",
        show_default="random networks",
        help="Database whose learned targets are adapted, so that few structures suffice; may be "
        "the name of a built-in one.",
        rich_help_panel=HOW,
    ),
]


@takes(LossSettings, ("device",))
def fit(
    settings: dict[str, Any],
    database: Database,
    output: Output = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    start: Start = None,
    force: Force = False,
) -> None:
    """Fit learned targets, by which 'losiko relax' then moves atoms, to a database's structures.

    Small networks learn the pull that leads perturbed copies of the structures back. Only their
    geometries are used, no energies. Some structures are held out: they tell how good the fit is,
    and what error to expect of a relaxed structure.

    Without -o the database is replaced by itself with learned targets, once all is done. What is
    done of the fit lies in OUT.losiko.fit until then: after an interruption, even a kill, the same
    command goes on from there.

    Example: [bold]losiko fit crystals.losiko --minutes 20[/bold]

    Example: [bold]losiko fit mine.losiko --start large.losiko -o adapted.losiko[/bold]
    """
    check_minutes(minutes)
    if minutes is not None and steps is not None:
        raise InputError("--minutes and --steps both say how long to fit: give one")
    target = _checked_target(database, output, start, force)
    opened = EnvironmentDatabase.load(database, settings.get("device") or "cpu")
    begun = None if start is None else open_database(start)
    if begun is not None and begun.learned is None:
        raise InputError(f"{start}: carries no learned targets to start with: fit it first")
    made = fitted(opened, target, minutes, steps, seed, begun)
    made.save(target, overwrite=force or output is None)
    remove_unfinished(target)
    out = stdout()
    out.print(facts_table(learned_facts(made)))
    out.print(Text(f"written to {target}"))


def check_minutes(minutes: float | None) -> None:
    """Raise ``InputError`` for a time that is none, before anything is read."""
    if minutes is not None:
        positive("--minutes", minutes)


def fitted(
    database: EnvironmentDatabase,
    output: Path,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    start: EnvironmentDatabase | None = None,
) -> EnvironmentDatabase:
    """Return a database with learned targets; what is done lies beside its file ``output``.

    The other arguments are those of ``EnvironmentDatabase.fit``.
    """
    unfinished = unfinished_of(output)
    going_on = unfinished.exists()
    with steps_progress("fitting") as show:

        def told(done: int, total: int, error: float) -> None:
            nonlocal going_on
            if going_on:  # by now it is known to belong to this fit
                note(f"going on with what {unfinished} holds")
                going_on = False
            show(done, total, f"fitting, error held out {error:.3g}")

        return database.fit(
            seed, steps=steps, minutes=minutes, start=start, checkpoint=unfinished, progress=told
        )


def unfinished_of(output: Path) -> Path:
    """Return the file of what is done of a fit, beside the database that it is for."""
    return output.with_name(f"{output.name}.fit")


def remove_unfinished(output: Path) -> None:
    """Remove what is done of a fit, once the database is written."""
    unfinished_of(output).unlink(missing_ok=True)


def _checked_target(database: Path, output: Path | None, start: Path | None, force: bool) -> Path:
    """Return the file to write, or raise ``InputError`` if it cannot be."""
    if not database.is_file():
        raise InputError(f"{database}: no such database")
    others = [] if start is None else [start]
    if output is None:
        in_place = [each for each in others if not _same(each, database)]
        check_output(database, in_place, overwrite=True)
        return database
    if _same(output, database):
        raise InputError(f"{output}: is the database itself: leave out -o to replace it")
    check_output(output, [database, *others], force)
    return output


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and os.path.samefile(one, other)
