"""Structures that come by a pipe: "-" among the names of files.

Their form is found out and they are read more than once, so that they are kept in a file, which the
command's end removes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import typer

#: Name of the file that what comes by a pipe is kept in, and how the name of its folder begins.
PIPED, PIPE = "stdin", "losiko_pipe_"


def read_pipe(context: typer.Context, sources: list[str] | None) -> list[str] | None:
    """Replace "-" among the names of files by a file with what comes by a pipe.

    Args:
        context: The command that is called; the file is there until it ends.
        sources: Names of files, slices behind an @ included. None means that none are given.

    Returns:
        The names, with that of the file in the place of "-" and the slice kept: "-@:3" becomes
        "/tmp/losiko_pipe_x/stdin@:3".
    """
    names = [source.partition("@")[0] for source in sources or []]
    if "-" not in names or context.resilient_parsing:
        return sources
    folder = Path(context.with_resource(tempfile.TemporaryDirectory(prefix=PIPE)))
    raw = getattr(sys.stdin, "buffer", None)
    contents = sys.stdin.read().encode() if raw is None else raw.read()
    file = folder / (f"{PIPED}.gz" if contents.startswith(b"\x1f\x8b") else PIPED)
    file.write_bytes(contents)
    return [
        f"{file}{source[1:]}" if name == "-" else source
        for name, source in zip(names, sources or [], strict=True)
    ]
