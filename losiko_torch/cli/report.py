"""``losiko report``: the outcome of a run, in numbers and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.text import Text

from losiko_torch.cli import shared_options, tables
from losiko_torch.cli.console import note, progress, stdout
from losiko_torch.cli.inputs import Force
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import check_output
from losiko_torch.options import WHAT
from losiko_torch.report.chemiscope import check_name, write_chemiscope
from losiko_torch.report.content import content
from losiko_torch.report.names import references_of
from losiko_torch.report.page import is_page, write_page
from losiko_torch.report.summary import QUANTITIES, Summary, summarize
from losiko_torch.report.usage import Usage, usage
from losiko_torch.report.wording import as_number, plural
from losiko_torch.runs.folder import RECORD, RELAXED, TABLE, RunFolder
from losiko_torch.systems.names import titled

if TYPE_CHECKING:
    import pyarrow as pa

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", show_default=False, help="Folder of a run, from 'losiko relax --run DIR'."
    ),
]
Page = Annotated[Path | None, shared_options.page("DIR/report.html")]
Chemiscope = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json",
        show_default=False,
        help="Also write the structures for chemiscope (https://chemiscope.org), to a name that "
        "ends in .json or .json.gz.",
        rich_help_panel=WHAT,
    ),
]
#: Name of the page in a run's folder, and names of the files there that no page may replace.
NAME, OWN = "report.html", (RECORD, TABLE, RELAXED)
#: Rows of the tables of structures, of the run and of the database.
MOST = 5


def report(
    folder: Folder, output: Page = None, chemiscope: Chemiscope = None, force: Force = False
) -> int:
    """Summarise what became of the structures of a run, and draw it on a page.

    Counts, distributions, failures by reason and the references that were used most are printed.
    The page, one file that needs no network, lists all structures: sort, search and filter them,
    look at each in three dimensions, before and after, and download those chosen. A run that is
    not finished is reported as far as it is.

    Example: [bold]losiko report night[/bold]

    Example: [bold]losiko report night -o night.html[/bold]

    Example: [bold]losiko report night --chemiscope night.json.gz[/bold]
    """
    run = RunFolder.open(folder)
    page = folder / NAME if output is None else output
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{page}: the report is a page: name it .html")
    # Nothing is lost with the page of an earlier report: it is made from the run alone.
    again = output is None and is_page(page)
    database = run.record["database"]
    inputs = [folder / name for name in OWN] + ([] if database is None else [Path(database)])
    check_output(page, inputs, force or again)
    if chemiscope is not None:
        check_name(chemiscope)
        check_output(chemiscope, [*inputs, page], force)
    table = run.table()
    summary = summarize(table)
    references = references_of(run.record, table)
    used = usage(table, references)
    _print_spreads(summary)
    _print_worst(table, summary)
    _print_usage(used)
    tables.print_groups(summary.failures, "failed")
    _print_summary(summary, run.record["state"] == "finished", run.record["seconds"])
    with progress("reading the inputs again", table.num_rows) as done:
        held = content(run, table, references, done)
    for why in held.notes:
        note(why)
    write_page(run, summary, used, held, page, overwrite=force or again)
    stdout().print(Text(f"the page is {page}"))
    if chemiscope is not None:
        for why in write_chemiscope(run, table, chemiscope, overwrite=force):
            note(why)
        stdout().print(Text(f"for chemiscope: {chemiscope}"))
    return 0


def _print_spreads(summary: Summary) -> None:
    if not summary.spreads:
        return
    heads = ("smallest", "10 %", "median", "mean", "90 %", "largest")
    columns = {"": "left"} | dict.fromkeys(heads, "right")
    table = tables.structure_table("structures that did not fail", columns)
    for name, spread in summary.spreads.items():
        values = (spread.smallest, spread.low, spread.median, spread.mean, spread.high)
        table.add_row(QUANTITIES[name], *map(as_number, (*values, spread.largest)))
    stdout().print(table)


def _print_worst(table: pa.Table, summary: Summary) -> None:
    if not summary.worst:
        return
    names = ("steps", "start\nloss", "loss", "largest\ndistance", "worst\natom")
    columns = {"structure": "fold", "formula": "fold"} | dict.fromkeys(names, "right")
    printed = tables.structure_table("structures with the worst-matched atoms", columns)
    for row in table.take(np.array(summary.worst[:MOST])).to_pylist():
        losses = (row["start_loss"], row["loss"], row["largest_distance"])
        printed.add_row(
            Text(titled(row.get("name"), row["source"])),
            row["formula"],
            str(row["n_steps"]),
            *map(tables.as_loss, losses),
            str(row["worst_atom"]),
        )
    stdout().print(printed)


def _print_usage(used: Usage) -> None:
    if not used.atoms:
        return
    columns = {"structure of the database": "fold", "atoms": "right", "by element": "fold"}
    table = tables.structure_table("references used most", columns)
    for use in used.most[:MOST]:
        elements = ", ".join(f"{symbol} {count:,}" for symbol, count in use.elements.items())
        table.add_row(Text(use.name), f"{use.atoms:,}", elements)
    out = stdout()
    out.print(table)
    out.print(Text(used.line))
    if used.note:
        out.print(Text(f"references have numbers only: {used.note}", style="yellow"))


def _print_summary(summary: Summary, finished: bool, seconds: float | None) -> None:
    total = plural(summary.total, "structure")
    line = f"{total if finished else f'not finished, {total} so far'}: {summary.line}"
    if seconds:
        line += f"; {seconds:,.1f} s, {as_number(summary.total / seconds)} structures/s"
    stdout().print(Text(line, style="bold"))
