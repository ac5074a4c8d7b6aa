"""Contents of a page: the list of a run's structures, and the geometries that have room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from losiko_torch.report.chosen import ATOMS, ROWS, chosen_rows
from losiko_torch.report.geometries import Drawn, geometries
from losiko_torch.report.listing import listing
from losiko_torch.report.names import References
from losiko_torch.report.packing import packed_json
from losiko_torch.report.starts import moved, starts_of
from losiko_torch.results import FAILED

if TYPE_CHECKING:
    import pyarrow as pa

    from losiko_torch.runs.folder import RunFolder


@dataclass(frozen=True)
class Content:
    """Contents of a page.

    Attributes:
        listing: Packed JSON of ``losiko_torch.report.listing.listing``, with what describes the
            geometries as ``geometries``.
        geometries: Packed numbers of ``losiko_torch.report.geometries.geometries``.
        notes: Sentences on what is not there.
    """

    listing: str
    geometries: str
    notes: list[str]


def content(
    run: RunFolder,
    table: pa.Table,
    references: References,
    progress: Callable[[int], None] = lambda n: None,
    most_atoms: int = ATOMS,
    most_rows: int = ROWS,
) -> Content:
    """Return the contents of a run's page.

    Args:
        run: The run.
        table: Its table, see ``losiko_torch.io.table``.
        references: Names of the database's environments.
        progress: Function that is called with the number of starts just read.
        most_atoms: Atoms that a page holds at most.
        most_rows: Structures that it lists at most.
    """
    shown = chosen_rows(table, int(1e18), most_rows)
    drawn_rows = chosen_rows(table, most_atoms, most_rows)
    entries = table.take(drawn_rows).to_pylist()
    found = run.atoms([entry["number"] for entry in entries])
    starts = starts_of(run, [entry["number"] for entry in entries], progress)
    drawn, distances = [], {}
    for place, row, entry in zip(
        np.searchsorted(shown, drawn_rows).tolist(), drawn_rows.tolist(), entries, strict=True
    ):
        atoms, start = found[entry["number"]], starts.atoms.get(entry["number"])
        # What failed was written unmoved.
        start = None if entry["reason"].startswith(FAILED) else start
        made = Drawn.make(place, atoms, start, entry)
        if made is None:
            continue
        drawn.append(made)
        if made.start is not None:
            distances[row] = moved(atoms, made.start)
    facts, packed = geometries(drawn, references)
    listed = listing(table, shown.tolist(), distances)
    return Content(
        packed_json({**listed, "geometries": facts}),
        packed,
        _notes(run, table, shown, drawn, starts.note),
    )


def _notes(
    run: RunFolder, table: pa.Table, shown: np.ndarray, drawn: list[Drawn], about_starts: str
) -> list[str]:
    notes = [about_starts] if about_starts else []
    total, empty = table.num_rows, int((np.asarray(table["n_atoms"]) == 0).sum())
    kept = "those that failed, are in doubt or are the worst before a sample of the others"
    if len(shown) < total:
        notes.append(
            f"The list has {len(shown):,} of {total:,} structures, {kept}; all are in "
            f"{run.table_file.name}."
        )
    if len(drawn) < total - empty:
        notes.append(
            f"The page holds the geometries of {len(drawn):,} of {total:,} structures, {kept}; all "
            f"are in {run.structures_file.name}."
        )
    return notes
