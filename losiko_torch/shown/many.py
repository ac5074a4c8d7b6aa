"""Lists of results and of scores: lists in every way, which show their counts and a few lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self, SupportsIndex, TypeVar, overload

from losiko_torch.shown.items import ShownItem
from losiko_torch.shown.table import listing
from losiko_torch.shown.text import plural

#: Items that are shown of a longer list.
ROWS = 20

Item = TypeVar("Item", bound=ShownItem)


class ShownList(list[Item]):
    """List that shows its counts and at most ``ROWS`` of its items, the failed and doubtful first.

    Slices, sums and copies are of the same kind. A list that holds anything else, too, is shown as
    a plain list.

    Attributes:
        KIND: Class of the items.
    """

    KIND: ClassVar[type[ShownItem]]

    @overload
    def __getitem__(self, place: SupportsIndex, /) -> Item: ...

    @overload
    def __getitem__(self, place: slice, /) -> Self: ...

    def __getitem__(self, place: SupportsIndex | slice, /) -> Item | Self:
        if isinstance(place, slice):
            return type(self)(super().__getitem__(place))
        return super().__getitem__(place)

    def __add__(self, others: list[Item], /) -> Self:  # type: ignore[override]
        return type(self)(super().__add__(others))

    def copy(self) -> Self:
        """Return a list of the same items."""
        return type(self)(self)

    def counts(self) -> dict[str, int]:
        """Return how many items there are of each state."""
        raise NotImplementedError

    def __repr__(self) -> str:
        if not self._is_pure():
            return super().__repr__()
        lines = [f"  [{place}] {self[place].line()}" for place in self._chosen()]
        return "\n".join([f"{type(self).__name__}({self._title()})", *lines])

    def _repr_html_(self) -> str | None:
        if not self._is_pure():
            return None
        rows = ((f"[{place}]", *self[place].cells()) for place in self._chosen())
        return listing(self._title(), ("", *self.KIND.COLUMNS), rows)

    def _is_pure(self) -> bool:
        return all(isinstance(each, self.KIND) for each in self)

    def _title(self) -> str:
        counts = [f"{count:,} {state}" for state, count in self.counts().items()]
        title = plural(len(self), "structure")
        if self:
            title += f": {', '.join(counts)}"
        return (
            f"{title}; {ROWS} shown, the failed and doubtful first" if len(self) > ROWS else title
        )

    def _chosen(self) -> Iterable[int]:
        """Return the places of the items that are shown."""
        if len(self) <= ROWS:
            return range(len(self))
        return sorted(range(len(self)), key=lambda place: self[place].urgency)[:ROWS]
