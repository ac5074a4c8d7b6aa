"""Structures of many files as a stream, which is read ahead of the work.

The files are read one after the other. In the place of a structure that cannot be read the stream
has an unreadable one, see ``losiko_torch.io.read.unreadable``, so that no other is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from ase import Atoms

from losiko_torch.errors import InputError
from losiko_torch.io.overlap import ahead
from losiko_torch.io.read import blocks_of, frames_of, labels_of, split_source
from losiko_torch.io.readers.registry import count_frames
from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.names import UNREADABLE
from losiko_torch.systems.whole import whole_molecules

#: Names of files or folders, slices included.
Files: TypeAlias = "str | Path | Sequence[str | Path]"

#: Number of structures read before they are needed, more than those of a batch.
AHEAD = 512
#: Structures that go from one thread to the other at a time.
BLOCK = 64


def structures_of(given: Any) -> Any:
    """Return structures unchanged, and names of files as a stream of their structures.

    Raises:
        InputError: If nothing of a file can be read.
    """
    if isinstance(given, (str, Path)):
        given = [given]
    if isinstance(given, (list, tuple)) and given and isinstance(given[0], (str, Path)):
        check_sources(given)
        return streamed(given)
    return given


class Stream(Iterator[Atoms]):
    """Structures as they are read: one after the other, or in blocks, those of archives in arrays.

    Args:
        blocks: Blocks of structures.
    """

    def __init__(self, blocks: Iterator[Sequence[Atoms]]):
        self._blocks = blocks
        self._each = chain.from_iterable(blocks)

    def __next__(self) -> Atoms:
        return next(self._each)

    def blocks(self) -> Iterator[Sequence[Atoms]]:
        """Return the blocks, of a stream of which nothing was taken yet."""
        return self._blocks


def streamed(sources: Sequence[str | Path], no_pbc: bool = False) -> Stream:
    """Read the structures of files in another thread; ``no_pbc`` makes all of them molecules."""
    return Stream(ahead(_blocks(sources, no_pbc), AHEAD // BLOCK))


def _blocks(sources: Sequence[str | Path], no_pbc: bool) -> Iterator[Sequence[Atoms]]:
    for source, label in zip(sources, labels_of(sources), strict=True):
        for block in blocks_of(source, label, BLOCK):
            in_arrays = isinstance(block, Molecules)
            yield [whole_molecules(each) for each in block] if no_pbc and not in_arrays else block


def check_sources(sources: Iterable[str | Path]) -> None:
    """Raise ``InputError`` if a file has nothing that can be read, before any work is done."""
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
    """Count the structures of files, for a progress bar; None where that would be slow."""
    total = 0
    for source in sources:
        try:
            count = count_frames(*split_source(source))
        except Exception:  # the file raises the same error when it is read
            count = None
        if count is None:
            return None
        total += count
    return total


def one_after_the_other(sources: Sequence[str | Path], no_pbc: bool = False) -> Iterator[Atoms]:
    """Read the structures of files, with names by which these can be told apart."""
    for source, label in zip(sources, labels_of(sources), strict=True):
        for atoms in frames_of(source, label):
            yield whole_molecules(atoms) if no_pbc else atoms
