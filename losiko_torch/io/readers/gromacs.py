"""Frames of GROMACS files, which ASE parses one by one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from ase import Atoms
from ase.io.gromacs import read_gromacs

from losiko_torch.errors import InputError
from losiko_torch.io.readers.interface import each_parsed
from losiko_torch.io.readers.text import opened


def read_gro(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    """Read the chosen frames of a file."""
    with opened(path) as file:
        yield from each_parsed(_frames(file), _atoms_of, frames, "frame")


def _frames(file: TextIO) -> Iterator[str | InputError]:
    number = 0
    while title := file.readline():
        counted = file.readline()
        if not title.strip() and not counted.strip():
            continue
        if not counted.strip().isdecimal():
            yield InputError(
                f"frame {number} has '{counted.strip()[:40]}' where its number of atoms belongs, "
                "and nothing behind it is read"
            )
            return
        count = int(counted.strip()[:18])
        lines = list(islice(iter(file.readline, ""), count + 1))
        if len(lines) <= count:
            found = min(len(lines), count)
            yield InputError(f"frame {number} is cut short ({found} of {count} atoms)")
            return
        yield "".join((title, counted, *lines))
        number += 1


def _atoms_of(text: str) -> Atoms:
    box = text.splitlines()[-1].split()
    try:
        lengths = [float(each) for each in box]
    except ValueError:
        lengths = []
    if len(lengths) not in (3, 9):
        raise InputError(f"its box is '{' '.join(box)[:40]}', not 3 or 9 numbers")
    atoms = read_gromacs(io.StringIO(text))
    if not any(lengths):  # as of programs that have no box to write
        atoms.pbc = False
    return atoms
