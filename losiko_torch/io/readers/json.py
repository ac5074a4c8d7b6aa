"""JSON: ASE's databases, and structures of pymatgen wherever in the file they stand.

The numbers and texts that stand beside a structure of pymatgen, such as its identifier and energy
above the hull in a document of the Materials Project, become entries of ``info``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase import Atoms

from losiko_torch.errors import InputError, StructureError
from losiko_torch.io.readers.interface import reason_of, select
from losiko_torch.io.readers.rows import read_rows
from losiko_torch.io.readers.text import head_of, opened
from losiko_torch.systems.names import UNREADABLE
from losiko_torch.systems.pymatgen import as_atoms, outline


def read_json(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    """Read the chosen structures of a file."""
    if re.match(r'\s*\{\s*(?:"(?:\d+|ids|nextid)"|\})', head_of(path)):
        yield from read_rows(path, frames)
        return
    with opened(path) as file:
        try:
            contents = json.load(file)
        except (ValueError, RecursionError) as error:
            raise InputError(f"no JSON ({reason_of(error)})") from None
    for number, (given, beside) in select(_structures(contents, {}), frames):
        yield number, _atoms_of(number, given, beside)


def _structures(contents: Any, beside: dict[str, Any]) -> Iterator[tuple[dict, dict[str, Any]]]:
    """Find structures among lists and dictionaries, and what stands beside them."""
    if isinstance(contents, list):
        for each in contents:
            yield from _structures(each, beside)
    elif isinstance(contents, dict):
        if isinstance(contents.get("sites"), list):
            yield contents, beside
            return
        own = {
            key: value
            for key, value in contents.items()
            if isinstance(value, (str, int, float)) and not key.startswith("@")
        }
        for each in contents.values():
            yield from _structures(each, own)


def _atoms_of(number: int, given: dict, beside: dict[str, Any]) -> Atoms | InputError:
    try:
        from pymatgen.core import Molecule, Structure
    except ImportError:
        raise InputError("structures of pymatgen: pip install pymatgen") from None
    try:
        structure = (Structure if "lattice" in given else Molecule).from_dict(given)
    except Exception as error:  # of what is no structure, or a damaged one
        return InputError(f"structure {number} cannot be read ({reason_of(error)})")
    try:
        atoms = as_atoms(structure)
    except StructureError as error:
        atoms = outline(structure)
        atoms.info[UNREADABLE] = str(error)
    atoms.info = beside | atoms.info
    return atoms
