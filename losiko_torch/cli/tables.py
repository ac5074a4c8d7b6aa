"""Tables and lists of failures that the commands print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms
from rich.table import Table
from rich.text import Text

from losiko_torch.cli.console import new_table, stdout
from losiko_torch.report.failures import Failures, grouped, left_out
from losiko_torch.report.wording import plural

#: Most rows of a table that shows all structures; of more structures only the worst are shown.
ROWS = 20
#: Groups that a list of failures shows.
REASONS = 10


def as_loss(value: float) -> str:
    """Return a loss or a distance as text, "-" if it is not finite."""
    return f"{value:.2e}" if np.isfinite(value) else "-"


def worst_atom(atoms: Atoms, distances: np.ndarray) -> str:
    """Return the atom that adds most to the loss, as element and index: "C12".

    Args:
        atoms: The structure.
        distances: What each atom adds to the loss, shape (n,).
    """
    if len(distances) == 0 or not np.isfinite(distances).all():
        return "-"
    worst = int(np.argmax(distances))
    return f"{atoms.symbols[worst]}{worst}"


def largest(distances: np.ndarray) -> float:
    """Return the largest of the values (n,), NaN without any."""
    return float(distances.max()) if len(distances) else np.nan


def chosen_rows(keys: Sequence[tuple[float, ...]], limit: int | None) -> tuple[list[int], str]:
    """Return the rows to show and a title: all in order if they are few, else the worst.

    Args:
        keys: A key of each row; the largest is the worst.
        limit: Number of rows to show. None means all if they are few.
    """
    total = len(keys)
    if limit is None and total <= ROWS:
        return list(range(total)), ""
    worst = sorted(range(total), key=lambda k: keys[k], reverse=True)[: limit or ROWS]
    return worst, worst_first(len(worst), total)


def worst_first(shown: int, total: int) -> str:
    """Return the title of a table that shows only the worst of all structures."""
    return f"{shown:,} of {plural(total, 'structure')}, the worst first"


def print_failures(failures: Iterable[tuple[str, str]], what: str) -> None:
    """Print pairs of source and reason, grouped by reason.

    Args:
        failures: The pairs.
        what: What happened to the structures, such as "failed".
    """
    print_groups(grouped(failures), what)


def print_groups(groups: list[Failures], what: str, style: str = "red") -> None:
    """Print groups of failures, the first ``REASONS`` of them one by one."""
    if not groups:
        return
    out = stdout()
    total = sum(group.count for group in groups)
    out.print(Text(f"{plural(total, 'structure')} {what}:", style=style))
    for group in groups[:REASONS]:
        out.print(Text(f"  {group.line}"))
    rest = left_out(groups, REASONS)
    if rest:
        out.print(Text(f"  {rest}"))


def structure_table(title: str, names: dict[str, str]) -> Table:
    """Return an empty table.

    Args:
        title: Its title, or "".
        names: Names of its columns, and of each its kind: "left", "right", or "fold", which is
            left and wrapped if need be.
    """
    table = new_table(title or None)
    for name, kind in names.items():
        if kind == "fold":
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right" if kind == "right" else "left", no_wrap=True)
    return table
