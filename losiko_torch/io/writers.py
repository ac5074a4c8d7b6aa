"""Files of results: what a format of them is, and the choice of one by the suffix of a file.

The formats are the modules of ``losiko_torch.io.formats``, and what other distributions offer as
entry points of the group of that name: each declares a ``FORMAT``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from losiko_torch.errors import InputError
from losiko_torch.io.atomic import replacement
from losiko_torch.io.labels import results_of
from losiko_torch.registry import Registry
from losiko_torch.results import Result

#: Adds results to a file.
Add = Callable[[Sequence[Result]], None]


@dataclass(frozen=True)
class Format:
    """Format of files that results are written to.

    Attributes:
        name: Name of the format, in error messages.
        suffixes: Suffixes of its files, lower case, dot included.
        open: Context that yields a function to add results to a new file, in the order in which
            they are to be read. Takes the path, and whether a file there may be overwritten. The
            file appears whole or not at all, see ``losiko_torch.io.atomic.replacement``.
        already: File of a finished run that is of this format, "structures" or "table": converting
            a run copies it byte by byte. None means that results are read from both and written.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[[Path, bool], AbstractContextManager[Add]]
    already: Literal["structures", "table"] | None = None


FORMATS = Registry("format", "losiko_torch.io.formats", "FORMAT", ("extxyz", "db", "parquet"))


def suffixes() -> tuple[str, ...]:
    """Suffixes of all formats, in their order."""
    return tuple(_by_suffix())


def result_file(path: str | Path, overwrite: bool = False) -> AbstractContextManager[Add]:
    """Return a context that yields what adds results to a new file, in the format of its suffix.

    Raises:
        InputError: If no format has this suffix. On entering or leaving the context, if the file
            cannot be written, or exists and ``overwrite`` is not set. What was written is then
            kept beside it, under a name that the error has.
    """
    path = Path(path)
    return _format_of(path).open(path, overwrite)


def convert(structures: Path, table: Path, path: Path, overwrite: bool = False) -> None:
    """Write the results of a finished run to a file, in the format of its suffix.

    Args:
        structures: Structures of the run, extended xyz.
        table: Table of the run, Parquet.
        path: File to write.
        overwrite: Whether a file there may be overwritten.

    Raises:
        InputError: As in ``result_file``, or if structures and table do not fit together.
    """
    chosen = _format_of(path)
    if chosen.already is not None:
        original = {"structures": structures, "table": table}[chosen.already]
        with replacement(path, overwrite) as temporary:
            shutil.copyfile(original, temporary)
        return
    with chosen.open(path, overwrite) as add:
        for results in results_of(structures, table):
            add(results)


def _format_of(path: Path) -> Format:
    found = _by_suffix()
    suffix = path.suffix.lower()
    if suffix not in found:
        raise InputError(f"{path}: results are written to {', '.join(found)}: name it so")
    return found[suffix]


def _by_suffix() -> dict[str, Format]:
    found: dict[str, Format] = {}
    for each in FORMATS.choices.values():
        for suffix in each.suffixes:
            if suffix in found:
                raise InputError(
                    f"the formats '{found[suffix].name}' and '{each.name}' both write {suffix}: "
                    "uninstall the package of one of them"
                )
            found[suffix] = each
    return found
