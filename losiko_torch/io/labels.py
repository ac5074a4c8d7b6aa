"""The numbers of a result on its structure, as files keep them, and results from such files.

A structure keeps its own ``info`` and arrays, but for ``losiko_metadata``. It gains in ``info``
``losiko_loss``, ``losiko_start_loss``, ``losiko_converged``, ``losiko_steps`` and
``losiko_reason``, and the per-atom array ``losiko_distance``; with terms in the loss also
``losiko_term_NAME`` for each; with learned targets ``losiko_expected_rmsd`` and the per-atom array
``losiko_expected_error`` (Angstrom). A structure that carries a reference geometry (see
``losiko_torch.systems.reference_geometry``) also gains ``losiko_rmsd``. A structure read from a
file has its origin, "file@frame", in ``losiko_source``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.spacegroup import Spacegroup

from losiko_torch.errors import InputError
from losiko_torch.io.read import read_structures
from losiko_torch.results import Matches, Result
from losiko_torch.systems.names import DRAWN, METADATA, UNREADABLE
from losiko_torch.systems.reference_geometry import deviation

#: Per-atom array of what each atom adds to the loss.
DISTANCE = "losiko_distance"
#: Per-atom array of the error to expect, Angstrom.
EXPECTED_ERROR = "losiko_expected_error"
#: Entries of ``info`` that ``labelled`` adds.
LABELS = (
    *("losiko_loss", "losiko_start_loss", "losiko_converged", "losiko_steps", "losiko_reason"),
    *("losiko_rmsd", "losiko_expected_rmsd", "losiko_reliable", "losiko_doubt"),
)
#: Beginning of the entry of ``info`` that holds the value of a term.
TERM = "losiko_term_"
#: Results read at once.
CHUNK = 512


def labelled(result: Result) -> Atoms:
    """Return a copy of a result's structure that carries its numbers, without a calculator.

    A space group is replaced by its symbol, and an array of Python strings by one of text, so that
    every format can write them.
    """
    atoms = result.atoms.copy()
    # An output that is input again carries numbers of before, which may have no successor.
    atoms.arrays.pop(EXPECTED_ERROR, None)
    atoms.info.pop("losiko_expected_rmsd", None)
    # A relaxed structure is no longer what the facts about its set are about.
    atoms.info.pop(METADATA, None)
    # The reason of the result says why the structure could not be read. The file can be read.
    atoms.info.pop(UNREADABLE, None)
    atoms.info.pop(DRAWN, None)
    for key, value in atoms.info.items():
        if isinstance(value, Spacegroup):  # from ASE's reader of cif
            atoms.info[key] = value.symbol
    for key, values in atoms.arrays.items():
        # ASE's reader of extended xyz makes such arrays.
        if values.dtype == object and all(isinstance(each, str) for each in values.flat):
            atoms.arrays[key] = values.astype(str)
    atoms.info |= {
        "losiko_loss": float(result.loss),
        "losiko_start_loss": float(result.start_loss),
        "losiko_converged": bool(result.converged),
        "losiko_steps": int(result.n_steps),
        "losiko_reason": result.reason,
        "losiko_reliable": bool(result.reliable),
    }
    atoms.info.pop("losiko_doubt", None)
    if result.doubt:
        atoms.info["losiko_doubt"] = result.doubt
    atoms.info |= {f"{TERM}{name}": value for name, value in result.terms.items()}
    deviates = None if result.failed else deviation(atoms)
    if deviates is not None:
        atoms.info["losiko_rmsd"] = deviates
    atoms.arrays[DISTANCE] = np.asarray(result.distances, dtype=float)
    if result.expected_error is not None:
        atoms.arrays[EXPECTED_ERROR] = np.asarray(result.expected_error, dtype=float)
        atoms.info["losiko_expected_rmsd"] = result.expected_rmsd
    return atoms


def results_of(structures: Path, table: Path) -> Iterator[list[Result]]:
    """Yield the results of a finished run, a few at once.

    A run keeps only the nearest reference of each atom, and neither its weight in the target nor
    its distance: these are NaN in ``matches``. It keeps no ``starts``.

    Args:
        structures: Labelled structures in extended xyz.
        table: Their rows in Parquet, see ``losiko_torch.io.table``.

    Raises:
        InputError: If the files do not have the same number of structures.
    """
    import pyarrow.parquet as pq

    frames = read_structures(structures)
    for batch in pq.ParquetFile(table).iter_batches(CHUNK):
        rows = batch.to_pylist()
        some = list(islice(frames, len(rows)))
        if len(some) < len(rows):
            break
        yield [_result(atoms, row) for atoms, row in zip(some, rows, strict=True)]
    else:
        if next(frames, None) is None:
            return
    raise InputError(f"{structures}: does not have the structures of {table}: run it anew")


def _result(atoms: Atoms, row: dict[str, Any]) -> Result:
    """Return the result of labelled atoms and their row; the labels are removed."""
    # A table of an earlier version has no column of terms.
    terms = dict(row.get("terms") or [])
    for key in (*LABELS, *(f"{TERM}{name}" for name in terms)):
        atoms.info.pop(key, None)
    distances = atoms.arrays.pop(DISTANCE, np.zeros(0))
    expected_error = atoms.arrays.pop(EXPECTED_ERROR, None)
    matches = None
    if row["nearest_structure"] is not None:
        structure, atom = (np.array(row[f"nearest_{of}"])[:, None] for of in ("structure", "atom"))
        unknown = np.full(structure.shape, np.nan)
        matches = Matches(structure, atom, unknown, unknown)
    loss, start_loss = (
        np.nan if row[name] is None else row[name] for name in ("loss", "start_loss")
    )
    return Result(
        atoms,
        loss,
        start_loss,
        row["converged"],
        row["n_steps"],
        row["reason"],
        distances,
        matches,
        row["number"],
        terms=terms,
        expected_error=expected_error,
        # A table of an earlier version has none.
        doubt=row.get("doubt") or "",
    )
