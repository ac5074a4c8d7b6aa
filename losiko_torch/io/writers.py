"""Writing results to a file, as they come or from a finished run.

The suffix of the file chooses one of the formats in ``losiko_torch.io.formats``.
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from losiko_torch.io.atomic import replacement
from losiko_torch.io.formats.interface import Add
from losiko_torch.io.formats.registry import format_of
from losiko_torch.io.labels import results_of


def result_file(path: str | Path, overwrite: bool = False) -> AbstractContextManager[Add]:
    """Return a context that yields a function to add results to a new file.

    Raises:
        InputError: If no format has the suffix of the file. On entering or leaving the context, if
            the file cannot be written, or exists and ``overwrite`` is not set. What was written is
            then kept beside it, under a name that the error has.
    """
    path = Path(path)
    return format_of(path).open(path, overwrite)


def convert(structures: Path, table: Path, path: Path, overwrite: bool = False) -> None:
    """Write the results of a finished run to a file.

    Args:
        structures: Structures of the run, extended xyz.
        table: Table of the run, Parquet.
        path: File to write.
        overwrite: Whether a file there may be overwritten.

    Raises:
        InputError: As in ``result_file``, or if structures and table do not fit together.
    """
    chosen = format_of(path)
    if chosen.already is not None:
        original = {"structures": structures, "table": table}[chosen.already]
        with replacement(path, overwrite) as temporary:
            shutil.copyfile(original, temporary)
        return
    with chosen.open(path, overwrite) as add:
        for results in results_of(structures, table):
            add(results)
