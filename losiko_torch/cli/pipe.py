"""Structures that come by a pipe, "-" among the names of files, or by the command line itself.

Their form is found out and they are read more than once, so that they are kept in a file, which the
command's end removes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

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


def is_piped(source: str) -> bool:
    """Return whether a name of a file is that of what came by a pipe or the command line."""
    return Path(source).parent.name.startswith(PIPE)


@contextmanager
def typed_smiles(smiles: Sequence[str] | None) -> Iterator[list[str]]:
    """Yield the names of files with the SMILES of the command line: one, or none without any.

    Raises:
        InputError: For a SMILES without a character, or if RDKit is not installed.
    """
    from losiko_torch.errors import InputError
    from losiko_torch.extras import needs

    if not smiles:
        yield []
        return
    needs("rdkit", "--smiles")
    lines = [" ".join(text.split()) for text in smiles]
    if not all(lines):
        raise InputError('a SMILES is empty: give one such as --smiles "CCO"')
    with tempfile.TemporaryDirectory(prefix=PIPE) as folder:
        file = Path(folder) / "smiles.smi"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        yield [str(file)]


def is_stdout(output: Path | None) -> bool:
    """Return whether an output is the standard output, "-"."""
    return output is not None and str(output) == "-"


@contextmanager
def results_to_stdout() -> Iterator[Callable[[Sequence[Any]], int]]:
    """Yield a function that writes results to the standard output, as extended xyz."""
    from losiko_torch.io.formats.extxyz import NAME
    from losiko_torch.io.formats.frames import frames_of
    from losiko_torch.io.formats.left_out import left_out

    with left_out(NAME) as tell:

        def add(results: Sequence[Any]) -> int:
            write_stdout(b"".join(chain.from_iterable(frames_of(results, tell))))
            return 0

        yield add


def write_stdout(contents: bytes) -> None:
    """Write bytes to the standard output at once."""
    raw = getattr(sys.stdout, "buffer", None)
    if raw is None:
        sys.stdout.write(contents.decode("utf-8", "backslashreplace"))
    else:
        raw.write(contents)
    sys.stdout.flush()
