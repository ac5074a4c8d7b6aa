"""Writing relaxed structures: extended xyz that ASE reads back, all or nothing.

Each structure keeps what it came with and gains in ``info`` ``losiko_loss``, ``losiko_start_loss``,
``losiko_converged``, ``losiko_steps`` and ``losiko_reason``, and the per-atom array
``losiko_distance``; where it carries a reference (see ``references``) also ``losiko_rmsd``.
Structures read from files also tell by ``losiko_source`` ("file@frame") where they came from.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict, write_xyz
from ase.spacegroup import Spacegroup

from losiko_torch.io.atomic import replacement
from losiko_torch.results import Result
from losiko_torch.systems.names import UNREADABLE
from losiko_torch.systems.reference_geometry import deviation


@contextmanager
def replacing(path: str | Path, overwrite: bool = False) -> Iterator[IO[str]]:
    """A text file that takes the place of ``path`` once complete, or leaves no trace.

    Raises:
        InputError: If it cannot be written, or if ``path`` exists and ``overwrite`` is not set:
            then what was written is kept beside it, under a name that the error tells.
    """
    with (
        replacement(path, overwrite) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        yield file


def write_results(results: Iterable[Result], path: str | Path, overwrite: bool = False) -> None:
    """Write the structures of results in order, the failed ones too; see the module's text.

    Raises:
        InputError: As ``replacing`` does.
    """
    with replacing(path, overwrite) as file:
        file.writelines(map(frame_of, results))


def frame_of(result: Result) -> str:
    """A result as a frame of extended xyz."""
    text = io.StringIO()
    write_xyz(text, writable(labelled(result)), write_results=False)
    return text.getvalue()


def labelled(result: Result) -> Atoms:
    """A copy of a result's structure that carries its numbers; the input's calculator is gone."""
    atoms = result.atoms.copy()
    # What could not be read says so in its reason, and can be read from now on.
    atoms.info.pop(UNREADABLE, None)
    atoms.info |= {
        "losiko_loss": float(result.loss),
        "losiko_start_loss": float(result.start_loss),
        "losiko_converged": bool(result.converged),
        "losiko_steps": int(result.n_steps),
        "losiko_reason": result.reason,
    }
    deviates = None if result.failed else deviation(atoms)
    if deviates is not None:
        atoms.info["losiko_rmsd"] = deviates
    atoms.arrays["losiko_distance"] = np.asarray(result.distances, dtype=float)
    return atoms


def writable(atoms: Atoms) -> Atoms:
    """A copy with all that extended xyz can hold, put so that ASE reads the same; warns of rest."""
    copy = atoms.copy()
    copy.info = {}
    lost = []
    for key, value in atoms.info.items():
        try:
            copy.info[key] = _readable_entry(key, value)
        except (TypeError, ValueError):
            lost.append(f"info {key!r}")
    for key, values in atoms.arrays.items():
        if not _fits_columns(key, values):
            del copy.arrays[key]
            lost.append(f"array {key!r}")
        elif values.dtype.kind == "u":
            copy.arrays[key] = values.astype(int)
    for constraint in atoms.constraints:
        if not isinstance(constraint, (FixAtoms, FixCartesian)):
            lost.append(f"constraint {type(constraint).__name__}")
    if lost:
        warnings.warn(f"left out, as extended xyz cannot hold it: {', '.join(lost)}", stacklevel=2)
    return copy


def _readable_entry(key: Any, value: Any) -> Any:
    """The value in a form that survives writing and reading: as it is, escaped, or as JSON."""
    if not isinstance(key, str) or key in ("Lattice", "Properties", "pbc"):
        raise ValueError(f"{key} cannot be a key")
    if type(value) in (bool, int, float) and key.isidentifier():
        return value
    if isinstance(value, Spacegroup):  # as ASE's reader of cif leaves it
        value = value.symbol
    forms = [value] if isinstance(value, (str, np.ndarray, np.generic, int, float)) else []
    if isinstance(value, str):
        forms.append(value.replace("\\", "\\\\"))
    with suppress(TypeError):
        text = json.dumps(value.tolist() if isinstance(value, np.ndarray) else value)
        forms.append("_JSON " + text.replace("\\", "\\\\"))
    for form in forms:
        line = key_val_dict_to_str({key: form, "end": 1})
        if "\n" not in line and "\r" not in line:
            read = key_val_str_to_dict(line)
            if list(read) == [key, "end"] and _same(read[key], value):
                return form
    raise ValueError(f"{key} cannot be written")


def _same(read: Any, value: Any) -> bool:
    if isinstance(value, (str, bool)) or isinstance(read, str):
        return type(read) is type(value) and read == value
    try:
        return bool(np.array_equal(read, value, equal_nan=True))
    except TypeError:
        return bool(np.all(read == value))


def _fits_columns(key: str, values: np.ndarray) -> bool:
    if not key.isidentifier() or values.ndim > 2 or 0 in values.shape[1:]:
        return False
    if values.dtype.kind == "U":
        return all(text and not any(map(str.isspace, text)) for text in values.flat)
    return values.dtype.kind in "fiub"
