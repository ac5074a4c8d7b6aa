"""Reading structures: whatever ASE reads, ``file@slice`` included, and QM9-style npz archives."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io.formats import UnknownFileTypeError, string2index

from losiko_torch.database.formats import reader_of, reason_of
from losiko_torch.errors import InputError

#: Key under which a structure remembers the file and the frame it was read from.
SOURCE = "losiko_source"

Filter = Callable[[Atoms], bool]


def read_structures(source: str | Path) -> Iterator[Atoms]:
    """Structures of a file, one by one; ``source`` may end in ``@slice``, as in ``ase gui``.

    Each carries ``info["losiko_source"]``, "file@frame".

    Raises:
        InputError: If the file is missing, empty, broken or no structure file, naming it.
    """
    path, frames = split_source(source)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: a folder, not a structure file")
    found = False
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
        for frame, atoms in reader_of(path)(path, frames):
            if not isinstance(atoms, Atoms):
                raise InputError(f"{path}: holds a {type(atoms).__name__}, not structures")
            found = True
            atoms.info[SOURCE] = f"{path.name}@{frame}"
            yield atoms
    except (InputError, MemoryError):
        raise
    except UnknownFileTypeError:
        raise InputError(f"{path}: not a kind of structure file that ASE reads") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a structure file (it is not text)") from None
    except Exception as error:  # ASE's readers raise whatever their parsing trips over
        raise InputError(f"{path}: cannot be read ({reason_of(error)})") from error
    if not found:
        raise InputError(
            f"{path}: no structure in it" if frames == slice(None) else f"{source}: no such frame"
        )


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


def parse_filter(text: str) -> Filter:
    """A test on ``atoms.info`` from text such as ``e_above_hull<0.2`` or ``formula==SiO2``.

    Quotes around the value make it a string. A structure without the key does not pass.
    """
    passes = parse_record_filter(text)
    return lambda atoms: passes(atoms.info)


def parse_record_filter(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """The test of ``parse_filter`` on a dictionary, such as the record of a structure."""
    match = re.fullmatch(r"\s*([^<>=!\s]+)\s*(<=|>=|==|!=|<|>)\s*([^<>=!\s].*?)\s*", text)
    if match is None:
        raise InputError(f"filter '{text}' is not of the form key<value (or <=, >, >=, ==, !=)")
    key, sign, wanted = match.groups()
    compare = _COMPARISONS[sign]
    quoted = re.fullmatch(r"(['\"])(.*)\1", wanted)
    wanted = quoted[2] if quoted else wanted
    number = None if quoted else _as_number(wanted)
    if number is None and sign not in ("==", "!="):
        raise InputError(f"filter '{text}': '{wanted}' is not a number")

    def passes(record: Mapping[str, Any]) -> bool:
        if key not in record:
            return False
        value = _as_number(record[key])
        if number is not None and value is not None:
            return bool(compare(value, number))
        return sign in ("==", "!=") and bool(compare(str(record[key]), wanted))

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
