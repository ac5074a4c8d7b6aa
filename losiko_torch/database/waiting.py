"""A bar for what takes a while where a terminal shows it, else a message."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextmanager
def waiting(what: str, count: int) -> Iterator[Callable[[int], None]]:
    """Show that ``what`` is under way; yield a function to call with the counts that are done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        # As a warning: without a handler Python prints those, and nothing below.
        logging.getLogger(__name__).warning(what)
        yield lambda done: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=count)
        yield lambda done: bar.advance(task, done)
