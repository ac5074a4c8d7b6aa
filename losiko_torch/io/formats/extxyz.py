"""Extended xyz that ASE reads back: structures with their numbers, see ``losiko_torch.io.labels``.

ASE writes some values so that it reads others, and stops at some. So each entry of ``info`` is
written in a form that survives, escaped or as JSON, and what no form can hold is left out with a
warning.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict, write_xyz

from losiko_torch.io.atomic import replacing
from losiko_torch.io.formats.interface import Add, Format
from losiko_torch.io.labels import labelled
from losiko_torch.results import Result


@contextmanager
def extxyz_file(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """Yield a function that adds the frames of results to a file of extended xyz.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    with replacing(path, overwrite) as file:
        yield lambda results: file.writelines(map(frame_of, results))


FORMAT = Format("extxyz", (".extxyz", ".xyz"), extxyz_file, already="structures")


def frame_of(result: Result) -> str:
    """Return a result as a frame of extended xyz."""
    text = io.StringIO()
    write_xyz(text, writable(labelled(result)), write_results=False)
    return text.getvalue()


def writable(atoms: Atoms) -> Atoms:
    """Return a copy of a structure with what extended xyz can hold, in forms that ASE reads back.

    A warning names what is left out.
    """
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
    """The value in a form that survives writing and reading: unchanged, escaped, or as JSON."""
    if not isinstance(key, str) or key in ("Lattice", "Properties", "pbc"):
        raise ValueError(f"{key} cannot be a key")
    if type(value) in (bool, int, float) and key.isidentifier():
        return value
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
