"""Interface of a format of files of results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from losiko_torch.results import Result

#: Adds results to a file, those that a format can hold. An error, other than one of the disk, says
#: of the results given that it can hold none of them, and the file goes on without them.
Add = Callable[[Sequence[Result]], None]


@dataclass(frozen=True)
class Format:
    """Format of files that results are written to.

    Attributes:
        name: Name of the format, in error messages.
        suffixes: Suffixes of its files, lower case, dot included.
        open: Function ``open(path, overwrite=False)`` that returns a context, which yields a
            function to add results to a new file. The file appears whole or not at all, see
            ``losiko_torch.io.atomic.replacement``.
        package: Package of an extra that writes its files, if any.
        names: Parts of the names of its files, for names whose suffix says nothing.
        already: File of a finished run that is of this format, "structures" or "table": converting
            a run copies it byte by byte. None means that results are read from both and written.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[..., AbstractContextManager[Add]]
    already: Literal["structures", "table"] | None = None
    names: tuple[str, ...] = ()
    package: str | None = None
