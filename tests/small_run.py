"""A run's folder small enough to check by hand, and what reads it.

``RunFolder`` reads only what a report needs: the record, the table, and structures by number.
"""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ase import Atoms

from losiko_torch import InputError, __version__

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("source", pa.string()),
        ("formula", pa.string()),
        ("n_atoms", pa.int32()),
        ("reason", pa.string()),
        ("converged", pa.bool_()),
        ("n_steps", pa.int32()),
        ("start_loss", pa.float64()),
        ("loss", pa.float64()),
        ("largest_distance", pa.float64()),
        ("worst_atom", pa.int32()),
        ("rmsd", pa.float64()),
        ("nearest_structure", pa.list_(pa.int32())),
        ("nearest_atom", pa.list_(pa.int32())),
        ("offset", pa.int64()),
    ]
)
RECORD = {
    "version": __version__,
    "command": ["losiko", "relax", "in.xyz", "--run", "night"],
    "structures": ["in.xyz"],
    "database": None,
    "configuration": {"optimizer": "lbfgs", "fmax": 0.02, "weights": None},
    "batch_atoms": 256,
    "state": "finished",
    "seconds": 4.0,
    "started": "2026-05-01T20:00:00+00:00",
    "ended": "2026-05-01T20:00:04+00:00",
}


class RunFolder:
    def __init__(self, path: Path):
        self.path = path
        if not (path / "run.json").exists():
            raise InputError(f"{path}: no folder of a run")
        self.record = json.loads((path / "run.json").read_text())

    open = classmethod(lambda cls, path: cls(Path(path)))

    def table(self) -> pa.Table:
        return pq.read_table(self.path / "results.parquet")

    def atoms(self, numbers):
        frames = ase.io.read(self.path / "relaxed.extxyz", ":")
        rows = self.table()["number"].to_pylist()
        return {number: frames[rows.index(number)] for number in numbers}


def row(number: int, **changes) -> dict:
    """Of a molecule of water that converged; ``changes`` are other entries."""
    made = {
        "number": number,
        "source": f"in.xyz@{number}",
        "formula": "H2O",
        "n_atoms": 3,
        "reason": "converged",
        "converged": changes.get("reason", "converged") == "converged",
        "n_steps": 10,
        "start_loss": 0.1,
        "loss": 0.01,
        "largest_distance": 0.005,
        "worst_atom": 0,
        "rmsd": None,
        "nearest_structure": [0, 0, 0],
        "nearest_atom": [0, 1, 2],
        "offset": 0,
    }
    return made | changes


def failed(number: int, why: str, **changes) -> dict:
    """Of a structure that failed."""
    names = ("start_loss", "loss", "largest_distance", "worst_atom", "nearest_structure")
    nothing = dict.fromkeys((*names, "nearest_atom"), None)
    return row(number, reason=f"failed: {why}", **nothing | {"n_steps": 0} | changes)


def table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


def write(path: Path, rows: list[dict], structures: list[Atoms], **record) -> RunFolder:
    """A folder of these rows and structures; the structures' distances fall from the worst atom."""
    path.mkdir()
    frames = []
    for atoms, each in zip(structures, rows, strict=True):
        frame = atoms.copy()
        distances = np.full(len(atoms), np.nan)
        if each["largest_distance"] is not None:
            apart = (np.arange(len(atoms)) - each["worst_atom"]) % len(atoms)
            distances = each["largest_distance"] * 0.5**apart
        frame.arrays["losiko_distance"] = distances
        frames.append(frame)
    (path / "run.json").write_text(json.dumps(RECORD | record))
    pq.write_table(table(rows), path / "results.parquet")
    if frames:
        ase.io.write(path / "relaxed.extxyz", frames)
    return RunFolder(path)
