"""Base classes of results, scores and matches that show them on a line and as a table.

They say which attributes they read; the records of ``losiko_torch.results`` have them. No array is
printed, and matches that are found on demand are not looked at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms

from losiko_torch.shown.notebook import display, in_notebook, with_view
from losiko_torch.shown.page import open_page, page
from losiko_torch.shown.table import facts
from losiko_torch.shown.text import as_number, first_words, one_line, plural, shortened
from losiko_torch.shown.three_d import ATOMS, item

#: Most characters of a name, and of a doubt or the reason of a failure, on a line.
NAME, REASON = 60, 80
#: Most atoms of a structure that is drawn below a cell of a notebook, whose file keeps them.
SMALL = 4000


class ShownItem(ABC):
    """Result or score that shows itself.

    Attributes:
        COLUMNS: Titles of the columns of a table of many.
    """

    COLUMNS: ClassVar[tuple[str, ...]]
    atoms: Atoms
    loss: float
    distances: np.ndarray
    terms: Mapping[str, float]

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the names of the structure and its formula."""

    @property
    @abstractmethod
    def urgency(self) -> int:
        """Return 0 for what failed, 1 for what is in doubt, 2 for all others."""

    @abstractmethod
    def told(self) -> str:
        """Return what was found, on one line."""

    @abstractmethod
    def cells(self) -> tuple[str, ...]:
        """Return the entries of a table of many, one for each of ``COLUMNS``."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """Return what was found, by title."""

    def line(self) -> str:
        """Return the name and what was found, on one line."""
        return f"{shortened(self.name, NAME)}: {self.told()}"

    def worst(self) -> str:
        """Return the largest distance and its atom: "0.0123, atom 3 (C)"; "" if unknown."""
        if not np.isfinite(self.distances).any():
            return ""
        atom = int(np.nanargmax(self.distances))
        return f"{as_number(self.distances[atom])}, atom {atom} ({self.atoms.symbols[atom]})"

    def named_terms(self) -> dict[str, str]:
        """Return the further terms of the loss, by title."""
        return {f"term {name}": as_number(value) for name, value in self.terms.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.line()})"

    def picture(self, most: int = ATOMS) -> dict[str, Any]:
        """Return the structure for a view, see ``losiko_torch.shown.three_d.item``.

        Args:
            most: Most atoms that are drawn.
        """
        values = [("distance", "", self.distances)]
        return item(self.atoms, self.name, values=values, note=self.told(), most=most)

    def show(self) -> Path | None:
        """Show the table and the structure in three dimensions.

        Returns:
            The page, a file that was opened in the browser; None in a notebook, where both are
            displayed below the cell.
        """
        kind = type(self).__name__
        if in_notebook():
            display(with_view(facts(kind, self.facts()), [self.picture()], kind))
            return None
        return open_page(page(self.name, facts(kind, self.facts()), [self.picture()], kind))

    def _repr_html_(self) -> str:
        kind = type(self).__name__
        return with_view(facts(kind, self.facts()), [self.picture(SMALL)], kind)


class ShownResult(ShownItem):
    """Result of a relaxation that shows itself."""

    COLUMNS = ("structure", "result", "steps", "loss", "expected RMSD (A)", "remark")
    start_loss: float
    converged: bool
    n_steps: int
    reason: str
    starts: tuple[Any, ...]
    doubt: str
    expected_error: np.ndarray | None
    start_positions: np.ndarray | None
    start_cell: np.ndarray | None

    @property
    @abstractmethod
    def reliable(self) -> bool:
        """Return whether the structure relaxed and nothing speaks against it."""

    @property
    @abstractmethod
    def failed(self) -> bool:
        """Return whether the structure could not be relaxed."""

    @property
    @abstractmethod
    def expected_rmsd(self) -> float | None:
        """Return the root mean square of the expected errors, Angstrom; None if unknown."""

    @property
    def urgency(self) -> int:
        """Return 0 for what failed, 1 for what is not reliable, 2 for all others."""
        return 0 if self.failed else 1 + self.reliable

    @property
    def start(self) -> Atoms | None:
        """Return the structure as it was before it was relaxed; None if that is unknown."""
        if self.start_positions is None:
            return None
        start = self.atoms.copy()
        start.set_constraint()
        if self.start_cell is not None:
            start.set_cell(self.start_cell)
        start.positions = self.start_positions
        return start

    def picture(self, most: int = ATOMS) -> dict[str, Any]:
        """Return the structure and its start for a view, as ``ShownItem.picture`` does."""
        values = [("distance", "", self.distances)]
        if self.expected_error is not None:
            values.insert(0, ("expected error", "Å", self.expected_error))
        return item(
            self.atoms, self.name, start=self.start, values=values, note=self.told(), most=most
        )

    def told(self) -> str:
        """Return reason, loss or expected RMSD, steps, and doubt, on one line."""
        reason = first_words(self.reason, REASON)
        if self.failed:
            return reason
        size = f"loss {as_number(self.loss)}"
        if self.expected_rmsd is not None:
            size = f"expected RMSD {self.expected_rmsd:.3f} A"
        states = [reason, *(["reliable"] if self.reliable else [])]
        told = ", ".join([*states, size, plural(self.n_steps, "step")])
        if self.reliable:
            return told
        doubt = first_words(self.doubt, REASON)
        return f"{told}; doubtful: {doubt}" if doubt else f"{told}; not reliable"

    def cells(self) -> tuple[str, ...]:
        """Return the entries of a table of many, one for each of ``COLUMNS``."""
        name = shortened(self.name, NAME)
        if self.failed:
            kind, _, why = self.reason.partition(": ")
            return name, kind, "", "", "", first_words(why, REASON)
        rmsd = "" if self.expected_rmsd is None else f"{self.expected_rmsd:.3f}"
        state = "reliable" if self.reliable else "doubtful" if self.doubt else "not reliable"
        remark = self.doubt or ("" if self.converged else self.reason)
        numbers = f"{self.n_steps:,}", as_number(self.loss), rmsd
        return name, state, *numbers, first_words(remark, REASON)

    def facts(self) -> dict[str, str]:
        """Return what was found, by title."""
        found = {"structure": one_line(self.name), "result": one_line(self.reason)}
        if self.failed:
            return found
        found["reliable"] = "yes" if self.reliable else "no"
        if self.doubt:
            found["doubt"] = self.doubt
        found["steps"] = f"{self.n_steps:,}"
        found["loss"] = f"{as_number(self.loss)}, {as_number(self.start_loss)} at the start"
        found |= self.named_terms()
        if self.worst():
            found["largest distance"] = self.worst()
        if self.expected_rmsd is not None:
            found["expected RMSD"] = f"{self.expected_rmsd:.3f} A"
        if self.starts:
            found["starts"] = f"{len(self.starts):,}"
        return found


class ShownScore(ShownItem):
    """Score of a structure that shows itself."""

    COLUMNS = ("structure", "loss", "largest distance", "remark")
    problem: str | None

    @property
    def urgency(self) -> int:
        """Return 0 for what failed, 2 for all others."""
        return 2 if self.problem is None else 0

    def told(self) -> str:
        """Return loss and largest distance, or why there are none, on one line."""
        if self.problem is not None:
            return f"failed: {first_words(self.problem, REASON)}"
        told = f"loss {as_number(self.loss)}"
        return f"{told}, largest distance {self.worst()}" if self.worst() else told

    def cells(self) -> tuple[str, ...]:
        """Return the entries of a table of many, one for each of ``COLUMNS``."""
        name = shortened(self.name, NAME)
        if self.problem is not None:
            return name, "", "", f"failed: {first_words(self.problem, REASON)}"
        return name, as_number(self.loss), self.worst(), ""

    def facts(self) -> dict[str, str]:
        """Return what was found, by title."""
        found = {"structure": one_line(self.name)}
        if self.problem is not None:
            return {**found, "failed": self.problem}
        found["loss"] = as_number(self.loss)
        found |= self.named_terms()
        return {**found, "largest distance": self.worst()} if self.worst() else found


class ShownMatches:
    """Matches that tell how many they are; those found on demand are not searched for it."""

    structure: np.ndarray

    def __repr__(self) -> str:
        if "structure" not in vars(self):
            return "Matches(not searched yet: the first look at an array searches them)"
        n_atoms, n_references = self.structure.shape
        return f"Matches({plural(n_atoms, 'atom')}, up to {plural(n_references, 'reference')} each)"
