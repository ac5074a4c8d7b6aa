"""What the commands print with: results to stdout, everything else to stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

#: Columns of a "terminal" that is a file or a pipe: wide enough that nothing is wrapped.
WIDE = 1000


def stdout() -> Console:
    """For results; as wide as they are where no one looks at a terminal."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDE
    return console


def stderr() -> Console:
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def error(text: str) -> None:
    """One sentence on stderr."""
    stderr().print(Text.assemble("losiko: ", ("error: ", "bold red"), text))


def warning(text: str) -> None:
    stderr().print(Text.assemble("losiko: ", ("warning: ", "yellow"), text))


def note(text: str) -> None:
    stderr().print(Text(f"losiko: {text}"))


def new_table(title: str | None = None) -> Table:
    """A table that reads well on a terminal and in a file."""
    return Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=title,
        title_justify="left",
        title_style="bold",
    )


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr for as long as the work lasts; nothing where stderr is no terminal.

    Yields the function to be called with the number of structures just done.
    """
    console = stderr()
    known = [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    unknown = [TextColumn("{task.completed:,.0f} structures"), TimeElapsedColumn()]
    columns = [SpinnerColumn(), TextColumn("{task.description}")]
    with Progress(
        *columns,
        *(unknown if total is None else known),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
