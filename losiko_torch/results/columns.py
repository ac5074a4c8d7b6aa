"""Results by the thousand in arrays; one becomes a ``Result`` when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import overload

import numpy as np

from losiko_torch.results import Matches, Result
from losiko_torch.systems.columns import Molecules, slice_of


@dataclass(frozen=True, eq=False)
class Columns:
    """Results of B molecules, N atoms, none of which failed; see ``Result``.

    Attributes:
        molecules: The molecules where they ended.
        start_positions: Positions (Angstrom) before they were relaxed, shape (N, 3).
        number, loss, start_loss, converged, n_steps, reason, doubt: One entry a molecule.
        distances: One entry an atom, shape (N,).
        matches: Arrays of ``Matches``, shape (N, k) each.
        expected_error: One entry an atom, shape (N,); None if unknown.
        terms: Values of the terms of the loss, by name, one entry a molecule.
    """

    molecules: Molecules
    start_positions: np.ndarray
    number: np.ndarray
    loss: np.ndarray
    start_loss: np.ndarray
    converged: np.ndarray
    n_steps: np.ndarray
    reason: list[str]
    doubt: list[str]
    distances: np.ndarray
    matches: tuple[np.ndarray, ...]
    expected_error: np.ndarray | None
    terms: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.number)

    def result(self, row: int) -> Result:
        """Return the result of one molecule."""
        atoms = slice(*self.molecules.offsets[row : row + 2].tolist())
        error = None if self.expected_error is None else self.expected_error[atoms]
        return Result(
            atoms=self.molecules[row],
            loss=float(self.loss[row]),
            start_loss=float(self.start_loss[row]),
            converged=bool(self.converged[row]),
            n_steps=int(self.n_steps[row]),
            reason=self.reason[row],
            distances=self.distances[atoms],
            matches=Matches(*(each[atoms] for each in self.matches)),
            number=int(self.number[row]),
            terms={name: float(values[row]) for name, values in self.terms.items()},
            expected_error=error,
            doubt=self.doubt[row],
            start_positions=self.start_positions[atoms],
        )

    def take(self, rows: np.ndarray) -> Columns:
        """Return the results of these rows, in this order; rows in a row are in the same arrays."""
        some: slice | np.ndarray
        atoms: slice | np.ndarray
        behind = slice_of(rows)
        if behind is None:
            some, chosen = rows, rows.tolist()
            atoms, _ = self.molecules.atoms(rows)
            told = [self.reason[row] for row in chosen], [self.doubt[row] for row in chosen]
        elif len(rows) == len(self):
            return self
        else:
            some = behind
            atoms = slice(*self.molecules.offsets[[behind.start, behind.stop]])
            told = self.reason[behind], self.doubt[behind]
        return Columns(
            molecules=self.molecules.take(rows),
            start_positions=self.start_positions[atoms],
            number=self.number[some],
            loss=self.loss[some],
            start_loss=self.start_loss[some],
            converged=self.converged[some],
            n_steps=self.n_steps[some],
            reason=told[0],
            doubt=told[1],
            distances=self.distances[atoms],
            matches=tuple(each[atoms] for each in self.matches),
            expected_error=None if self.expected_error is None else self.expected_error[atoms],
            terms={name: values[some] for name, values in self.terms.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence[Columns]) -> Columns:
        """Return the results of several behind each other; all are of one relaxation."""
        if len(parts) == 1:
            return parts[0]

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in parts])

        known = parts[0].expected_error is not None
        matches = zip(*(part.matches for part in parts), strict=True)
        return cls(
            molecules=Molecules.joined([part.molecules for part in parts]),
            start_positions=joined("start_positions"),
            number=joined("number"),
            loss=joined("loss"),
            start_loss=joined("start_loss"),
            converged=joined("converged"),
            n_steps=joined("n_steps"),
            reason=list(chain.from_iterable(part.reason for part in parts)),
            doubt=list(chain.from_iterable(part.doubt for part in parts)),
            distances=joined("distances"),
            matches=tuple(np.concatenate(each) for each in matches),
            expected_error=joined("expected_error") if known else None,
            terms={
                name: np.concatenate([part.terms[name] for part in parts])
                for name in parts[0].terms
            },
        )


def rmsds_of(columns: Columns) -> Sequence[float | None]:
    """Return the ``expected_rmsd`` of each result, the same numbers to the last bit."""
    errors, found = columns.expected_error, np.empty(len(columns))
    if errors is None:
        return [None] * len(columns)
    for places, atoms in columns.molecules.of_each_size():
        found[places] = np.sqrt(np.mean(np.square(errors[atoms]), axis=1))
    return found.tolist()


def worst_of(columns: Columns) -> list[int]:
    """Return the atom of each result that adds most to the loss."""
    found = np.empty(len(columns), dtype=int)
    for places, atoms in columns.molecules.of_each_size():
        found[places] = columns.distances[atoms].argmax(1)
    return found.tolist()


@dataclass(frozen=True, eq=False)
class ManyResults(Sequence[Result]):
    """Results in an order of their own: most of them rows of columns, a few as they are.

    Attributes:
        columns: Columns of results, in any order; not all need to be shown.
        row: Row of each result, shape (n,); -1 where it is an odd one.
        odd: Other results, such as those of structures that failed, by place.
    """

    columns: Columns
    row: np.ndarray
    odd: Mapping[int, Result] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row)

    @overload
    def __getitem__(self, place: int) -> Result: ...

    @overload
    def __getitem__(self, place: slice) -> ManyResults: ...

    def __getitem__(self, place: int | slice) -> Result | ManyResults:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        place = range(len(self))[place]
        row = int(self.row[place])
        return self.odd[place] if row < 0 else self.columns.result(row)

    def __iter__(self) -> Iterator[Result]:
        return map(self.__getitem__, range(len(self)))

    def take(self, places: np.ndarray) -> ManyResults:
        """Return the results at these places, in this order."""
        row = self.row[places]
        odd = np.flatnonzero(row < 0).tolist()
        return replace(self, row=row, odd={k: self.odd[int(places[k])] for k in odd})

    def changed(self, results: Mapping[int, Result]) -> ManyResults:
        """Return the results with others at some places."""
        if not results:
            return self
        row = self.row.copy()
        row[list(results)] = -1
        return replace(self, row=row, odd={**self.odd, **results})

    def ordered(self) -> ManyResults:
        """Return the same results with their columns in the same order: some of them are slices."""
        places, columns, _ = self.split()
        row = np.full(len(self), -1)
        row[places] = np.arange(len(places))
        return replace(self, columns=columns, row=row)

    def split(self) -> tuple[np.ndarray, Columns, list[int]]:
        """Return the places of those in columns, their columns in this order, and other places."""
        places = np.flatnonzero(self.row >= 0)
        return places, self.columns.take(self.row[places]), sorted(self.odd)


def in_order(
    parts: Sequence[tuple[Sequence[int] | np.ndarray, Sequence[Result]]],
    count: int,
    missing: Callable[[int], Result],
) -> Sequence[Result]:
    """Return ``count`` results in order, in columns where they come in these.

    Args:
        parts: Places of results, and these.
        count: Number of all places.
        missing: Function from a place without a result to that.
    """
    many = [(places, some) for places, some in parts if isinstance(some, ManyResults)]
    if not many or len(many) < len(parts):
        found: list[Result | None] = [None] * count
        for places, results in parts:
            for place, result in zip(places, results, strict=True):
                found[place] = result
        return [missing(k) if each is None else each for k, each in enumerate(found)]
    row, odd, before = np.full(count, -1), dict[int, Result](), 0
    for places, some in many:
        row[np.asarray(places)] = np.where(some.row < 0, -1, some.row + before)
        odd.update((int(places[k]), result) for k, result in some.odd.items())
        before += len(some.columns)
    for place in np.flatnonzero(row < 0).tolist():
        if place not in odd:
            odd[place] = missing(place)
    return ManyResults(Columns.joined([some.columns for _, some in many]), row, odd)
