"""Lists of results and of scores: lists in every way, which show their counts and a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Self, SupportsIndex, TypeVar, overload

from losiko_torch.errors import InputError
from losiko_torch.shown.items import ShownItem
from losiko_torch.shown.notebook import display, in_notebook, with_view
from losiko_torch.shown.page import open_page, page
from losiko_torch.shown.table import listing
from losiko_torch.shown.text import plural

#: Items that are shown of a longer list.
ROWS = 20
#: Most atoms of all that are drawn together below a cell of a notebook, whose file keeps them, and
#: on a page; most rows of a page's table.
SMALL, LARGE, LONG = 4000, 200_000, 2000

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
        chosen = self._chosen()
        lines = [f"  [{place}] {self[place].line()}" for place in chosen]
        return "\n".join([f"{type(self).__name__}({self._title(len(chosen))})", *lines])

    def _repr_html_(self) -> str | None:
        if not self._is_pure():
            return None
        return self._below_a_cell(ROWS, SMALL)

    def show(self) -> Path | None:
        """Show the table and, in three dimensions, the structure that is chosen there.

        Returns:
            The page, a file that was opened in the browser; None in a notebook, where both are
            displayed below the cell.

        Raises:
            InputError: If the list holds anything else than it is for.
        """
        if not self._is_pure():
            raise InputError(f"a list that holds other things than {self.KIND.__name__}")
        if in_notebook():
            display(self._below_a_cell(ROWS, LARGE))
            return None
        chosen, title = self._chosen(LONG), type(self).__name__
        pictures, rows = self._pictures(chosen, LARGE)
        return open_page(page(title, self._table(chosen), pictures, title, rows=rows))

    def _below_a_cell(self, rows: int, most: int) -> str:
        chosen = self._chosen(rows)
        pictures, places = self._pictures(chosen, most)
        return with_view(self._table(chosen), pictures, type(self).__name__, rows=places)

    def _table(self, chosen: Sequence[int]) -> str:
        rows = ((f"[{place}]", *self[place].cells()) for place in chosen)
        return listing(self._title(len(chosen)), ("", *self.KIND.COLUMNS), rows)

    def _pictures(self, chosen: Sequence[int], most: int) -> tuple[list[dict[str, Any]], list[int]]:
        """Return structures for a view, and the place there of each that is chosen.

        The first is always there, and so are all others until their atoms are more than ``most``;
        for the rest there is a sentence.
        """
        sums = accumulate(len(self[place].atoms) for place in chosen)
        pictures: list[dict[str, Any]] = []
        for place, atoms in zip(chosen, sums, strict=True):
            room = most if atoms <= most or not pictures else -1
            told = self[place].picture(room) if room > 0 else self._no_room(place, most)
            pictures.append({**told, "name": f"[{place}] {told['name']}"})
        return pictures, list(range(len(pictures)))

    def _no_room(self, place: int, most: int) -> dict[str, Any]:
        why = f"Together they have more atoms than the {most:,} that are drawn here: show it alone."
        return {"name": self[place].name, "symbols": "", "why": why}

    def _is_pure(self) -> bool:
        return all(isinstance(each, self.KIND) for each in self)

    def _title(self, shown: int) -> str:
        counts = [f"{count:,} {state}" for state, count in self.counts().items()]
        title = plural(len(self), "structure")
        if self:
            title += f": {', '.join(counts)}"
        if len(self) > shown:
            title += f"; {shown:,} shown, the failed and doubtful first"
        return title

    def _chosen(self, most: int = ROWS) -> Sequence[int]:
        """Return the places of the items that are shown."""
        if len(self) <= most:
            return range(len(self))
        return sorted(range(len(self)), key=lambda place: self[place].urgency)[:most]
