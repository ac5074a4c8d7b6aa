"""Printing by the commands: results to stdout, everything else to stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

#: Columns of an output that is a file or a pipe, enough that nothing is wrapped.
WIDE = 1000


#: Whether the standard output is taken by what a command writes, and results go to stderr.
_taken = False


@contextmanager
def stdout_taken(taken: bool) -> Iterator[None]:
    """Print results on stderr while the context lasts, if the standard output is ``taken``."""
    global _taken
    before, _taken = _taken, taken
    try:
        yield
    finally:
        _taken = before


def stdout() -> Console:
    """Return the console for results, on which nothing is wrapped unless it is a terminal."""
    if _taken:
        return _wide(stderr())
    return _wide(Console(highlight=False, markup=False, emoji=False, soft_wrap=True))


def _wide(console: Console) -> Console:
    """Return a console with nothing wrapped unless it is a terminal."""
    if not console.is_terminal:
        console.width = WIDE
    return console


def stderr() -> Console:
    """Return the console for everything but results."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def error(text: str) -> None:
    """Print an error on stderr."""
    stderr().print(Text.assemble("losiko: ", ("error: ", "bold red"), text))


def warning(text: str) -> None:
    """Print a warning on stderr."""
    stderr().print(Text.assemble("losiko: ", ("warning: ", "yellow"), text))


def note(text: str) -> None:
    """Print a remark on stderr."""
    stderr().print(Text(f"losiko: {text}"))


def new_table(title: str | None = None) -> Table:
    """Return an empty table, in a style that is legible on a terminal and in a file."""
    return Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=title,
        title_justify="left",
        title_style="bold",
    )


def facts_table(rows: Iterable[tuple[str, str]]) -> Table:
    """Return a table of titles and texts, without lines."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for title, text in rows:
        facts.add_row(title, Text(text))
    return facts


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr while the context lasts, unless stderr is no terminal.

    Yields a function that takes the number of structures just done.

    Args:
        what: Text beside the bar.
        total: Number of structures. None means unknown.
    """
    unknown = [TextColumn("{task.completed:,.0f} structures"), TimeElapsedColumn()]
    with _bar(unknown if total is None else _known()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def bytes_progress(what: str) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a bar of bytes on stderr while the context lasts, unless stderr is no terminal.

    Yields a function that takes the text beside the bar, the bytes done, and the bytes in all, None
    where they are unknown.

    Args:
        what: Text beside the bar until there is another.
    """
    with _bar([BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]) as bar:
        task, current = bar.add_task(what, total=None), what

        def tell(text: str, done: int, total: int | None) -> None:
            nonlocal current
            if text != current:
                bar.reset(task, total=total, description=text)
                current = text
            bar.update(task, completed=done, total=total)

        yield tell


@contextmanager
def steps_progress(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar of steps on stderr while the context lasts, unless stderr is no terminal.

    Yields a function that takes the steps done, the steps in all, and the text beside the bar.

    Args:
        what: Text beside the bar until the first step is done.
    """
    with _bar(_known()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total, text: bar.update(
            task, completed=done, total=total, description=text
        )


def _known() -> list[ProgressColumn]:
    """Columns behind the text of a bar whose end is known."""
    return [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]


def _bar(columns: Iterable[ProgressColumn]) -> Progress:
    console = stderr()
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
