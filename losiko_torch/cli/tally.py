"""What ``losiko relax`` tells of its results, kept as they pass by: few numbers, however many."""

from __future__ import annotations

from statistics import fmean, median

import pyarrow as pa
from rich.text import Text

from losiko_torch.cli import tables
from losiko_torch.cli.console import stdout
from losiko_torch.results import FAILED

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

#: Columns of ``result_table`` that are looked at.
READ = [
    *("source", "formula", "reason", "converged", "n_steps", "start_loss", "loss"),
    *("largest_distance", "worst_atom", "worst_element", "rmsd"),
]


class Tally:
    """Counts, the failures, and the rows to show: all in order if they are few, else the worst."""

    def __init__(self) -> None:
        self.count = self.converged = 0
        self.steps: list[int] = []
        self.deviations: list[float] = []
        self.failures: list[tuple[str, str]] = []
        self.shown: list[dict] = []

    def add(self, table: pa.Table | pa.RecordBatch) -> None:
        """Take in rows of ``result_table``."""
        rows = table.select(READ).to_pylist()
        for row in rows:
            if _failed(row):
                self.failures.append((row["source"], row["reason"].removeprefix(FAILED)))
            else:
                self.steps.append(row["n_steps"])
            if row["rmsd"] is not None:
                self.deviations.append(row["rmsd"])
        self.converged += sum(row["converged"] for row in rows)
        few = self.count + len(rows) <= tables.ROWS
        self.count += len(rows)
        self.shown += rows
        if not few:
            self.shown = sorted(self.shown, key=_badness, reverse=True)[: tables.ROWS]

    def print_table(self) -> None:
        few = self.count == len(self.shown)
        title = "" if few else tables.worst_first(len(self.shown), self.count)
        table = tables.structure_table(title, COLUMNS)
        for row in self.shown:
            table.add_row(
                Text(row["source"]),
                row["formula"],
                _status(row),
                str(row["n_steps"]),
                *(_loss(row[name]) for name in ("start_loss", "loss", "largest_distance")),
                _worst_atom(row),
            )
        stdout().print(table)

    def print_summary(self, against: str, end: str) -> None:
        relaxed = self.count - len(self.failures)
        out = stdout()
        tables.print_failures(self.failures, "failed, written unmoved")
        steps = f"median {median(self.steps):.0f} steps, " if relaxed else ""
        line, _, written = end.partition("\n")
        out.print(
            Text(
                f"{relaxed:,} of {tables.plural(self.count, 'structure')} relaxed {against}: "
                f"{self.converged:,} converged, {relaxed - self.converged:,} at the step limit, "
                f"{len(self.failures):,} failed; {steps}{line}",
                style="bold",
            )
        )
        if self.deviations:
            out.print(
                Text(
                    f"RMSD to the references: {fmean(self.deviations):.3f} A on average, "
                    f"{max(self.deviations):.3f} A at most"
                )
            )
        out.print(Text(written))


def _failed(row: dict) -> bool:
    return row["reason"].startswith(FAILED)


def _worst_atom(row: dict) -> str:
    """As element and index: "C12"."""
    return "-" if row["worst_atom"] is None else f"{row['worst_element']}{row['worst_atom']}"


def _loss(value: float | None) -> str:
    return "-" if value is None else tables.as_loss(value)


def _status(row: dict) -> Text:
    if _failed(row):
        return Text("failed", style="red")
    if row["converged"]:
        return Text("converged", style="green")
    return Text("step limit", style="yellow")


def _badness(row: dict) -> tuple[float, ...]:
    """Failures first, then what did not converge, then by the atom that is matched worst."""
    return (_failed(row), not row["converged"], row["largest_distance"] or 0.0)
