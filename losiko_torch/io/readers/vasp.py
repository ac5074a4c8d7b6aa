"""POSCAR and CONTCAR files, and several of them behind each other, which ASE parses one by one."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.io.vasp import read_vasp

from losiko_torch.errors import InputError
from losiko_torch.io.readers.interface import each_parsed
from losiko_torch.io.readers.kinds import CONTENTS
from losiko_torch.io.readers.text import opened


def read_poscars(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    """Read the chosen structures of a file."""
    with opened(path) as file:
        lines = file.read().splitlines(keepends=True)

    def parse(text: str) -> Atoms:
        return read_vasp(_Named(text, str(path)))

    yield from each_parsed(_structures(lines, path), parse, frames, "structure")


#: Lines that may stand behind the atoms: of velocities, and of a molecular dynamics run.
BEHIND = re.compile(
    r"(?:\s*(?:cartesian|direct|kartesian|[cdk]|lattice velocities.*)|[-+\s\d.eEdD]*)\s*", re.I
)


class _Named(io.StringIO):
    """Text with the name of its file, beside which ASE looks for elements that it does not name."""

    def __init__(self, text: str, name: str):
        super().__init__(text)
        self.name = name


def _structures(lines: list[str], path: Path) -> Iterator[str | InputError]:
    while lines:
        end = _end(lines)
        if isinstance(end, InputError):
            yield end
            return
        follows = end
        # Behind the atoms may stand velocities and more, and then another structure.
        while follows < len(lines) and not _begins(lines[follows : follows + 7]):
            follows += 1
        odd = next((line.strip() for line in lines[end:follows] if not BEHIND.fullmatch(line)), "")
        if odd:
            warnings.warn(
                f"{path}: what stands behind atoms is neither velocities nor another structure, "
                f"and is not read: '{odd[:40]}'",
                stacklevel=2,
            )
        yield "".join(lines[:follows])
        lines = lines[follows:]


def _end(lines: list[str]) -> int | InputError:
    """Return the number of lines to the last atom."""
    counts = next((k for k in (5, 6) if re.match(r"\s*\d+(\s|$)", "".join(lines[k : k + 1]))), None)
    if counts is None:
        return InputError("it has no numbers of atoms in its sixth or seventh line")
    words = lines[counts].split("!")[0].split()
    if not all(word.isdecimal() for word in words):
        return InputError(f"its numbers of atoms are '{lines[counts].strip()[:40]}'")
    n_atoms = sum(int(word[:18]) for word in words)
    mode = counts + 1
    if "".join(lines[mode : mode + 1]).lstrip()[:1] in ("S", "s"):
        mode += 1
    end = mode + 1 + n_atoms
    if len(lines) < end:
        found = max(len(lines) - mode - 1, 0)
        return InputError(f"it is cut short ({found} of {n_atoms} atoms)")
    return end


def _begins(lines: list[str]) -> bool:
    """Return whether lines are the head of a structure: scale, cell, elements or numbers."""
    text = "".join(lines)
    if len(lines) < 7 or not re.match(CONTENTS["vasp"], text):
        return False
    return all(re.fullmatch(r"[A-Z][a-z]?(_\w+)?(/\w+)?|\d+", word) for word in lines[5].split())
