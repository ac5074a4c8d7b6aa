"""Structures of many files as a stream: read ahead of who takes them, a broken one among others.

One file after the other, in the order given. What cannot be read comes as an ``unreadable``
structure, so that nothing before or behind it is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ase import Atoms

from losiko_torch.errors import InputError
from losiko_torch.io.overlap import ahead
from losiko_torch.io.read import frames_of, split_source
from losiko_torch.io.readers import count_frames
from losiko_torch.systems.names import UNREADABLE

#: Names of files or folders, slices included.
Files: TypeAlias = "str | Path | Sequence[str | Path]"

#: Structures read before they are needed: those of a batch and more.
AHEAD = 512


def structures_of(given: Any) -> Any:
    """Structures as they are, or those of files that are named.

    Raises:
        InputError: For files that cannot be read at all.
    """
    if isinstance(given, (str, Path)):
        given = [given]
    if isinstance(given, (list, tuple)) and given and isinstance(given[0], (str, Path)):
        check_sources(given)
        return streamed(given)
    return given


def streamed(sources: Iterable[str | Path], no_pbc: bool = False) -> Iterator[Atoms]:
    """Structures of files, read in another thread; with ``no_pbc`` none is periodic."""
    return ahead(_one_after_the_other(sources, no_pbc), AHEAD)


def check_sources(sources: Iterable[str | Path]) -> None:
    """Raise ``InputError`` where a file has nothing that can be read, before any work is done."""
    for source in sources:
        if not isinstance(source, (str, Path)):
            raise InputError(f"{source} among names of files is none")
        problem = None
        for atoms in frames_of(source):
            if UNREADABLE not in atoms.info:
                break
            problem = problem or atoms.info[UNREADABLE]
        else:
            raise InputError(f"{split_source(source)[0]}: {problem}")


def count_of(sources: Iterable[str | Path]) -> int | None:
    """How many structures files have, as far as that can be told quickly, for a progress bar."""
    total = 0
    for source in sources:
        try:
            count = count_frames(*split_source(source))
        except Exception:  # what is wrong with a file is told when it is read
            count = None
        if count is None:
            return None
        total += count
    return total


def _one_after_the_other(sources: Iterable[str | Path], no_pbc: bool) -> Iterator[Atoms]:
    for source in sources:
        for atoms in frames_of(source):
            if no_pbc:
                atoms.pbc = False
            yield atoms
