"""The report of a run as one HTML page that needs no network: data and scripts are in the file."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from losiko_torch.extras import how_to_install, is_there
from losiko_torch.io.atomic import replacing
from losiko_torch.report.failures import left_out
from losiko_torch.report.histograms import histograms
from losiko_torch.report.names import References
from losiko_torch.report.structures import ball, elements, entries
from losiko_torch.report.summary import QUANTITIES, Summary
from losiko_torch.report.usage import Usage
from losiko_torch.report.wording import as_number, plural

if TYPE_CHECKING:
    import pyarrow as pa

    from losiko_torch.runs.folder import RunFolder

#: Generator that a page names, by which an earlier report is recognised.
GENERATOR = "losiko report"
SCRIPTS = ("drawing.js", "histograms.js", "meshes.js", "viewer.js")
#: Most groups of failures that are listed.
REASONS = 30
#: Colours of atoms from near to far, by matplotlib's name; both ends are visible on white and
#: black. Number of colours between which the page interpolates.
COLORS, STOPS = "coolwarm", 9
#: Part of the largest distance drawn below which all distances have the first colour.
NEAR = 1e-3


def write_page(
    run: RunFolder,
    table: pa.Table,
    summary: Summary,
    used: Usage,
    references: References,
    path: str | Path,
    overwrite: bool = False,
) -> None:
    """Write the page of a run.

    Args:
        run: The run.
        table: Its table, see ``losiko_torch.io.table``.
        summary: Numbers of the table; its worst and best structures are drawn.
        used: Use of the database by the run.
        references: Names of the database's environments.
        path: File to write.
        overwrite: Whether a file there may be overwritten.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    left = charts_left_out()
    drawn = [] if left else entries(run, table, [*summary.worst, *summary.best], references)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    page = environment.from_string(_part("page.html")).render(
        generator=GENERATOR,
        title=f"Run {run.path.resolve().name}",
        command=shlex.join(run.record["command"]),
        unfinished=run.record["state"] != "finished",
        summary=summary,
        tiles=_tiles(run.record, summary),
        spreads=_spreads(summary),
        usage=used,
        failures=summary.failures[:REASONS],
        more_failures=left_out(summary.failures, REASONS),
        facts=_facts(run.record),
        left_out=left,
        data=None if left else _data(table, summary, drawn),
        css=_part("page.css"),
        script=Markup("\n").join(map(_part, SCRIPTS)),
        plotly=Markup("" if left else _plotly()),
    )
    with replacing(path, overwrite) as file:
        file.write(page)


def is_page(path: Path) -> bool:
    """Return whether a file is a page that ``write_page`` made."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return f'content="{GENERATOR}"'.encode() in file.read(1000)


def _part(name: str) -> Markup:
    """Read a part of the page: text, style or program, which needs no escaping."""
    return Markup(files("losiko_torch.report").joinpath("parts", name).read_text("utf-8"))


def charts_left_out() -> str | None:
    """Return why a page has no charts and no structures to turn; None where it has them."""
    for package in ("plotly", "matplotlib"):
        if not is_there(package):
            return f"charts and structures need {package}: {how_to_install(package)}"
    return None


def _plotly() -> str:
    """The source of plotly.js, 5 MB."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _data(table: pa.Table, summary: Summary, drawn: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the page's scripts draw."""
    return {
        "histograms": [asdict(one) for one in histograms(table)],
        "structures": drawn,
        "worst": len(summary.worst),
        "elements": elements(drawn),
        "scale": _scale(drawn),
        "ball": ball(),
    }


def _tiles(record: dict[str, Any], summary: Summary) -> list[tuple[str, str]]:
    """Numbers at the top of the page, and what they count."""
    total, structures = plural(summary.total, "structure").split()
    tiles = [
        (total, structures),
        (f"{summary.converged:,}", "converged"),
        (f"{summary.reliable:,}", "reliable"),
        (f"{summary.max_steps:,}", "at the step limit"),
        (f"{summary.failed:,}", "failed"),
    ]
    for name, unit, text in (("n_steps", "", "steps"), ("rmsd", " Å", "RMSD")):
        if name in summary.spreads:
            median = as_number(summary.spreads[name].median)
            tiles.append((f"{median}{unit}", f"{text} (median)"))
    if record["seconds"] and summary.total:
        tiles.append((as_number(summary.total / record["seconds"]), "structures a second"))
    return tiles


def _spreads(summary: Summary) -> list[tuple[str, list[str]]]:
    return [
        (
            QUANTITIES[name],
            [
                *map(as_number, (s.smallest, s.low, s.median, s.mean, s.high, s.largest)),
                f"{s.count:,}",
            ],
        )
        for name, s in summary.spreads.items()
    ]


def _facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Entries of the run's record: versions, files, times and options."""
    facts = [
        ("version", f"losiko {record['version']}"),
        ("structures", ", ".join(record["structures"])),
        ("database", record["database"] or "the built-in one"),
        ("started", record.get("started")),
        ("ended", record.get("ended")),
        ("time", None if record["seconds"] is None else f"{record['seconds']:,.1f} s"),
        ("atoms in a batch", f"{record['batch_atoms']:,}"),
    ]
    options = record["configuration"].items()
    facts += [(name.replace("_", " "), value) for name, value in options]
    return [(name, str(value)) for name, value in facts if value is not None]


def _scale(drawn: list[dict[str, Any]]) -> dict[str, Any]:
    """Colours (RGB) from near to far, and the distances at both ends."""
    import matplotlib

    colors = matplotlib.colormaps[COLORS](np.linspace(0, 1, STOPS), bytes=True)[:, :3]
    positive = [d for one in drawn for d in one["distances"] if d > 0]
    high = max(positive, default=1.0)
    low = max(min(positive, default=0.0), NEAR * high)
    # A single distance has no range: its colour is that of the near end.
    return {"colors": colors.tolist(), "limits": [low, high if high > low else low / NEAR]}
