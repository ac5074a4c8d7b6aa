"""Interface of a reader: it yields the chosen structures of a file and their numbers.

In the place of a single broken structure a reader yields an ``InputError``. It raises one if it
cannot go on. These errors do not name the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from ase import Atoms

from losiko_torch.errors import InputError

Reader = Callable[[Path, slice], Iterator[tuple[int, Atoms | InputError]]]
_T = TypeVar("_T")


def select(items: Iterable[_T], frames: slice) -> Iterator[tuple[int, _T]]:
    """Return the chosen items and their numbers; all are in memory if numbers are negative."""
    if any(place is not None and place < 0 for place in (frames.start, frames.stop, frames.step)):
        return iter(list(enumerate(items))[frames])
    return islice(enumerate(items), frames.start, frames.stop, frames.step)


def each_parsed(
    texts: Iterable[str | InputError], parse: Callable[[str], Atoms], frames: slice, what: str
) -> Iterator[tuple[int, Atoms | InputError]]:
    """Parse the chosen ones of the texts that a file is cut into, a broken one on its own.

    Args:
        texts: The texts, or what is wrong in the place of one.
        parse: Function from a text to its structure.
        frames: Those to parse.
        what: Word for such a text, such as "frame".
    """
    for number, text in select(texts, frames):
        if isinstance(text, InputError):
            yield number, text
            continue
        try:
            atoms = parse(text)
        except InputError as error:
            yield number, InputError(f"{what} {number}: {error}")
        except Exception as error:  # parsers raise errors of many kinds
            yield number, InputError(f"{what} {number} cannot be read ({reason_of(error)})")
        else:
            yield number, atoms


def reason_of(error: Exception) -> str:
    """Return the text of an error, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, KeyError):
        return f"unknown {text}"
    if isinstance(error, (AssertionError, IndexError, AttributeError, TypeError)):
        # Of a parser that expected something else, in words about itself.
        return f"it is damaged or cut short: {text[:100]}"
    return text[:200]
