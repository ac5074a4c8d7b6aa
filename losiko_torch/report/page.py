"""The report of a run as one HTML page that needs no network: data and scripts are in the file."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from losiko_torch.io.atomic import replacing
from losiko_torch.report.content import Content
from losiko_torch.report.settings_words import in_short, settings_of
from losiko_torch.report.summary import QUANTITIES, Summary
from losiko_torch.report.usage import Usage
from losiko_torch.report.wording import as_number, plural
from losiko_torch.shown.three_d import programs

if TYPE_CHECKING:
    from losiko_torch.runs.folder import RunFolder

#: Generator that a page names, by which an earlier report is recognised.
GENERATOR = "losiko report"
#: Largest number that is but rounding.
ROUNDING = 1e-9
STYLES = ("colours.css", "page.css", "list.css", "detail.css", "print.css")
SCRIPTS = (
    *("data.js", "text.js", "filters.js", "histograms.js", "list.js", "geometry.js", "axes.js"),
    *("view.js", "detail.js", "download.js", "page.js"),
)


def write_page(
    run: RunFolder,
    summary: Summary,
    used: Usage,
    held: Content,
    path: str | Path,
    overwrite: bool = False,
) -> None:
    """Write the page of a run.

    Args:
        run: The run.
        summary: Numbers of its table.
        used: Use of the database by the run.
        held: List and geometries of its structures.
        path: File to write.
        overwrite: Whether a file there may be overwritten.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.from_string(_part("page.html")).render(
        generator=GENERATOR,
        title=f"Run {run.path.resolve().name}",
        name=run.path.resolve().name,
        short=in_short(run.record, summary.total),
        command=_command(run.record),
        unfinished=run.record["state"] != "finished",
        notes=held.notes,
        summary=summary,
        tiles=_tiles(run.record, summary),
        spreads=_spreads(summary),
        usage=used,
        settings=settings_of(run.record),
        facts=_facts(run.record),
        listing=Markup(held.listing),
        geometries=Markup(held.geometries),
        css=Markup("\n").join(map(_part, STYLES)),
        theme=_part("theme.js"),
        script=Markup("\n").join(map(_part, SCRIPTS)),
        programs=Markup(programs()),
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


def _command(record: dict[str, Any]) -> str:
    """Return the command of a run, without the folder that the program lies in."""
    program, *arguments = record["command"]
    return shlex.join([Path(program).name, *arguments])


def _tiles(record: dict[str, Any], summary: Summary) -> list[tuple[str, str]]:
    """Numbers at the top of the page, and what they count."""
    total, structures = plural(summary.total, "structure").split()
    tiles = [
        (total, structures),
        (f"{summary.converged:,}", "converged"),
        (f"{summary.reliable:,}", "reliable"),
        (f"{summary.max_steps:,}", "not converged"),
        (f"{summary.failed:,}", "failed"),
    ]
    medians = (
        *(("expected_rmsd", " Å", "expected error (median)"), ("rmsd", " Å", "RMSD (median)")),
        ("n_steps", "", "steps (median)"),
    )
    for name, unit, text in medians:
        if name in summary.spreads:
            tiles.append((f"{as_number(summary.spreads[name].median)}{unit}", text))
    if record["seconds"] and summary.total:
        tiles.append((as_number(summary.total / record["seconds"]), "structures a second"))
    return tiles


def _spreads(summary: Summary) -> list[tuple[str, list[str]]]:
    return [
        (
            QUANTITIES[name],
            [
                *map(_number, (s.smallest, s.low, s.median, s.mean, s.high, s.largest)),
                f"{s.count:,}",
            ],
        )
        for name, s in summary.spreads.items()
    ]


def _number(value: float) -> str:
    """Return a number as text; one that is but rounding is 0."""
    return as_number(value if abs(value) > ROUNDING else 0)


def _facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Entries of the run's record: versions, files and times."""
    facts = [
        ("command", _command(record)),
        ("version", f"losiko {record['version']}"),
        ("structures", ", ".join(record["structures"])),
        ("database", record["database"] or "the built-in one"),
        ("started", _time(record.get("started"))),
        ("ended", _time(record.get("ended"))),
        ("time", None if record["seconds"] is None else f"{record['seconds']:,.1f} s"),
        ("atoms in a batch", f"{record['batch_atoms']:,}"),
    ]
    return [(name, value) for name, value in facts if value is not None]


def _time(stamp: str | None) -> str | None:
    """Return a time of the record for readers: "2026-05-01 20:00:04 UTC"."""
    return None if stamp is None else stamp.replace("T", " ").replace("+00:00", " UTC")
