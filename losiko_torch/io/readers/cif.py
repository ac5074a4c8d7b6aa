"""Data blocks of CIF files, which ASE parses one by one.

A block without atoms is passed over, as those of a paper's text are.
"""

from __future__ import annotations

import io
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ase import Atoms
from ase.io.cif import parse_cif

from losiko_torch.errors import InputError
from losiko_torch.io.readers.interface import each_parsed
from losiko_torch.io.readers.text import opened

#: Beginning of what belongs to atoms.
SITES = "_atom_site"


def read_blocks(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    """Read the chosen ones of a file's blocks that have atoms."""
    with opened(path) as file:
        yield from each_parsed(_with_atoms(_blocks(file), path), _atoms_of, frames, "structure")


def _with_atoms(blocks: Iterator[str], path: Path) -> Iterator[str]:
    for text in blocks:
        lower = text.lower()
        if SITES in lower:
            yield text
        elif "_cell_length" in lower:
            name = lower.strip().split("\n")[0]
            warnings.warn(f"{path}: a cell and no atoms in {name[:40]}", stacklevel=2)


def _blocks(file: TextIO) -> Iterator[str]:
    lines: list[str] = []
    within_text = False  # between two lines that begin with a semicolon
    for line in file:
        within_text ^= line.startswith(";")
        if line[:5].lower() == "data_" and not within_text:
            yield "".join(lines)
            lines = []
        lines.append(line)
    yield "".join(lines)


def _atoms_of(text: str) -> Atoms:
    if "_atom_site." in text.lower():
        raise InputError("mmCIF, which ASE does not read: convert it to PDB")
    _check_rows(text.splitlines())
    blocks = [each for each in parse_cif(io.StringIO(text)) if each.has_structure()]
    if len(blocks) != 1:
        raise InputError("it has no coordinates or symbols of its atoms")
    return blocks[0].get_atoms()


def _check_rows(lines: list[str]) -> None:
    """Raise ``InputError`` if the loop of the atoms has a row too long, which ASE leaves out."""
    columns: list[str] = []
    tokens: list[str] = []
    within = False  # the rows of a loop of atoms
    for line in map(str.strip, lines):
        if line.lower().startswith(("loop_", "data_")) or not line:
            columns, tokens, within = [], [], False
        elif line.startswith("_"):
            columns = [] if within else [*columns, line.lower()]
            within = False
        elif line.startswith(("#", ";")):
            continue
        elif any(name.startswith(SITES) for name in columns):
            within = True
            tokens += shlex.split(line.split(" #")[0], posix=False)
            if len(tokens) > len(columns):
                raise InputError(
                    f"a row of its atoms has more than {len(columns)} entries: '{line}'"
                )
            tokens = [] if len(tokens) == len(columns) else tokens
