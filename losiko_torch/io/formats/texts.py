"""Files of texts, one for each result, in input order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from losiko_torch.io.atomic import replacement
from losiko_torch.io.formats.interface import Add
from losiko_torch.io.formats.left_out import Tell, left_out
from losiko_torch.results import Result


def file_of_texts(
    name: str, text_of: Callable[[Result, Tell], str], keep_part: bool = False
) -> Callable[..., AbstractContextManager[Add]]:
    """Return the function that opens a file of a format, see ``Format.open``.

    Args:
        name: Name of the format in messages.
        text_of: Function from a result, and a function that takes what is left out, to its text.
        keep_part: Whether to keep what was written where the disk fails.
    """

    def texts_of(results: Sequence[Result], tell: Tell) -> Iterator[list[bytes]]:
        yield [encoded(text_of(each, tell)) for each in results]

    return file_of_many(name, texts_of, keep_part)


def file_of_many(
    name: str,
    texts_of: Callable[[Sequence[Result], Tell], Iterable[list[bytes]]],
    keep_part: bool = False,
) -> Callable[..., AbstractContextManager[Add]]:
    """Return what ``file_of_texts`` does, with a function from results to the texts of all."""

    @contextmanager
    def opened(path: Path, overwrite: bool = False) -> Iterator[Add]:
        with (
            left_out(name) as tell,
            replacement(path, overwrite, keep_part=keep_part) as temporary,
            temporary.open("wb") as file,
        ):

            def add(results: Sequence[Result]) -> None:
                for texts in texts_of(results, tell):
                    file.write(b"".join(texts))

            yield add

    return opened


def encoded(text: str) -> bytes:
    """Return a text as it is written: half a surrogate pair cannot be, and is named instead."""
    return text.encode("utf-8", "backslashreplace")
