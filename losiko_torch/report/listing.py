"""The list of structures that a page sorts, searches and filters: columns, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from losiko_torch.report.chosen import reliable_rows
from losiko_torch.report.failures import kind_of
from losiko_torch.report.packing import short_floats
from losiko_torch.report.summary import column, failed_rows, listed
from losiko_torch.results import FAILED, STOPPED

if TYPE_CHECKING:
    import pyarrow as pa

#: Symbol of an atom's element in a sentence, "atom 3 (C)".
_ELEMENT = re.compile(r" \([A-Z][a-z]?\)")
#: States of a structure, the most urgent first.
STATES = ("failed", "in doubt", "not converged", "reliable")


@dataclass(frozen=True)
class Quantity:
    """A number of each structure.

    Attributes:
        key: Name of the column.
        title: Name for readers.
        unit: Unit; empty without one.
        meaning: Sentence on what it is.
        log: Whether its histogram has a logarithmic axis.
        whole: Whether its values are whole numbers.
    """

    key: str
    title: str
    unit: str
    meaning: str
    log: bool = False
    whole: bool = False


#: Numbers of each structure, in the order of the columns.
QUANTITIES = (
    Quantity(
        "expected_rmsd",
        "expected error",
        "Å",
        "How far the atoms are to be expected from where they should be, root mean square.",
    ),
    Quantity(
        "rmsd",
        "RMSD",
        "Å",
        "Distance from the reference geometry that the run was given, root mean square of the "
        "atoms.",
    ),
    Quantity(
        "moved",
        "moved",
        "Å",
        "Distance of the relaxed structure from the start, root mean square of the atoms.",
    ),
    Quantity(
        "loss",
        "loss",
        "",
        "Sum of what the atoms add and of further terms: the smaller, the better the database "
        "knows such surroundings.",
        log=True,
    ),
    Quantity(
        "largest_distance",
        "largest distance",
        "",
        "What the worst-matched atom adds to the loss.",
        log=True,
    ),
    Quantity("start_loss", "loss before", "", "Loss of the structure as it was given.", log=True),
    Quantity("n_steps", "steps", "", "Evaluations of the loss.", whole=True),
    Quantity("n_atoms", "atoms", "", "Atoms of the structure.", whole=True),
)


def states_of(table: pa.Table) -> np.ndarray:
    """Return the places in ``STATES`` of the rows of a table, shape (n,)."""
    converged = np.array(listed(table, "converged"), dtype=bool)
    reliable = reliable_rows(table)
    return np.select([failed_rows(table), converged & ~reliable, ~converged], [0, 1, 2], 3)


def sentence_of(state: int, reason: str, doubt: str | None) -> str:
    """Return what speaks against a structure, "" if nothing does."""
    if state == STATES.index("failed"):
        return reason.removeprefix(FAILED)
    told = []
    if state == STATES.index("not converged"):
        stopped = reason.startswith(STOPPED)
        told.append(
            reason.removeprefix(STOPPED)
            if stopped
            else "it reached the step limit before it converged"
        )
    if doubt:
        told.append(doubt)
    return "; ".join(told)


def listing(table: pa.Table, rows: Sequence[int], moved: dict[int, float | None]) -> dict[str, Any]:
    """Return the list of structures in types that JSON has.

    Args:
        table: Table of a run, see ``losiko_torch.io.table``.
        rows: Rows that are listed.
        moved: Distance from the start, by row.

    Returns:
        The columns ``number``, ``name`` (empty where it is the source), ``source``, ``formula``,
        ``state`` and ``reason``; the column ``told`` of places in ``sentences``, whose kinds are
        places ``kind`` in ``kinds``; ``worst``, the worst-matched atoms' indices; ``terms`` by
        name, and each of ``QUANTITIES`` that any structure has; ``quantities``, what these are;
        ``states``, the names of states.
    """
    taken = table.take(np.asarray(rows, dtype=np.int64))
    states = states_of(taken).tolist()
    reasons, doubts = listed(taken, "reason"), listed(taken, "doubt")
    sentences: dict[str, int] = {"": 0}
    told = [
        sentences.setdefault(sentence_of(*each), len(sentences))
        for each in zip(states, reasons, doubts, strict=True)
    ]
    kinds = {kind: k for k, kind in enumerate(dict.fromkeys(map(_kind, sentences)))}
    numbers = {
        each.key: _values(taken, each, [moved.get(int(row)) for row in rows]) for each in QUANTITIES
    }
    known = {key for key, values in numbers.items() if any(each is not None for each in values)}
    sources = listed(taken, "source")
    return {
        "number": listed(taken, "number"),
        "name": [
            "" if name is None or name == source else name
            for name, source in zip(listed(taken, "name"), sources, strict=True)
        ],
        "source": sources,
        "formula": listed(taken, "formula"),
        "state": states,
        "reason": reasons,
        "told": told,
        "sentences": list(sentences),
        "kinds": list(kinds),
        "kind": [kinds[_kind(sentence)] for sentence in sentences],
        "worst": listed(taken, "worst_atom"),
        "terms": _terms(taken),
        **{key: values for key, values in numbers.items() if key in known},
        "quantities": [
            asdict(_scaled(each, numbers[each.key])) for each in QUANTITIES if each.key in known
        ],
        "states": list(STATES),
    }


def _kind(sentence: str) -> str:
    """Return a sentence without the numbers and elements of its atoms, as others share it."""
    return _ELEMENT.sub("", kind_of(sentence))


def _values(table: pa.Table, quantity: Quantity, moved: list[float | None]) -> list[Any]:
    if quantity.key == "moved":
        return short_floats(moved, 4)
    values = column(table, quantity.key)
    # A failed structure has not been relaxed: its numbers would be those of its start.
    if quantity.key != "n_atoms":
        values = np.where(failed_rows(table), np.nan, values)
    short = short_floats(values.tolist())
    return [None if v is None else int(v) for v in short] if quantity.whole else short


def _scaled(quantity: Quantity, values: list[Any]) -> Quantity:
    """Return a quantity without a logarithmic axis if some values are negative.

    So is the loss of learned targets.
    """
    negative = any(value < 0 for value in values if value is not None)
    return replace(quantity, log=quantity.log and not negative)


def _terms(table: pa.Table) -> dict[str, list[float | None]]:
    """Return the further terms of the loss, by name."""
    rows = [dict(each or []) for each in listed(table, "terms")]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: short_floats([row.get(name) for row in rows]) for name in names}
