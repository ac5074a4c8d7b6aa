"""``losiko view``: structures of files in three dimensions, on a page in the browser."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from ase import Atoms
from rich.text import Text

from losiko_torch.cli import shared_options
from losiko_torch.cli.console import stdout, warning
from losiko_torch.cli.inputs import STRUCTURES_HELP, Force, NoPbc, input_files
from losiko_torch.cli.pipe import read_pipe
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import check_output, replacing
from losiko_torch.io.labels import DISTANCE, EXPECTED_ERROR
from losiko_torch.io.read import split_source
from losiko_torch.io.stream import check_sources, one_after_the_other
from losiko_torch.options import WHAT
from losiko_torch.report.wording import plural
from losiko_torch.shown.page import open_in_browser, open_page, page
from losiko_torch.shown.table import listing
from losiko_torch.shown.text import first_words, one_line, shortened
from losiko_torch.shown.three_d import ATOMS, item
from losiko_torch.systems.names import UNREADABLE, known_as

Structures = Annotated[
    list[str],
    typer.Argument(
        metavar="STRUCTURES",
        show_default=False,
        help=f"{STRUCTURES_HELP} Two files of the same structures are before and after; so is the "
        "folder of a run.",
        callback=read_pipe,
    ),
]
Page = Annotated[Path | None, shared_options.page("a temporary file")]
Open = Annotated[
    bool,
    typer.Option("--open/--no-open", help="Open the page in the browser.", rich_help_panel=WHAT),
]
#: Most structures on a page, and most atoms of all together.
MOST, ALL_ATOMS = 1000, 200_000
#: Numbers of the atoms that a structure may carry, by name of the array: title and unit.
VALUES = {EXPECTED_ERROR: ("expected error", "Å"), DISTANCE: ("distance", "")}
COLUMNS = ("", "structure", "atoms", "remark")
#: Most characters of a name and of a remark in the table.
NAME, REMARK = 60, 90


class _Shown(NamedTuple):
    """Structure, and where it came from where that is known."""

    atoms: Atoms
    start: Atoms | None = None


def view(
    structures: Structures,
    output: Page = None,
    open_: Open = True,
    force: Force = False,
    no_pbc: NoPbc = False,
) -> int:
    """Show structures in three dimensions, on a page in the browser.

    Each can be turned, and its atoms coloured by what 'losiko relax' found. Two files of the same
    structures, or the folder of a run, are shown before (thin) and after. Of many structures the
    first 1,000 are shown: a slice picks others.

    Example: [bold]losiko view relaxed.extxyz[/bold]

    Example: [bold]losiko view guesses.xyz relaxed.extxyz -o both.html --no-open[/bold]
    """
    if output is not None:
        if output.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"{output}: structures are shown on a page: name it .html")
        check_output(output, input_files(structures), force)
    some = list(islice(_all(structures, no_pbc), MOST + 1))
    shown, more = some[:MOST], len(some) > MOST
    pictures = list(_pictures(shown))
    title = ", ".join(one_line(Path(each).name) for each in structures)
    lines = [
        (f"{k}", shortened(each["name"], NAME), _size(one.atoms), _remark(one.atoms, each))
        for k, (one, each) in enumerate(zip(shown, pictures, strict=True))
    ]
    count = f"The first {MOST:,} structures" if more else plural(len(shown), "structure")
    table = listing(_told(shown, count), COLUMNS, lines)
    written = page(title, table, pictures, title, rows=list(range(len(shown))))
    if output is None:
        output = open_page(written, open_)
    else:
        with replacing(output, force) as file:
            file.write(written)
        if open_:
            open_in_browser(output)
    left = [each for each in pictures if "why" in each]
    if more:
        warning(f"{count.lower()} are shown: pick others by a slice, {structures[0]}@{MOST}:")
    if left:
        names = f"{plural(len(left), 'structure')} cannot be drawn, the first: {left[0]['name']}"
        warning(f"{names}: {left[0]['why']}")
    stdout().print(Text(f"the page is {output}"))
    return 1 if any(UNREADABLE in one.atoms.info for one in shown) else 0


def _all(sources: list[str], no_pbc: bool) -> Iterator[_Shown]:
    """Return the structures of files or of the folder of a run, with their starts if known."""
    if len(sources) == 1 and (Path(sources[0]) / "run.json").is_file():
        yield from _of_run(Path(sources[0]), no_pbc)
        return
    check_sources(sources)
    if len(sources) == 2 and all(split_source(each)[0].is_file() for each in sources):
        before, after = (
            list(islice(one_after_the_other([each], no_pbc), MOST + 1)) for each in sources
        )
        if len(before) == len(after) and all(map(_alike, before, after)):
            yield from map(_Shown, after, before)
            return
    yield from map(_Shown, one_after_the_other(sources, no_pbc))


def _of_run(folder: Path, no_pbc: bool) -> Iterator[_Shown]:
    """Return the structures of a run that are done, and its inputs where they are still there."""
    from losiko_torch.runs.folder import RunFolder

    run = RunFolder.open(folder)
    numbers = sorted(run.table()["number"].to_pylist())[: MOST + 1]
    found = run.atoms(numbers)
    starts: Iterable[Atoms] = ()
    try:
        inputs = one_after_the_other(run.record["structures"], no_pbc)
        starts = list(islice(inputs, max(numbers, default=-1) + 1))
    except InputError as problem:
        warning(f"the run's structures are shown without their starts: {problem}")
    known = dict(enumerate(starts))
    for number in numbers:
        start = known.get(number)
        same = start is not None and _alike(start, found[number])
        yield _Shown(found[number], start if same else None)


def _alike(before: Atoms, after: Atoms) -> bool:
    """Return whether two structures have the same atoms in the same order."""
    return before.get_chemical_symbols() == after.get_chemical_symbols()


def _pictures(shown: list[_Shown]) -> Iterator[dict[str, Any]]:
    """Return the structures for a view, until their atoms are too many; then sentences."""
    total = 0
    for number, one in enumerate(shown):
        total += len(one.atoms)
        name = known_as(one.atoms.info, one.atoms.get_chemical_formula(), number)
        if UNREADABLE in one.atoms.info:
            yield {"name": one_line(name), "symbols": "", "why": _unreadable(one.atoms)}
        elif total > ALL_ATOMS and number:
            why = f"Together they have more atoms than the {ALL_ATOMS:,} of a page: show it alone."
            yield {"name": one_line(name), "symbols": "", "why": why}
        else:
            values = [
                (title, unit, one.atoms.arrays[key])
                for key, (title, unit) in VALUES.items()
                if key in one.atoms.arrays
            ]
            note = _note(one.atoms)
            yield item(one.atoms, name, start=one.start, values=values, note=note, most=ATOMS)


def _note(atoms: Atoms) -> str:
    """Return what a relaxation said of a structure; "" if it was none."""
    told = [str(atoms.info.get(key) or "") for key in ("losiko_reason", "losiko_doubt")]
    return "; ".join(dict.fromkeys(each for each in told if each))


def _remark(atoms: Atoms, picture: dict[str, Any]) -> str:
    return first_words(picture.get("why") or _note(atoms), REMARK)


def _unreadable(atoms: Atoms) -> str:
    return f"It cannot be read: {one_line(str(atoms.info[UNREADABLE]))}."


def _size(atoms: Atoms) -> str:
    return "" if UNREADABLE in atoms.info else f"{len(atoms):,}"


def _told(shown: list[_Shown], count: str) -> str:
    both = ", before (thin) and after" if any(each.start is not None for each in shown) else ""
    return f"{count}{both}"
