"""Failures grouped by their reason, whatever numbers it names.

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

#: Structures that stand for a group.
EXAMPLES = 5
#: In the place of numbers that differ within a group.
ANY = "…"
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Failures:
    """Structures that failed for the same reason.

    Attributes:
        reason: Why, with ``…`` for numbers that are not the same for all.
        count: How many structures.
        sources: Where the first of them came from.
    """

    reason: str
    count: int
    sources: list[str]


def grouped(failures: Iterable[tuple[str, str]]) -> list[Failures]:
    """Groups of pairs of source and reason, the largest first, then as they came."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for source, reason in failures:
        groups.setdefault(_NUMBER.sub(ANY, reason), []).append((source, reason))
    made = [
        Failures(
            _common([reason for _, reason in members]),
            len(members),
            [source for source, _ in members[:EXAMPLES]],
        )
        for members in groups.values()
    ]
    return sorted(made, key=lambda group: -group.count)


def left_out(groups: list[Failures], shown: int) -> str:
    """What a list of the first ``shown`` groups says of the others; nothing if there are none."""
    rest = groups[shown:]
    if not rest:
        return ""
    return f"and {sum(group.count for group in rest):,} more for {len(rest):,} other reasons"


def _common(reasons: list[str]) -> str:
    """The reason that all are, but for their numbers: those that are the same in all stay."""
    columns = zip(*map(_NUMBER.findall, reasons), strict=True)
    shared = iter([numbers[0] if len(set(numbers)) == 1 else ANY for numbers in columns])
    return _NUMBER.sub(lambda _: next(shared), reasons[0])
