"""Files that appear whole or not at all, and replace other files only with ``overwrite``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO

from losiko_torch.errors import InputError


def check_output(
    path: str | Path,
    inputs: Iterable[str | Path] = (),
    overwrite: bool = False,
) -> None:
    """Check before any work is done that a file can be written.

    Args:
        path: The file.
        inputs: Files that it must not be, through links either, ``overwrite`` or not.
        overwrite: Whether a file there may be overwritten.

    Raises:
        InputError: If the file is one of ``inputs``, exists and ``overwrite`` is not set, or is a
            folder, or if its folder is missing or not writable.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: a folder, not a file to write to")
    for source in map(Path, inputs):
        if path.exists() and source.exists() and os.path.samefile(path, source):
            same = "an input" if path == source else f"the input {source}"
            raise InputError(f"{path}: is {same}, and no input is ever overwritten")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already: choose another name, or overwrite it (--force)")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise InputError(f"{path}: there is no folder {folder}")
    try:
        # Permissions do not show everything, such as a disk mounted read-only.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None


class Kept(InputError):
    """Error in writing a file whose contents are kept under another name, which the error has."""


@contextmanager
def replacement(
    path: str | Path, overwrite: bool = False, keep_part: bool = False
) -> Iterator[Path]:
    """Yield an empty file beside ``path``, which takes the place of ``path`` at the end.

    If the body fails, the file is removed.

    Args:
        path: The file.
        overwrite: Whether a file there may be overwritten.
        keep_part: Whether to keep, where the disk fails, what has been written until then.

    Raises:
        InputError: If the file cannot be written, or if ``path`` exists and ``overwrite`` is not
            set. In the second case the new file is kept, under a name that the error has.
    """
    # A link stays a link: the file that it points to is replaced.
    target = Path(os.path.realpath(path))
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(handle)
        yield Path(temporary)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, mode_of_new(0o666))
        if target.exists() and not overwrite:
            # The new file may be the result of hours.
            kept = free_name(target)
            os.replace(temporary, kept)
            raise Kept(f"{path}: exists by now and is left alone, the new one is {kept}")
        os.replace(temporary, target)
    except OSError as error:
        problem = f"{path}: cannot be written ({error.strerror or error})"
        if not keep_part or temporary is None or not os.path.getsize(temporary):
            raise InputError(problem) from None
        kept = own_name(target.with_name(f"{target.stem}.part{target.suffix}"))
        os.replace(temporary, kept)
        raise Kept(f"{problem}: what was written until then is {kept}") from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


@contextmanager
def replacing(
    path: str | Path, overwrite: bool = False, keep_part: bool = False
) -> Iterator[IO[str]]:
    """Yield a text file open for writing, which takes the place of ``path`` at the end.

    Raises:
        InputError: As in ``replacement``.
    """
    with (
        replacement(path, overwrite, keep_part) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        yield file


def free_name(path: Path) -> Path:
    """Return a name that is free: ``out.1.xyz`` for ``out.xyz``, or the next such one."""
    names = (path.with_name(f"{path.stem}.{k}{path.suffix}") for k in count(1))
    return next(name for name in names if not name.exists())


def own_name(path: Path) -> Path:
    """Return a path itself where it is free, else the next such name."""
    return free_name(path) if path.exists() else path


def mode_of_new(mode: int) -> int:
    """Return the mode of a new file or folder, without what the process's mask forbids."""
    mask = os.umask(0)
    os.umask(mask)
    return mode & ~mask
