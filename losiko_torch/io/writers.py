"""Writing results to a file, as they come or from a finished run.

The suffix of the file chooses one of the formats in ``losiko_torch.io.formats``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from losiko_torch.errors import InputError, first_line
from losiko_torch.io.atomic import Kept, mode_of_new, own_name, replacement
from losiko_torch.io.formats.frames import frames_of
from losiko_torch.io.formats.interface import Add
from losiko_torch.io.formats.registry import format_of
from losiko_torch.io.labels import results_of
from losiko_torch.results import Result
from losiko_torch.systems.names import source_of

#: Adds results to a file, and returns how many of them it cannot hold.
AddCounted = Callable[[Sequence[Result]], int]


@contextmanager
def result_file(path: str | Path, overwrite: bool = False) -> Iterator[AddCounted]:
    """Yield a function to add results to a new file; it returns how many the format cannot hold.

    No result is lost to a writer. All are kept in extended xyz beside the file until it is there,
    and stay where some result or the file itself could not be written: a warning or the error has
    the name.

    Raises:
        InputError: If no format has the suffix of the file. On entering or leaving the context, if
            the file cannot be written, or exists and ``overwrite`` is not set. What was written is
            then kept beside it, under a name that the error has.
    """
    path = Path(path)
    chosen = format_of(path)
    if chosen.already == "structures":
        with chosen.open(path, overwrite) as add:
            yield lambda results: add(results) or 0
        return
    refused: list[str] = []
    busy = True  # not while the caller's own work goes on
    with _spool(path) as (spool, keep):
        try:
            with chosen.open(path, overwrite) as add:

                def add_all(results: Sequence[Result]) -> int:
                    nonlocal busy
                    busy, before = True, len(refused)
                    spool(results)
                    for each in results:
                        try:
                            add([each])
                        except (OSError, InputError):
                            raise
                        except Exception as error:  # what writers raise at odd structures
                            name = source_of(each.atoms, each.number)
                            refused.append(f"{name}: {first_line(error)}")
                    busy = False
                    return len(refused) - before

                busy = False
                yield add_all
                busy = True
        except Kept:
            raise
        except Exception as error:
            if not busy:
                raise
            problem = str(error) if isinstance(error, InputError) else _unwritable(path, error)
            kept = keep()
            where = "" if kept is None else f": all results until then are in {kept}"
            raise InputError(problem + where) from error
        if refused:
            warnings.warn(
                f"{path}: {len(refused):,} of the structures cannot be written as {chosen.name} "
                f"({refused[0]}): all results are in {keep()}",
                stacklevel=3,
            )


def _unwritable(path: Path, error: Exception) -> str:
    return f"{path}: cannot be written ({getattr(error, 'strerror', None) or first_line(error)})"


@contextmanager
def _spool(path: Path) -> Iterator[tuple[Add, Callable[[], Path | None]]]:
    """Yield a function that keeps results beside a file, and one that makes them stay.

    The second returns their name, or None if there are none. Otherwise they are removed at the end.
    """
    target = Path(os.path.realpath(path))
    try:
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115
            "wb", delete=False, dir=target.parent, prefix=f".{target.name}.", suffix=".extxyz"
        )
    except OSError as error:
        raise InputError(_unwritable(path, error)) from None
    name = Path(file.name)

    def add(results: Sequence[Result]) -> None:
        for frames in frames_of(results, lambda lost: None):
            file.writelines(frames)

    def keep() -> Path | None:
        with suppress(OSError):  # of a disk that is full
            file.close()
        if not name.stat().st_size:
            return None
        kept = own_name(target.with_name(f"{target.stem}.kept.extxyz"))
        os.chmod(name, mode_of_new(0o666))
        return name.rename(kept)

    try:
        yield add, keep
    finally:
        with suppress(OSError):
            file.close()
        name.unlink(missing_ok=True)


def convert(structures: Path, table: Path, path: Path, overwrite: bool = False) -> int:
    """Write the results of a finished run to a file; return how many it cannot hold.

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
        return 0
    with result_file(path, overwrite) as add:
        return sum(add(results) for results in results_of(structures, table))
