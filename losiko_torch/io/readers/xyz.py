"""Frames of xyz and extended xyz, and of the raw files of QM9.

A file is cut into frames here. So ASE parses only the chosen frames, a broken frame has a number
and costs no other, and frames behind a blank line are read. A comment that is no list of keys is
kept as ``info["comment"]``.

A raw file of QM9 has a frame with numbers such as ``1.5*^-6``, partial charges in a fifth column,
and behind it three lines: frequencies, two SMILES and two InChIs.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io.extxyz import read_xyz

from losiko_torch.errors import InputError
from losiko_torch.io.readers.interface import each_parsed, select
from losiko_torch.io.readers.text import opened

#: Comment that describes the frame, so that an error in it is an error of the frame.
DESCRIBES = re.compile(r"\bLattice\s*=\s*[\"'{\[]?\s*[-+.\d]|\bProperties\s*=\s*\"?\w+:[SIRL]:\d")
#: Numbers of a comment of QM9, in the units of its paper.
QM9 = "A B C mu alpha homo lumo gap r2 zpve U0 U H G Cv".split()  # noqa: SIM905
#: Array of what stands behind the coordinates where no comment says what it is.
COLUMNS = "columns"
#: Lines behind a frame of QM9.
TAIL = 3


def read_frames(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    """Read the chosen frames of a file."""
    with opened(path) as file:
        yield from each_parsed(_frames(file), atoms_of, frames, "frame")


def count_frames(path: Path, frames: slice) -> int:
    """Count the chosen frames of a file without parsing them."""
    with opened(path) as file:
        return sum(1 for _ in select(_frames(file), frames))


def _frames(opened_file: TextIO) -> Iterator[str | InputError]:
    """Cut a file; where a frame is broken go on at the next line that begins one."""
    file = _Lines(opened_file)
    number, header = 0, file.readline()
    while header:
        if not header.strip():
            header = file.readline()
            continue
        if not _begins(header):
            shown = header.strip()[:40]
            while header and not _begins(header):
                header = file.readline()
            yield InputError(
                f"frame {number} starts with '{shown}' where its number of atoms belongs"
            )
            number += 1
            continue
        start, count = header, int(header.strip()[:18])
        lines, header = [file.readline()], ""
        while len(lines) <= count:
            line = file.readline()
            if not line or _begins(line):  # no atom is a single number
                header = line
                break
            lines.append(line)
        if len(lines) <= count or not lines[0]:
            yield InputError(f"frame {number} is cut short ({len(lines) - 1} of {count} atoms)")
        elif count > 1 and _ends_early(lines[-1], lines[-2]):
            yield InputError(f"frame {number} is cut short (in its last line)")
        else:
            header = file.readline()
            while header.lstrip().startswith("VEC"):  # cell vectors written as if they were atoms
                lines.append(header)
                header = file.readline()
            tail = []
            if header.strip() and not _begins(header):
                tail = [header, *islice(iter(file.readline, ""), TAIL - 1)]
                if _is_tail(tail):
                    header = file.readline()
                else:
                    file.back(tail[1:])
                    tail = []
            yield start + "".join(lines) + "".join(tail)
        number += 1


class _Lines:
    """Lines of a file, of which the last ones can be given back."""

    def __init__(self, file: TextIO):
        self._file = file
        self._again: list[str] = []

    def readline(self) -> str:
        """Return the next line, "" at the end."""
        return self._again.pop(0) if self._again else self._file.readline()

    def back(self, lines: list[str]) -> None:
        """Take lines back, which are read next."""
        self._again = [*lines, *self._again]


def _ends_early(last: str, before: str) -> bool:
    """Return whether the file ends within a line that should be as long as the one before it."""
    return not last.endswith("\n") and len(last.split()) < len(before.split())


def _begins(line: str) -> bool:
    return line.strip().isdecimal()


def _is_tail(lines: list[str]) -> bool:
    """Return whether lines are those behind a frame of QM9: the last one has two InChIs."""
    words = lines[-1].split() if len(lines) == TAIL else []
    return len(words) == 2 and all(word.startswith("InChI=") for word in words)


def atoms_of(text: str) -> Atoms:
    """Return the structure of a frame."""
    header, comment, *lines = text.split("\n")
    count = int(header)
    comment = comment.strip()
    tail = lines[count:]
    if _is_tail(tail[:TAIL]):
        return _of_qm9(count, comment, lines[:count], tail)
    if DESCRIBES.search(comment):
        return _parsed(text)
    lines = [_with_symbol(line) for line in lines]
    atoms = None
    if "=" in comment:
        with suppress(Exception):  # of prose that is no list of keys
            atoms = _parsed("\n".join((header, comment, *lines)))
    if atoms is None:
        atoms = _parsed("\n".join((header, "", *lines)))
        atoms.info |= {"comment": comment} if comment else {}
    further = [line.split()[4:] for line in lines[:count]]
    if further and further[0] and len({len(words) for words in further}) == 1:
        try:
            columns = np.array(further, dtype=float)
        except ValueError:
            columns = np.array(further)
        atoms.arrays[COLUMNS] = columns
    return atoms


def _with_symbol(line: str) -> str:
    """Return the line of an atom with its symbol in place of an atomic number."""
    number, *rest = line.split(maxsplit=1) or [""]
    if not number.isdecimal() or not rest or not 0 < int(number[:9]) < len(chemical_symbols):
        return line
    return f"{chemical_symbols[int(number)]} {rest[0]}"


def _parsed(text: str) -> Atoms:
    return next(read_xyz(io.StringIO(text), slice(0, 1)))


def _of_qm9(count: int, comment: str, lines: list[str], tail: list[str]) -> Atoms:
    rows = [line.replace("*^", "e").split() for line in lines]
    atoms = Atoms([row[0] for row in rows], [[float(x) for x in row[1:4]] for row in rows])
    if all(len(row) > 4 for row in rows) and count:
        atoms.arrays["mulliken_charges"] = np.array([float(row[4]) for row in rows])
    atoms.info["comment"] = comment
    _, *words = comment.split() or [""]
    if words and words[0].isdecimal():
        atoms.info["id"] = int(words[0])
    if len(words) == len(QM9) + 1:
        values = (float(word.replace("*^", "e")) for word in words[1:])
        atoms.info |= dict(zip(QM9, values, strict=True))
    frequencies = tail[0].replace("*^", "e").split()
    atoms.info["frequencies"] = np.array([float(each) for each in frequencies])
    for key, line in zip(("smiles", "inchi"), tail[1:TAIL], strict=True):
        if line.split():
            atoms.info[key] = line.split()[0]
    return atoms
