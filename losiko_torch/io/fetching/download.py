"""Download of a file, checked, and resumed where an earlier one stopped.

What has come of a file lies in a part beside the output until all is there. The next call asks for
the rest only (HTTP's ``Range``), unless the file has changed since: ``If-Range`` sends its tag,
which is kept beside the part. The checksum has the last word: where it differs and some bytes are
of an earlier call, all is fetched anew.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from losiko_torch.errors import InputError, first_line
from losiko_torch.io.fetching.dataset import Source, Watch
from losiko_torch.version import __version__

#: Bytes read at once, at most.
CHUNK = 2**18
#: Answers, beside those of 500 on, that another try may better: accepted, timeout, too many.
PASSING = (202, 408, 429)
#: Answer to a request for what lies behind the end of a file.
BEHIND_THE_END = 416


class _Broken(Exception):
    """Reason why a try failed, where another may not; ``anew`` if that must begin at the start."""

    def __init__(self, reason: str, anew: bool = False):
        super().__init__(reason)
        self.anew = anew


def download(source: Source, part: Path, watch: Watch, step: str, further: str = "") -> None:
    """Fetch a file into ``part``, or the rest of it, and check it.

    Args:
        source: The file.
        part: File to write. One that is there is gone on with; a whole one is not fetched again.
        watch: Function that is told how far it is.
        step: Name of this step for ``watch``.
        further: What to do where the connection breaks for good, for the error.

    Raises:
        InputError: If the file cannot be fetched or written, or its checksum differs. In the last
            case nothing of it is kept.
    """
    begun = size_of(part) > 0
    with _writing(part):
        if begun and _md5(part) == source.md5:
            return
        _try_often(source, part, watch, step, further)
        found = _md5(part)
        if found != source.md5 and begun:
            discard(part)
            _try_often(source, part, watch, step, further)
            found = _md5(part)
        if found != source.md5:
            discard(part)
            raise InputError(
                f"{source.address}: its checksum (MD5) is {found} instead of {source.md5}: it has "
                "changed or came damaged, and nothing of it is kept"
            )


def part_of(path: Path) -> Path:
    """Return the name of what has come of a file."""
    return path.with_name(f"{path.name}.part")


def discard(part: Path) -> None:
    """Remove what has come of a file, as far as it is there."""
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def size_of(part: Path) -> int:
    """Return the number of bytes that have come of a file."""
    return part.stat().st_size if part.is_file() else 0


def _try_often(source: Source, part: Path, watch: Watch, step: str, further: str) -> None:
    """Fetch the rest of a file; a try that brings something new does not count."""
    failures, longest = 0, size_of(part)
    while True:
        try:
            _try(source, part, watch, step)
            return
        except _Broken as broken:
            if broken.anew:
                discard(part)
            size = size_of(part)
            failures = 0 if size > longest else failures + 1
            longest = max(size, longest)
            if failures >= source.tries:
                hint = f": {further}" if size and further else ""
                raise InputError(f"{source.address}: {broken}{hint}") from None
            time.sleep(source.pause * 2 ** max(failures - 1, 0))


def _try(source: Source, part: Path, watch: Watch, step: str) -> None:
    start, tag = size_of(part), _tag(part)
    with _answer(source, start, tag) as answer:
        resumed = answer.status == 206
        if resumed and not _continues(answer, start, tag):
            raise _Broken("it answers with another part than it was asked for", anew=True)
        start = start if resumed else 0
        length = answer.headers.get("Content-Length") or ""
        total = start + int(length) if length.isdecimal() else None
        watch(step, start, total)
        with open(part, "ab" if resumed else "wb") as file:
            if not resumed:
                _tag_file(part).write_text(_tag_of(answer), encoding="latin-1")
            for piece in _pieces(answer, source):
                file.write(piece)
                start += len(piece)
                watch(step, start, total)
    if total is not None and start < total:
        raise _Broken(f"the connection broke after {start:,} of {total:,} bytes")


def _answer(source: Source, start: int, tag: str) -> HTTPResponse:
    """Ask for what follows the first ``start`` bytes of a file.

    Raises:
        _Broken: If another try may succeed.
        InputError: If none will.
    """
    headers = {"User-Agent": f"losiko-torch/{__version__}"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": tag} if tag else {})
    try:
        answer = urlopen(Request(source.address, headers=headers), timeout=source.timeout)
        status, reason = answer.status, answer.reason
        if status in (200, 206):
            return answer
        answer.close()
    except HTTPError as error:
        status, reason = error.code, error.reason
        error.close()
    except (OSError, HTTPException, ValueError) as error:
        # The cause of a URLError may be a text.
        cause = getattr(error, "reason", error)
        cause = cause if isinstance(cause, Exception) else error
        told = _told(cause, source)
        if isinstance(cause, (TimeoutError, ConnectionError, HTTPException)):
            raise _Broken(told) from None
        raise InputError(f"{source.address}: {told}") from None
    told = f"it answers {status} ({reason})"
    if start and status == BEHIND_THE_END:
        raise _Broken(told, anew=True)
    if status >= 500 or status in PASSING:
        raise _Broken(told)
    raise InputError(f"{source.address}: {told}")


def _pieces(answer: HTTPResponse, source: Source) -> Iterator[bytes]:
    """Yield what comes; raise ``_Broken`` where the connection does."""
    while True:
        try:
            piece = answer.read1(CHUNK)
        except (OSError, HTTPException) as error:
            raise _Broken(_told(error, source)) from None
        if not piece:
            return
        yield piece


def _told(problem: BaseException, source: Source) -> str:
    if isinstance(problem, TimeoutError):
        return f"nothing came for {source.timeout:g} s"
    if isinstance(problem, ConnectionRefusedError):
        return "no server answers there"
    if isinstance(problem, (ConnectionError, HTTPException)):
        return f"the connection broke ({first_line(problem)})"
    reason = getattr(problem, "strerror", None) or first_line(problem)
    return f"it cannot be reached ({reason}): is there a network?"


def _continues(answer: HTTPResponse, start: int, tag: str) -> bool:
    """Return whether a part that comes is what follows, of the same file."""
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
    same = not tag or _tag_of(answer) in ("", tag)
    return found is not None and int(found[1]) == start and same


def _tag_of(answer: HTTPResponse) -> str:
    """Return what tells a file from a later one at the same address, "" where nothing does."""
    tag = answer.headers.get("ETag") or ""
    # A weak tag is that of files which are equivalent, not equal.
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified") or ""


def _tag(part: Path) -> str:
    file = _tag_file(part)
    return file.read_text(encoding="latin-1").strip() if file.is_file() else ""


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _md5(part: Path) -> str:
    with open(part, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def _writing(part: Path) -> Iterator[None]:
    """Turn errors of the disk into an ``InputError``."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{part}: cannot be written ({error.strerror or error})") from None
