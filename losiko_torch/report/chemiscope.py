"""The structures of a run for chemiscope, an explorer of structures and their properties.

The format is that of https://chemiscope.org/docs/guide/reference.html: structures, properties of
structures and of atoms, and the atoms that have these.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from losiko_torch.errors import InputError
from losiko_torch.io.atomic import replacement
from losiko_torch.io.labels import DISTANCE, EXPECTED_ERROR
from losiko_torch.report.listing import QUANTITIES, STATES, sentence_of, states_of
from losiko_torch.report.settings_words import in_short
from losiko_torch.report.summary import column, listed, titles
from losiko_torch.report.wording import plural

if TYPE_CHECKING:
    import pyarrow as pa

    from losiko_torch.runs.folder import RunFolder

SUFFIXES = (".json", ".json.gz")
#: Radius (Angstrom) that is drawn around an atom that is picked.
CUTOFF = 4.0
#: Per-atom arrays that are written: title, unit and meaning.
ARRAYS = {
    DISTANCE: ("distance", "", "what the atom adds to the loss"),
    EXPECTED_ERROR: ("expected error of an atom", "Å", "how far it may be from where it should be"),
}


def check_name(path: Path) -> None:
    """Raise ``InputError`` if a file for chemiscope has another ending than it reads."""
    if not path.name.lower().endswith(SUFFIXES):
        raise InputError(f"{path}: chemiscope reads JSON: name it .json or .json.gz")


def write_chemiscope(
    run: RunFolder, table: pa.Table, path: Path, overwrite: bool = False
) -> list[str]:
    """Write the structures of a run that did not fail; return sentences on what was left out.

    Args:
        run: The run.
        table: Its table, see ``losiko_torch.io.table``.
        path: File to write; compressed if its name ends in ``.gz``.
        overwrite: Whether a file there may be overwritten.

    Raises:
        InputError: If the file cannot be written, or if there is nothing to write.
    """
    check_name(path)
    rows = np.flatnonzero(states_of(table) != STATES.index("failed"))
    if not len(rows):
        raise InputError(f"{path}: no structure of {run.path} was relaxed: nothing to explore")
    notes = []
    if len(rows) < table.num_rows:
        notes.append(
            f"{path}: without {plural(table.num_rows - len(rows), 'structure')} that failed"
        )
    taken = table.take(rows)
    found = run.atoms(taken["number"].to_pylist())
    structures = [found[number] for number in taken["number"].to_pylist()]
    properties, missing = _properties(taken, structures)
    if missing:
        notes.append(f"{path}: without {', '.join(missing)}, which not all structures have")
    data = {
        "meta": {
            "name": f"Run {run.path.resolve().name}",
            "description": in_short(run.record, table.num_rows),
        },
        "structures": [_structure(atoms) for atoms in structures],
        "environments": [
            {"structure": k, "center": center, "cutoff": CUTOFF}
            for k, atoms in enumerate(structures)
            for center in range(len(atoms))
        ],
        "properties": properties,
        "settings": _settings(properties),
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).encode()
    with replacement(path, overwrite) as file:
        file.write_bytes(gzip.compress(text) if path.suffix.lower() == ".gz" else text)
    return notes


def _structure(atoms: Atoms) -> dict[str, Any]:
    x, y, z = atoms.positions.T.round(5).tolist()
    made = {"size": len(atoms), "names": list(atoms.symbols), "x": x, "y": y, "z": z}
    if atoms.cell.rank == 3:
        made["cell"] = atoms.cell.array.round(5).reshape(-1).tolist()
    return made


def _properties(
    table: pa.Table, structures: Sequence[Atoms]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the properties that all structures have, and the titles of those that some have."""
    made: dict[str, dict[str, Any]] = {}
    missing = []

    def add(title: str, target: str, values: Any, units: str, description: str) -> None:
        if isinstance(values, np.ndarray):
            known = np.isfinite(values)
            if not known.all():
                missing.extend([title] if known.any() else [])
                return
            values = [float(f"{value:.6g}") for value in values.tolist()]
        entry = {"target": target, "values": values, "description": description}
        made[title] = entry | ({"units": units} if units else {})

    for each in QUANTITIES:
        if each.key != "moved":
            add(each.title, "structure", column(table, each.key), each.unit, each.meaning)
    for name in dict.fromkeys(key for row in listed(table, "terms") for key, _ in row or []):
        values = [dict(row or []).get(name, np.nan) for row in listed(table, "terms")]
        add(f"term {name}", "structure", np.array(values, float), "", "further term of the loss")
    states = states_of(table).tolist()
    reasons, doubts = listed(table, "reason"), listed(table, "doubt")
    sentences = [sentence_of(*each) for each in zip(states, reasons, doubts, strict=True)]
    words = {
        "structure": (titles(table), "names of the structure"),
        "formula": (listed(table, "formula"), "chemical formula"),
        "state": ([STATES[state] for state in states], "what became of it"),
        "doubt": (sentences, "what speaks against it"),
    }
    for title, (texts, description) in words.items():
        add(title, "structure", texts, "", description)
    for name, (title, units, description) in ARRAYS.items():
        parts = [atoms.arrays.get(name, np.full(len(atoms), np.nan)) for atoms in structures]
        add(title, "atom", np.concatenate(parts), units, description)
    return made, missing


def _settings(properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what the map shows first: steps, and the expected error or the loss."""
    across = "expected error" if "expected error" in properties else "largest distance"
    axes = {"x": "steps", "y": across, "color": "loss"}
    shown = {axis: {"property": name} for axis, name in axes.items() if name in properties}
    return {"target": "structure", "map": shown}
