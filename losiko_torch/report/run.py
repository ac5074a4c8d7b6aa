"""What a report needs of a run folder; ``losiko_torch.runs.folder.RunFolder`` is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ase import Atoms

if TYPE_CHECKING:
    import pyarrow as pa


class Run(Protocol):
    """A run, finished or not.

    Attributes:
        path: Its folder.
        record: What was run, with what, and when (``run.json``).
    """

    path: Path
    record: dict[str, Any]

    def table(self) -> pa.Table:
        """One row for each structure so far, in input order."""

    def atoms(self, numbers: Sequence[int]) -> dict[int, Atoms]:
        """The structures of these numbers as they ended, each atom with ``losiko_distance``."""
