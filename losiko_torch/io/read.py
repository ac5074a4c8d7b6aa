"""Reading structures from files that ASE reads, ``file@slice``, QM9-style npz, and folders."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io.formats import UnknownFileTypeError, string2index

from losiko_torch.errors import InputError
from losiko_torch.io.extras import printable, restored
from losiko_torch.io.overlap import in_blocks
from losiko_torch.io.readers.interface import reason_of, select
from losiko_torch.io.readers.kinds import kind_of
from losiko_torch.io.readers.npz import read_molecules
from losiko_torch.io.readers.registry import reader_of
from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.names import DRAWN, SOURCE, UNREADABLE

#: Most files named in a warning.
SHOWN = 5
#: Molecules of an archive that are handed over at a time.
MOLECULES = 4096
_CUBE = np.eye(3)


def read_structures(source: str | Path) -> Iterator[Atoms]:
    """Read the structures of a file, or of all files of a folder in the order of their names.

    Files in a folder that ASE does not read are skipped with a warning, hidden files and folders
    in it without. Each structure has its origin, "file@frame", in ``info["losiko_source"]``.

    Args:
        source: Name of the file or folder. It may end in ``@slice``, as in ``ase gui``.

    Raises:
        InputError: If the file is missing, empty, broken or no structure file.
    """
    for atoms in frames_of(source):
        if UNREADABLE in atoms.info:
            raise InputError(f"{split_source(source)[0]}: {atoms.info[UNREADABLE]}")
        atoms.info.pop(DRAWN, None)
        yield atoms


def frames_of(source: str | Path, label: str | None = None) -> Iterator[Atoms]:
    """Read structures as ``read_structures`` does, with ``unreadable`` ones for broken frames.

    Args:
        source: As for ``read_structures``.
        label: Name of the file in the structures' origins. None means its name without folders.

    Raises:
        InputError: If nothing at all can be read.
    """
    path, frames = split_source(source)
    label = _printable(path.name) if label is None else label
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    number, found = -1, False
    read: Iterator[tuple[int, Atoms | InputError]]
    try:
        if path.is_dir():
            read = select(_frames_in_folder(path, label), frames)
        else:
            read = reader_of(path)(path, frames)
        for number, atoms in read:
            if isinstance(atoms, Atoms):
                atoms = _known_elements(atoms)
            if isinstance(atoms, InputError):
                atoms = unreadable(str(atoms))
            elif not isinstance(atoms, Atoms):
                raise InputError(f"holds a {type(atoms).__name__}, not structures")
            else:
                found = True
                restored(atoms)
                _drop_placeholder(atoms)
            atoms.info.setdefault(SOURCE, f"{label}@{number}")
            yield atoms
    except Exception as error:  # ASE's readers raise errors of many kinds
        if not found:
            raise InputError(f"{path}: {_why(error)}") from error
        broken = unreadable(f"{_why(error)}, nor can what follows it")
        broken.info[SOURCE] = f"{label}@{number + 1}"
        yield broken
        return
    if number < 0:
        raise InputError(
            f"{path}: no structure in it" if frames == slice(None) else f"{source}: no such frame"
        )


def blocks_of(
    source: str | Path, label: str | None = None, size: int = 64
) -> Iterator[Sequence[Atoms]]:
    """Read structures as ``frames_of`` does, ``size`` at a time; those of an archive in arrays."""
    molecules = _in_arrays(source, label)
    if molecules is None:
        yield from in_blocks(frames_of(source, label), size)
        return
    for first in range(0, len(molecules), MOLECULES):
        yield molecules[first : first + MOLECULES]


def _in_arrays(source: str | Path, label: str | None) -> Molecules | None:
    """Return the molecules of an archive; None where ``frames_of`` is to look at each, or raise."""
    try:
        path, frames = split_source(source)
        if not path.is_file() or kind_of(path) != "npz":
            return None
        read = read_molecules(path, frames)
    except Exception:  # the reader of frames raises it again, and says where
        return None
    if read is None or not len(read[1]):
        return None
    chosen, molecules = read
    if molecules.numbers.min(initial=0) < 0 or molecules.numbers.max(initial=0) >= len(
        chemical_symbols
    ):
        return None
    label = _printable(path.name) if label is None else label
    origins = [f"{label}@{number}" for number in chosen]
    return replace(molecules, facts={**molecules.facts, SOURCE: origins})


def labels_of(sources: Sequence[str | Path]) -> list[str]:
    """Return names by which files can be told apart: "geo.xyz", or "c1/geo.xyz" and "c2/geo.xyz".

    Args:
        sources: Names of files, slices included; the same file may be among them more than once.
    """
    paths = [Path(os.path.abspath(split_source(source)[0])) for source in sources]
    depths = dict.fromkeys(paths, 1)
    while True:
        labels = {path: _printable("/".join(path.parts[-depths[path] :])) for path in depths}
        counts = Counter(labels.values())
        alike = [path for path in depths if counts[labels[path]] > 1]
        if not alike:
            return [labels[path] for path in paths]
        for path in alike:
            depths[path] += 1


def _printable(name: str) -> str:
    """The name of a file, whose bytes need not be text."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _known_elements(atoms: Atoms) -> Atoms | InputError:
    """Return a structure, or what is wrong where an atomic number has no symbol."""
    numbers = atoms.numbers
    # Of thousands of molecules each costs what the calls cost.
    if not len(numbers) or (numbers.min() >= 0 and numbers.max() < len(chemical_symbols)):
        return atoms
    unknown = np.flatnonzero((numbers < 0) | (numbers >= len(chemical_symbols)))
    number = atoms.numbers[unknown[0]]
    return InputError(f"atom {unknown[0]} (atomic number {number}) is not a chemical element")


def _drop_placeholder(atoms: Atoms) -> None:
    """Make a structure in a cube of 1 A a molecule: programs write such cells where they have none.

    The coordinates of more than one atom are within no such cell.
    """
    if len(atoms) > 1 and atoms.pbc.any() and (atoms.cell.array == _CUBE).all():
        atoms.set_cell(None)
        atoms.pbc = False


def unreadable(reason: str) -> Atoms:
    """Return a structure without atoms, in the place of one that cannot be read."""
    return Atoms(info={UNREADABLE: printable(reason)})


def _frames_in_folder(folder: Path, label: str) -> Iterator[Atoms]:
    files = sorted(each for each in folder.iterdir() if each.is_file())
    unknown = []
    for file in files:
        if file.name.startswith("."):
            continue
        try:
            for atoms in frames_of(file):
                atoms.info[SOURCE] = f"{label}/{atoms.info[SOURCE]}"
                yield atoms
        except InputError as error:
            if isinstance(error.__cause__, UnknownFileTypeError):
                unknown.append(file.name)
                continue
            broken = unreadable(str(error).removeprefix(f"{file}: "))
            broken.info[SOURCE] = f"{label}/{_printable(file.name)}"
            yield broken
    if unknown:
        named = ", ".join(unknown[:SHOWN])
        more = "" if len(unknown) <= SHOWN else f" and {len(unknown) - SHOWN:,} more"
        warnings.warn(
            f"{folder}: passed over, as ASE reads no such files: {named}{more}", stacklevel=2
        )


def _why(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, UnknownFileTypeError):
        return "not a kind of structure file that ASE reads"
    if isinstance(error, MemoryError):
        return "it announces more than fits into memory"
    return f"cannot be read ({reason_of(error)})"


def split_source(source: str | Path) -> tuple[Path, slice]:
    """Return file and frames of ``file@slice``, all frames without a slice.

    Raises:
        InputError: If the text behind the @ is neither a slice nor part of a file's name.
    """
    name, at, text = str(source).rpartition("@")
    if not at or "/" in text or Path(source).exists():
        return Path(source), slice(None)
    frames = _parse_frames(text)
    if frames is not None:
        return Path(name), frames
    if Path(name).exists():
        raise InputError(f"{source}: '{text}' is no frame or slice such as 0, -1, :100 or ::10")
    return Path(source), slice(None)


def _parse_frames(text: str) -> slice | None:
    try:
        index = string2index(text)
    except (ValueError, TypeError):
        return None
    if isinstance(index, int):
        return slice(index, index + 1 or None)
    return index if isinstance(index, slice) and index.step != 0 else None
