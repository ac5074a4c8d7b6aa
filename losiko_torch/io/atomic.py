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
    suffixes: tuple[str, ...] = (),
) -> None:
    """Check before any work is done that a file can be written.

    Args:
        path: The file.
        inputs: Files that it must not be, through links either, ``overwrite`` or not.
        overwrite: Whether a file there may be overwritten.
        suffixes: Suffixes that it may have, lower case. An empty tuple means any.

    Raises:
        InputError: If the file is one of ``inputs``, exists and ``overwrite`` is not set, is a
            folder or has another suffix, or if its folder is missing or not writable.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: name the output by what it is to be: {', '.join(suffixes)}")
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


@contextmanager
def replacement(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty file beside ``path``, which takes the place of ``path`` at the end.

    If the body fails, the file is removed.

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
        os.chmod(temporary, 0o666 & ~_umask())
        if target.exists() and not overwrite:
            # The new file may be the result of hours.
            kept = _free_name(target)
            os.replace(temporary, kept)
            raise InputError(f"{path}: exists by now and is left alone, the new one is {kept}")
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


@contextmanager
def replacing(path: str | Path, overwrite: bool = False) -> Iterator[IO[str]]:
    """Yield a text file open for writing, which takes the place of ``path`` at the end.

    Raises:
        InputError: As in ``replacement``.
    """
    with (
        replacement(path, overwrite) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        yield file


def _free_name(path: Path) -> Path:
    """Return ``out.1.xyz`` for ``out.xyz``, or the next such name that is free."""
    names = (path.with_name(f"{path.stem}.{k}{path.suffix}") for k in count(1))
    return next(name for name in names if not name.exists())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
