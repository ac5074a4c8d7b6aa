"""Tables and summaries shared by the commands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from rich.table import Table
from rich.text import Text

from losiko_torch.cli.console import new_table, stdout
from losiko_torch.systems.names import SOURCE

#: Rows of a table before only the worst are shown.
ROWS = 20
#: Distinct reasons, and structures for each, that a list of failures shows.
REASONS, EXAMPLES = 10, 5


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def source_of(atoms: Atoms, number: int) -> str:
    return str(atoms.info.get(SOURCE, f"structure {number}"))


def formula_of(atoms: Atoms) -> str:
    return atoms.get_chemical_formula() or "(no atoms)"


def as_loss(value: float) -> str:
    return f"{value:.2e}" if np.isfinite(value) else "-"


def worst_atom(atoms: Atoms, distances: np.ndarray) -> str:
    """The atom that adds most to the loss, as element and index: "C12"."""
    if len(distances) == 0 or not np.isfinite(distances).all():
        return "-"
    worst = int(np.argmax(distances))
    return f"{atoms.symbols[worst]}{worst}"


def largest(distances: np.ndarray) -> float:
    return float(distances.max()) if len(distances) else np.nan


def chosen_rows(keys: Sequence[tuple[float, ...]], limit: int | None) -> tuple[list[int], str]:
    """Rows to show, and a title: all in order if they are few, else the worst (largest keys)."""
    total = len(keys)
    if limit is None and total <= ROWS:
        return list(range(total)), ""
    worst = sorted(range(total), key=lambda k: keys[k], reverse=True)[: limit or ROWS]
    return worst, worst_first(len(worst), total)


def worst_first(shown: int, total: int) -> str:
    """Title of a table of some of all structures."""
    return f"{shown:,} of {plural(total, 'structure')}, the worst first"


def print_failures(failures: Sequence[tuple[str, str]], what: str) -> None:
    """Pairs of source and reason, grouped by reason."""
    if not failures:
        return
    groups: dict[str, list[str]] = {}
    for source, reason in failures:
        groups.setdefault(reason, []).append(source)
    out = stdout()
    out.print(Text(f"{plural(len(failures), 'structure')} {what}:", style="red"))
    for reason, sources in list(groups.items())[:REASONS]:
        more = "" if len(sources) <= EXAMPLES else f" and {len(sources) - EXAMPLES:,} more"
        out.print(Text(f"  {', '.join(sources[:EXAMPLES])}{more}: {reason}"))
    if len(groups) > REASONS:
        rest = sum(len(sources) for sources in list(groups.values())[REASONS:])
        out.print(Text(f"  and {rest:,} more for other reasons"))


def structure_table(title: str, names: dict[str, str]) -> Table:
    """A table with these columns, each "left", "right", or "fold": left and wrapped if need be."""
    table = new_table(title or None)
    for name, kind in names.items():
        if kind == "fold":
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right" if kind == "right" else "left", no_wrap=True)
    return table
