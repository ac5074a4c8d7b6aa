"""Failures grouped by their reason, up to the numbers in it.

>>> (group,) = grouped([
...     ("a@0", "atoms 0 and 1 lie within 0.01 A of each other"),
...     ("a@7", "atoms 3 and 12 lie within 0.01 A of each other"),
... ])
>>> group.reason
'atoms … and … lie within 0.01 A of each other'
>>> group.sources
['a@0', 'a@7']
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Structures named as examples of a group.
EXAMPLES = 5
#: In the place of numbers that differ within a group.
ANY = "…"
_NUMBER = re.compile(rf"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|{ANY}")


@dataclass(frozen=True)
class Failures:
    """Structures that failed for the same reason.

    Attributes:
        reason: Their reason, with ``…`` for numbers that differ among them.
        count: Number of structures.
        sources: Sources of the first ``EXAMPLES`` of them.
    """

    reason: str
    count: int
    sources: list[str]

    @property
    def line(self) -> str:
        """The group as a sentence: "a@0, a@7 and 12 more: it has no atoms"."""
        rest = self.count - len(self.sources)
        more = f" and {rest:,} more" if rest else ""
        return f"{', '.join(self.sources)}{more}: {self.reason}"

    def joined(self, source: str, reason: str) -> Failures:
        """Return the group with one more structure, whose reason is the same up to numbers."""
        numbers = zip(_NUMBER.findall(self.reason), _NUMBER.findall(reason), strict=True)
        shared = iter([mine if mine == other else ANY for mine, other in numbers])
        sources = self.sources if self.count >= EXAMPLES else [*self.sources, source]
        return Failures(_NUMBER.sub(lambda _: next(shared), reason), self.count + 1, sources)


def kind_of(reason: str) -> str:
    """Return a reason with ``…`` in the place of all its numbers, which all of its kind share."""
    return _NUMBER.sub(ANY, reason)


class Groups:
    """Groups of failures that are added one by one; memory grows with the groups alone."""

    def __init__(self) -> None:
        self._groups: dict[str, Failures] = {}

    def add(self, source: str, reason: str) -> None:
        """Add the failure of one structure."""
        key = kind_of(reason)
        group = self._groups.get(key)
        self._groups[key] = (
            Failures(reason, 1, [source]) if group is None else group.joined(source, reason)
        )

    def largest_first(self) -> list[Failures]:
        """Return the groups by size, those of equal size in the order in which they began."""
        return sorted(self._groups.values(), key=lambda group: -group.count)


def grouped(failures: Iterable[tuple[str, str]]) -> list[Failures]:
    """Return the groups of pairs of source and reason, the largest first."""
    groups = Groups()
    for source, reason in failures:
        groups.add(source, reason)
    return groups.largest_first()


def left_out(groups: list[Failures], shown: int) -> str:
    """Return what a list of the first ``shown`` groups adds about the others; "" without others."""
    rest = groups[shown:]
    if not rest:
        return ""
    return f"and {sum(group.count for group in rest):,} more for {len(rest):,} other reasons"
