"""Readers of the kinds of structure files, which yield the chosen frames and their numbers.

In the place of a single broken frame a reader yields an ``InputError``. It raises one if it cannot
go on. These errors do not name the file.

Extended xyz is cut into frames here. So ASE parses only the chosen frames, a broken frame has a
number, and frames behind a blank line are read. An npz archive has the arrays ``Z`` and ``R``, the
atomic numbers and positions (Angstrom) of the atoms of all molecules, and ``offsets``: molecule k
is ``Z[offsets[k]:offsets[k+1]]``. Its array ``id`` is optional.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.io.extxyz import read_xyz
from ase.io.formats import UnknownFileTypeError, filetype, get_ioformat, open_with_compression

from losiko_torch.errors import InputError

Reader = Callable[[Path, slice], Iterator[tuple[int, Atoms | InputError]]]
_T = TypeVar("_T")

#: Suffixes of ASE's databases in LMDB, and arguments of ``ase.db.connect`` for them.
LMDB = {suffix: {"type": "aselmdb", "readonly": True} for suffix in (".aselmdb", ".lmdb")}


def reader_of(path: Path) -> Reader:
    """Return the reader of a file; raise ``UnknownFileTypeError`` if ASE has none."""
    if path.suffix == ".npz":
        return _read_npz
    if path.suffix in LMDB:
        return _read_rows
    kind = filetype(str(path))
    if not get_ioformat(kind).can_read:
        raise UnknownFileTypeError(kind)
    return {"extxyz": _read_extxyz, "db": _read_rows, "json": _read_rows}.get(kind, _read_any)


def count_frames(path: Path, frames: slice) -> int | None:
    """Count the chosen frames of a file without parsing them; None where that would be slow."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return len(range(len(archive["offsets"]) - 1)[frames])
    if path.is_file() and filetype(str(path)) == "extxyz":
        with open_with_compression(str(path)) as file:
            return sum(1 for _ in select(_xyz_frames(file), frames))
    return None


def reason_of(error: Exception) -> str:
    """Return the text of an error, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"unknown {text}" if isinstance(error, KeyError) else text[:200]


def select(items: Iterable[_T], frames: slice) -> Iterator[tuple[int, _T]]:
    """Return the chosen items and their numbers; all are in memory if numbers are negative."""
    if any(place is not None and place < 0 for place in (frames.start, frames.stop, frames.step)):
        return iter(list(enumerate(items))[frames])
    return islice(enumerate(items), frames.start, frames.stop, frames.step)


def _read_any(path: Path, frames: slice) -> Iterator[tuple[int, Atoms]]:
    return select(ase.io.iread(path, index=slice(None), do_not_split_by_at_sign=True), frames)


def _read_rows(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    """Read a database of ASE, with the key-value pairs in ``info``, which ``ase.io`` leaves out."""
    try:
        opened = ase.db.connect(path, serial=True, **LMDB.get(path.suffix, {}))
    except ImportError:
        raise InputError(
            "an LMDB database, which ASE reads with ase-db-backends: pip install ase-db-backends"
        ) from None
    with opened as rows:
        for number, row in select(rows.select(), frames):
            try:
                atoms = row.toatoms()
                atoms.info.update(row.key_value_pairs)
            except Exception as error:  # a damaged row raises errors of many kinds
                yield number, InputError(f"row {number} cannot be read ({reason_of(error)})")
                continue
            yield number, atoms


def _read_extxyz(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    with open_with_compression(str(path)) as file:
        for number, text in select(_xyz_frames(file), frames):
            try:
                atoms = next(read_xyz(io.StringIO(text), slice(0, 1)))
            except Exception as error:  # ASE's parser raises errors of many kinds
                yield number, InputError(f"frame {number} cannot be read ({reason_of(error)})")
                continue
            yield number, atoms


def _xyz_frames(file: Any) -> Iterator[str]:
    number, header = 0, file.readline()
    while header:
        if not header.strip():
            header = file.readline()
            continue
        if not header.strip().isdecimal():
            shown = header.strip()[:40]
            raise InputError(
                f"frame {number} starts with '{shown}' where its number of atoms belongs"
            )
        count = int(header)
        lines = list(islice(iter(file.readline, ""), count + 1))
        if count and len(lines) <= count:
            found = max(len(lines) - 1, 0)
            raise InputError(f"frame {number} is cut short ({found} of {count} atoms)")
        start, header = header, file.readline()
        while header.lstrip().startswith("VEC"):  # cell vectors written as if they were atoms
            lines.append(header)
            header = file.readline()
        yield start + "".join(lines)
        number += 1


def _read_npz(path: Path, frames: slice) -> Iterator[tuple[int, Atoms]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            numbers, positions, offsets = archive["Z"], archive["R"], archive["offsets"]
            identifiers = archive["id"] if "id" in archive.files else None
    except KeyError:
        raise InputError("no QM9-style archive: it lacks Z, R or offsets") from None
    except Exception:
        raise InputError("not a readable npz archive") from None
    count = len(offsets) - 1 if offsets.ndim == 1 and offsets.dtype.kind in "iu" else 0
    fitting = (
        count > 0
        and numbers.dtype.kind in "iu"
        and positions.shape == (*numbers.shape, 3)
        and offsets[0] == 0
        and offsets[-1] == len(numbers)
        and bool((offsets[1:] >= offsets[:-1]).all())
        and (identifiers is None or len(identifiers) == count)
    )
    if not fitting:
        raise InputError("its Z, R and offsets do not fit together")
    for k in range(count)[frames]:
        atoms = slice(offsets[k], offsets[k + 1])
        molecule = Atoms(numbers[atoms], positions[atoms].astype(float))
        if identifiers is not None:
            molecule.info["id"] = int(identifiers[k])
        yield k, molecule
