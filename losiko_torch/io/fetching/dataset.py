"""Interface of a set of structures that can be fetched, and the record of one that has been."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

#: Function that takes the step of the work, what is done of it, and its end (None: unknown), both
#: in bytes.
Watch = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Source:
    """A file in the network.

    Attributes:
        address: Its address (http or https).
        md5: Its MD5 checksum, in hexadecimal digits.
        timeout: Longest wait for an answer or for what comes next, seconds.
        tries: Tries in a row that bring nothing new, until it is given up.
        pause: Wait in seconds after the first such try; it doubles with each.
    """

    address: str
    md5: str
    timeout: float = 60.0
    tries: int = 4
    pause: float = 1.0


@dataclass(frozen=True)
class Fetched:
    """A set of structures that has been fetched.

    Attributes:
        path: The file it is in.
        structures: Number of its structures.
        metadata: Title, level of theory, licence, citation and origin, as the file keeps them.
        left_out: Structures that could not be taken, by name, with the reason.
    """

    path: Path
    structures: int
    metadata: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)


class Dataset(Protocol):
    """A set of structures that can be fetched."""

    @property
    def file(self) -> str:
        """Name of the file that it is kept in, unless another is given."""

    def fetch(self, path: Path, overwrite: bool, watch: Watch) -> Fetched:
        """Fetch it and write the file, all or nothing.

        Raises:
            InputError: If it cannot be fetched or written.
        """
