"""A run's folder small enough to check by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ase import Atoms
from ase.io.extxyz import write_xyz

from losiko_torch import __version__
from losiko_torch.io.table import SCHEMA
from losiko_torch.runs.folder import RunFolder

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


def row(number: int, **changes) -> dict:
    """Row of the table for a molecule of water that converged; ``changes`` are other entries."""
    made = {
        "number": number,
        "source": f"in.xyz@{number}",
        "name": None,
        "formula": "H2O",
        "n_atoms": 3,
        "reason": "converged",
        "converged": changes.get("reason", "converged") == "converged",
        "n_steps": 10,
        "start_loss": 0.1,
        "loss": 0.01,
        "largest_distance": 0.005,
        "worst_atom": 0,
        "worst_element": "O",
        "rmsd": None,
        "nearest_structure": [0, 0, 0],
        "nearest_atom": [0, 1, 2],
        "offset": 0,
    }
    return made | changes


def failed(number: int, why: str, **changes) -> dict:
    """Row of the table for a structure that failed."""
    names = ("start_loss", "loss", "largest_distance", "worst_atom", "nearest_structure")
    nothing = dict.fromkeys((*names, "nearest_atom"), None)
    return row(number, reason=f"failed: {why}", **nothing | {"n_steps": 0} | changes)


def table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


def write(path: Path, rows: list[dict], structures: list[Atoms], **record) -> RunFolder:
    """Write a run's folder of these rows and structures, distances falling from the worst atom."""
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
    running = record.get("state") == "running"
    names = ("shards/000000.extxyz", "shards/000000.parquet")
    text, numbers = path / (names[0] if running else "relaxed.extxyz"), []
    if running:
        (path / "shards").mkdir()
    with text.open("w") as file:
        for frame in frames:
            numbers.append(file.tell())
            write_xyz(file, frame)
    places = [each | {"offset": place} for each, place in zip(rows, numbers, strict=True)]
    pq.write_table(table(places), path / (names[1] if running else "results.parquet"))
    return RunFolder.open(path)
