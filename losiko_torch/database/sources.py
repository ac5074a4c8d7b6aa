"""Reading structures: whatever ASE reads, ``file@slice`` included, and QM9-style npz archives.

An npz archive holds many molecules behind each other: ``Z`` and ``R`` (atomic numbers and positions
in Angstrom of all atoms) and ``offsets``, so that molecule k is ``Z[offsets[k]:offsets[k+1]]``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.io.formats import UnknownFileTypeError, string2index

from losiko_torch.errors import InputError

#: Key under which a structure remembers the file and the frame it was read from.
SOURCE = "losiko_source"

Filter = Callable[[Atoms], bool]


def read_structures(source: str | Path) -> Iterator[Atoms]:
    """Structures of a file, one by one; ``source`` may end in ``@slice``, as in ``ase gui``.

    Each carries ``info["losiko_source"]``, "file@frame".

    Raises:
        InputError: If the file is missing, empty, or no structure file, naming it.
    """
    name, index = _split(str(source))
    path = Path(name)
    if not path.exists():
        raise InputError(f"{name}: no such file")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{name}: the file is empty")
    found = False
    reader = _read_npz if path.suffix == ".npz" else _read_with_ase
    for frame, atoms in reader(path, index):
        found = True
        atoms.info[SOURCE] = f"{path.name}@{frame}"
        yield atoms
    if not found:
        raise InputError(f"{source}: no structure in it")


def read_all(sources: Iterable[str | Path]) -> Iterator[Atoms]:
    """The structures of several files, in order."""
    for source in sources:
        yield from read_structures(source)


def parse_filter(text: str) -> Filter:
    """A test on ``atoms.info`` from text such as ``e_above_hull<0.2`` or ``formula==SiO2``.

    A structure without the key does not pass.
    """
    match = re.fullmatch(r"\s*([^<>=!\s]+)\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*", text)
    if match is None:
        raise InputError(f"filter '{text}' is not of the form key<value (or <=, >, >=, ==, !=)")
    key, sign, wanted = match.groups()
    compare = _COMPARISONS[sign]
    number = _as_number(wanted)
    if number is None and sign not in ("==", "!="):
        raise InputError(f"filter '{text}': '{wanted}' is not a number")

    def passes(atoms: Atoms) -> bool:
        if key not in atoms.info:
            return False
        value = atoms.info[key]
        if number is None:
            return bool(compare(str(value), wanted))
        value = _as_number(value)
        return value is not None and bool(compare(value, number))

    return passes


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def _as_number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _split(source: str) -> tuple[str, slice | int]:
    """File name and frames; without ``@`` all frames."""
    name, at, frames = source.rpartition("@")
    if not at or Path(source).exists():
        return source, slice(None)
    try:
        index = string2index(frames)
    except ValueError:
        raise InputError(f"{source}: '{frames}' is no slice such as 0, :100 or ::10") from None
    if isinstance(index, str):
        raise InputError(f"{source}: '{frames}' is no slice such as 0, :100 or ::10")
    return name, index


def _read_with_ase(path: Path, index: slice | int) -> Iterator[tuple[int, Atoms]]:
    frames = index if isinstance(index, slice) else slice(index, index + 1 or None)
    # Frames counted from the end need the length, and numbers need the step.
    from_end = (frames.start or 0) < 0 or (frames.step or 1) < 0
    start, step = (0 if from_end else frames.start or 0), frames.step or 1
    frame = start
    try:
        for atoms in ase.io.iread(path, index=frames, do_not_split_by_at_sign=True):
            yield frame, atoms
            frame += step
    except UnknownFileTypeError:
        raise InputError(f"{path}: ASE does not know this kind of file") from None
    except (OSError, ImportError, MemoryError):
        raise
    except Exception as error:  # ASE's readers raise whatever their parsing trips over
        reason = str(error).strip() or type(error).__name__
        raise InputError(f"{path}: frame {frame} cannot be read ({reason})") from error


def _read_npz(path: Path, index: slice | int) -> Iterator[tuple[int, Atoms]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            numbers, positions, offsets = archive["Z"], archive["R"], archive["offsets"]
            identifiers = archive["id"] if "id" in archive.files else None
    except KeyError as error:
        raise InputError(f"{path}: no array {error} in it, as in a QM9 archive") from None
    except Exception as error:
        raise InputError(f"{path}: not a readable npz archive ({error})") from None
    count = len(offsets) - 1
    if len(numbers) != len(positions) or count < 1 or offsets[-1] != len(numbers):
        raise InputError(f"{path}: Z, R and offsets do not fit together")
    if isinstance(index, slice):
        chosen = range(count)[index]
    elif -count <= index < count:
        chosen = range(index % count, index % count + 1)
    else:
        raise InputError(f"{path}: there is no molecule {index} among {count}")
    for k in chosen:
        atoms = slice(offsets[k], offsets[k + 1])
        molecule = Atoms(numbers[atoms], positions[atoms].astype(float))
        if identifiers is not None:
            molecule.info["id"] = int(identifiers[k])
        yield k, molecule
