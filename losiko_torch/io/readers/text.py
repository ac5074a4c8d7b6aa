"""Text of any encoding, compressed or not.

A byte order mark or the pattern of zero bytes tells UTF-16 and UTF-32. All other text is taken for
UTF-8, and bytes that are none for Latin-1, so that an accent in a comment costs no structure.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ase.io.formats import open_with_compression

from losiko_torch.errors import InputError

#: Number of bytes that tell the encoding.
HEAD = 4096
#: Name of the error handler that takes bytes for Latin-1.
LATIN = "losiko_latin"
#: Byte order marks; that of UTF-32 begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a file to read its text.

    Raises:
        InputError: If it is not text.
    """
    with open_with_compression(str(path), "rb") as raw:
        encoding = _encoding_of(raw.read(HEAD))
        raw.seek(0)
        yield io.TextIOWrapper(raw, encoding=encoding, errors=LATIN)


def head_of(path: Path) -> str:
    """Return the beginning of a file's text.

    Raises:
        InputError: If it is not text.
    """
    with opened(path) as file:
        return file.read(HEAD)


def _encoding_of(head: bytes) -> str:
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" not in head:
        return "utf-8"
    # Of the letters, digits and spaces of a structure file UTF-16 makes every second byte zero.
    for first, encoding in enumerate(("utf-16-be", "utf-16-le")):
        zeros, others = head[first::2], head[1 - first :: 2]
        if b"\0" not in others and zeros.count(0) > 0.9 * len(zeros):
            return encoding
    raise InputError("not a structure file (it is not text)")


def _as_latin(error: UnicodeError) -> tuple[str, int]:
    problem: Any = error
    return problem.object[problem.start : problem.end].decode("latin-1"), problem.end


codecs.register_error(LATIN, _as_latin)
