"""Extended xyz that ASE reads back: structures with their numbers, see ``losiko_torch.io.labels``.

ASE writes some values so that it reads others, and stops at some. So each entry of ``info`` is
written in a form that survives, escaped or as JSON, and what has no form of its own, such as a
column of texts with spaces, is kept in one JSON entry (``losiko_torch.io.extras``). What is no data
at all is left out with a warning.
"""

from __future__ import annotations

import io
import json
import re
from contextlib import suppress
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.data import chemical_symbols
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict, write_xyz

from losiko_torch.io.extras import EXTRAS, plain, printable
from losiko_torch.io.formats.left_out import Tell
from losiko_torch.io.labels import LABELS, labelled
from losiko_torch.results import Result
from losiko_torch.systems.names import SOURCE
from losiko_torch.systems.scaled_constraints import in_cartesian

#: Name of the format in messages.
NAME = "extended xyz"
#: Constraints that it has a column for.
HELD = (FixAtoms, FixCartesian)
#: Names of columns and keys that mean something else to ASE, which reads or writes them its way.
TAKEN = frozenset(("Lattice", "Properties", "pbc", "species", "pos", "Z", "symbols", "move_mask"))


def frame_of(result: Result, tell: Tell) -> str:
    """Return a result as a frame of extended xyz.

    Args:
        result: The result.
        tell: Function that takes the names of what is left out.
    """
    atoms = labelled(result)
    try:
        copy, lost = writable(atoms)
        text = _frame(copy)
    except Exception:  # of odd entries or arrays: nothing of them may cost the result
        copy, lost = _bare(atoms), ["all but the geometry and the result of a structure"]
        text = _frame(copy)
    tell(lost)
    return text


def text_of(atoms: Atoms, tell: Tell) -> str:
    """Return a structure as a frame; ``tell`` takes the names of what is left out."""
    copy, lost = writable(atoms)
    tell(lost)
    return _frame(copy)


def _frame(atoms: Atoms) -> str:
    text = io.StringIO()
    write_xyz(text, atoms, write_results=False)
    return text.getvalue()


def _bare(atoms: Atoms) -> Atoms:
    """Return elements, geometry and result of a structure alone; "X" stands for no element."""
    known = (atoms.numbers >= 0) & (atoms.numbers < len(chemical_symbols))
    bare = Atoms(np.where(known, atoms.numbers, 0), atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    own = {key: atoms.info[key] for key in (SOURCE, *LABELS) if key in atoms.info}
    bare.info = {key: readable_entry(key, value) for key, value in own.items()}
    return bare


def writable(atoms: Atoms) -> tuple[Atoms, list[str]]:
    """Return a copy of a structure in forms that ASE reads back, and names of what is left out."""
    copy = atoms.copy()
    copy.info = {}
    lost: list[str] = []
    extras: dict[str, dict[str, Any]] = {"info": {}, "arrays": {}}
    for key, value in atoms.info.items():
        value = printable(value) if isinstance(value, str) else value
        try:
            copy.info[key] = readable_entry(key, value)
        except (TypeError, ValueError, LookupError):  # the last one of ASE's parser
            _into(extras["info"], key, value, f"info {key!r}", lost)
    for key, values in atoms.arrays.items():
        if not _fits_columns(key, values):
            del copy.arrays[key]
            _into(extras["arrays"], key, values, f"array {key!r}", lost)
        elif values.dtype.kind == "u":
            copy.arrays[key] = values.astype(int)
    if any(extras.values()):
        copy.info[EXTRAS] = readable_entry(EXTRAS, extras)
    constraints = in_cartesian(atoms)
    copy.set_constraint([each for each in constraints if isinstance(each, HELD)])
    lost += [
        f"constraint {type(each).__name__}" for each in constraints if not isinstance(each, HELD)
    ]
    return copy, lost


def _into(extras: dict[str, Any], key: Any, value: Any, name: str, lost: list[str]) -> None:
    """Add a value to what is kept as JSON, or its name to what is left out."""
    try:
        extras[str(key)] = json.loads(json.dumps(plain(value)))
    except (TypeError, ValueError, RecursionError):
        lost.append(name)


def readable_entry(key: Any, value: Any) -> Any:
    """Return a value in a form that survives: unchanged, escaped, or as JSON."""
    if not isinstance(key, str) or not key.strip() or key in TAKEN:
        raise ValueError(f"{key} cannot be a key")
    if type(value) in (bool, int, float) and key.isidentifier():
        return value
    forms = [value] if isinstance(value, (str, np.ndarray, np.generic, int, float)) else []
    if isinstance(value, str):
        forms.append(value.replace("\\", "\\\\"))
    with suppress(TypeError):
        text = json.dumps(plain(value))
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
    if not re.fullmatch(r"[A-Za-z_][\w.-]*", key) or key in TAKEN:
        return False
    if values.ndim > 2 or 0 in values.shape[1:]:
        return False
    if values.dtype.kind == "U":
        return all(text and not any(map(str.isspace, text)) for text in values.flat)
    return values.dtype.kind in "fiub"
