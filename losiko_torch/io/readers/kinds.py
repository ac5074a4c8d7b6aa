"""Kinds of structure files, by ASE's names: of the suffix, of the name, of what is in them.

A suffix that says what a file is decides first: ``x_POSCAR.extxyz`` is extended xyz, though ASE
takes every name with "POSCAR" in it for VASP's, and a comment that looks like a program's output
changes nothing either.
"""

from __future__ import annotations

import re
from pathlib import Path

from ase.io.formats import (
    UnknownFileTypeError,
    extension2format,
    filetype,
    get_compression,
    get_ioformat,
    ioformats,
)

from losiko_torch.errors import InputError
from losiko_torch.io.readers.text import head_of

#: Suffixes of many programs, of which name and contents tell more.
GENERIC = frozenset(("in", "out", "log", "dat", "com", "md", "34", "f34", "config", "ascii"))
#: Suffixes that ASE does not know, and suffixes of kinds that are read here.
OWN = {
    "npz": "npz",
    "aselmdb": "lmdb",
    "lmdb": "lmdb",
    "ent": "proteindatabank",
    "mcif": "cif",
    "sd": "sdf",
    "mdl": "sdf",
    "mol": "sdf",
    "contcar": "vasp",
    "smi": "smiles",
    "smiles": "smiles",
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
_VECTOR = rf"\s*{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}\b.*\n"
#: Beginnings of files, by kind.
CONTENTS = {
    "extxyz": r"\s*\d+\s*\n",
    "json": r"\s*[{\[]",
    "cif": r"(?:\s*(?:#.*)?\n)*\s*(?:data_|loop_|_cell_)",
    "proteindatabank": r"(?:HEADER|TITLE |COMPND|CRYST1|MODEL |REMARK|ATOM  |HETATM)",
    "sdf": r"(?:.*\n){3}.*V[23]000",
    "vasp": rf".*\n\s*{_NUMBER}(?:\s+{_NUMBER}\s+{_NUMBER})?\s*\n(?:{_VECTOR}){{3}}",
}


def kind_of(path: Path) -> str:
    """Return the kind of a file.

    Raises:
        UnknownFileTypeError: If it is of no kind that is read.
    """
    name = get_compression(path.name)[0]
    suffix = Path(name).suffix.removeprefix(".").lower()
    kind = _kind_of_suffix(suffix) or _kind_of_name_or_contents(path)
    if kind not in OWN.values() and not get_ioformat(kind).can_read:
        raise UnknownFileTypeError(kind)
    return "sdf" if kind == "mol" else kind


def _kind_of_suffix(suffix: str) -> str | None:
    if suffix in OWN:
        return OWN[suffix]
    if suffix in GENERIC:
        return None
    if suffix in extension2format:
        return extension2format[suffix].name
    return suffix if suffix in ioformats else None


def _kind_of_name_or_contents(path: Path) -> str:
    try:
        kind = filetype(str(path))
        get_ioformat(kind)
        return kind
    except UnknownFileTypeError:
        try:
            head = head_of(path)
        except InputError as error:
            raise UnknownFileTypeError(str(error)) from None
        for kind, beginning in CONTENTS.items():
            if re.match(beginning, head):
                return kind
        raise
