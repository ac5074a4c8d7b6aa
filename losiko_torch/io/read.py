"""Reading structures: whatever ASE reads, ``file@slice`` included, QM9-style npz, and folders."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.io.formats import UnknownFileTypeError, string2index

from losiko_torch.errors import InputError
from losiko_torch.io.readers import reader_of, reason_of, select
from losiko_torch.systems.names import SOURCE, UNREADABLE

#: Files named in a warning.
SHOWN = 5


def read_structures(source: str | Path) -> Iterator[Atoms]:
    """Structures of a file, one by one; ``source`` may end in ``@slice``, as in ``ase gui``.

    Of a folder, those of its files in the order of their names; files of kinds that ASE does not
    read are passed over with a warning, hidden ones and folders in it without. Each structure
    carries ``info["losiko_source"]``, "file@frame".

    Raises:
        InputError: If the file is missing, empty, broken or no structure file, naming it.
    """
    for atoms in frames_of(source):
        if UNREADABLE in atoms.info:
            raise InputError(f"{split_source(source)[0]}: {atoms.info[UNREADABLE]}")
        yield atoms


def frames_of(source: str | Path) -> Iterator[Atoms]:
    """As ``read_structures``, but what cannot be read comes as an ``unreadable`` structure.

    Raises:
        InputError: Where there is nothing at all that can be read.
    """
    path, frames = split_source(source)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    number, found = -1, False
    try:
        read = _read_folder if path.is_dir() else reader_of(path)
        for number, atoms in read(path, frames):
            if isinstance(atoms, InputError):
                atoms = unreadable(str(atoms))
            elif not isinstance(atoms, Atoms):
                raise InputError(f"holds a {type(atoms).__name__}, not structures")
            else:
                found = True
            atoms.info.setdefault(SOURCE, f"{path.name}@{number}")
            yield atoms
    except MemoryError:
        raise
    except Exception as error:  # ASE's readers raise whatever their parsing trips over
        if not found:
            raise InputError(f"{path}: {_why(error)}") from error
        broken = unreadable(f"{_why(error)}, nor can what follows it")
        broken.info[SOURCE] = f"{path.name}@{number + 1}"
        yield broken
        return
    if number < 0:
        raise InputError(
            f"{path}: no structure in it" if frames == slice(None) else f"{source}: no such frame"
        )


def unreadable(reason: str) -> Atoms:
    """What stands for a structure that cannot be read: no atoms, and why."""
    return Atoms(info={UNREADABLE: reason})


def _read_folder(path: Path, frames: slice) -> Iterator[tuple[int, Atoms]]:
    return select(_frames_in_folder(path), frames)


def _frames_in_folder(folder: Path) -> Iterator[Atoms]:
    files = sorted(each for each in folder.iterdir() if each.is_file())
    unknown = []
    for file in files:
        if file.name.startswith("."):
            continue
        try:
            for atoms in frames_of(file):
                atoms.info[SOURCE] = f"{folder.name}/{atoms.info[SOURCE]}"
                yield atoms
        except InputError as error:
            if isinstance(error.__cause__, UnknownFileTypeError):
                unknown.append(file.name)
                continue
            broken = unreadable(str(error).removeprefix(f"{file}: "))
            broken.info[SOURCE] = f"{folder.name}/{file.name}"
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
    if isinstance(error, UnicodeDecodeError):
        return "not a structure file (it is not text)"
    return f"cannot be read ({reason_of(error)})"


def split_source(source: str | Path) -> tuple[Path, slice]:
    """File and frames of ``file@slice``; without a slice all frames."""
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
