"""Printing of the results of ``losiko relax``: a table, counts, and the failures by reason.

Rows are taken in as results are written, and only those that the table shows are kept.
"""

from __future__ import annotations

from typing import Any

from rich.text import Text

from losiko_torch.cli import tables
from losiko_torch.cli.console import stdout
from losiko_torch.report.failures import Failures
from losiko_torch.report.summary import Counts, worst_first
from losiko_torch.report.wording import plural
from losiko_torch.results import FAILED, STOPPED
from losiko_torch.systems.names import titled

COLUMNS = {
    "structure": "fold",
    "formula": "fold",
    "result": "left",
    "steps": "right",
    "start\nloss": "right",
    "loss": "right",
    "largest\ndistance": "right",
    "worst\natom": "left",
}
#: Column that stands behind these where any structure shown has such a number.
EXPECTED = {"expected\nRMSD (A)": "right"}

#: Columns of ``losiko_torch.io.table`` that what is printed needs.
READ = (
    *("source", "name", "formula", "reason", "converged", "n_steps", "start_loss", "loss"),
    *("largest_distance", "worst_atom", "worst_element", "rmsd", "expected_rmsd"),
    *("reliable", "doubt"),
)


#: Columns of lengths in Angstrom that the summary has a line for, if there are any.
DEVIATIONS = {"rmsd": "RMSD to the references", "expected_rmsd": "expected RMSD"}


class Tally:
    """Counts of results, and the rows to show: all in order if they are few, else the worst."""

    def __init__(self) -> None:
        self._counts = Counts(("n_steps", "rmsd", "expected_rmsd"))
        self._shown: list[dict[str, Any]] = []

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Add rows of ``losiko_torch.io.result_rows``, or those columns of them in ``READ``."""
        self._counts.add(rows)
        self._shown += [{name: row.get(name) for name in READ} for row in rows]
        if self._counts.total > tables.ROWS:
            self._shown = [self._shown[k] for k in worst_first(self._shown)[: tables.ROWS]]

    @property
    def failures(self) -> list[Failures]:
        """Failures so far, by reason."""
        return self._counts.summary().failures

    @property
    def unreliable(self) -> int:
        """Number of structures that failed or are in doubt."""
        summary = self._counts.summary()
        return summary.total - summary.reliable

    def print_table(self) -> None:
        """Print a row for each structure shown."""
        shown, total = len(self._shown), self._counts.total
        title = "" if shown == total else tables.worst_first(shown, total)
        known = any(row["expected_rmsd"] is not None for row in self._shown)
        table = tables.structure_table(title, COLUMNS | (EXPECTED if known else {}))
        for row in self._shown:
            table.add_row(
                Text(titled(row["name"], row["source"])),
                row["formula"],
                _status(row),
                str(row["n_steps"]),
                *(_loss(row[name]) for name in ("start_loss", "loss", "largest_distance")),
                _worst_atom(row),
                *([_length(row["expected_rmsd"])] if known else []),
            )
        stdout().print(table)

    def print_summary(self, against: str, end: str) -> None:
        """Print the failures and the counts.

        Args:
            against: Name of the database, "against" included.
            end: End of the sentence, and behind a line break the files written.
        """
        summary = self._counts.summary()
        out = stdout()
        tables.print_groups(summary.failures, "failed, written unmoved")
        tables.print_groups(summary.doubts, "in doubt", style="yellow")
        steps = summary.spreads.get("n_steps")
        median = "" if steps is None else f"median {steps.median:.0f} steps, "
        line, _, written = end.partition("\n")
        out.print(
            Text(
                f"{summary.total - summary.failed:,} of {plural(summary.total, 'structure')} "
                f"relaxed {against}: {summary.line}; {median}{line}",
                style="bold",
            )
        )
        out.print(Text(f"{summary.reliable:,} of {summary.total:,} reliable"))
        for name, what in DEVIATIONS.items():
            found = summary.spreads.get(name)
            if found is not None:
                out.print(
                    Text(f"{what}: {found.mean:.3f} A on average, {found.largest:.3f} A at most")
                )
        out.print(Text(written))


def _worst_atom(row: dict[str, Any]) -> str:
    """The atom that is matched worst, as element and index: "C12"."""
    return "-" if row["worst_atom"] is None else f"{row['worst_element']}{row['worst_atom']}"


def _loss(value: float | None) -> str:
    return "-" if value is None else tables.as_loss(value)


def _length(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _status(row: dict[str, Any]) -> Text:
    if row["reason"].startswith(FAILED):
        return Text("failed", style="red")
    if row["reliable"]:
        return Text("reliable", style="green")
    if row["converged"] and row["reliable"] is None:
        return Text("converged")
    if row["converged"]:
        return Text("doubtful", style="yellow")
    stopped = row["reason"].startswith(STOPPED)
    return Text("stopped" if stopped else "step limit", style="yellow")
