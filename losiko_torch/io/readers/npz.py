"""Archives of molecules in the manner of QM9's.

An archive has the arrays ``Z`` and ``R``, the atomic numbers and positions (Angstrom) of the atoms
of all molecules, and ``offsets``: molecule k is ``Z[offsets[k]:offsets[k+1]]``. Its array ``id`` is
optional, and so is ``metadata``: facts about all of them, such as their licence, as bytes of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from losiko_torch.errors import InputError
from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.molecules import molecule
from losiko_torch.systems.names import METADATA


def count_molecules(path: Path, frames: slice) -> int:
    """Count the chosen molecules of an archive."""
    with np.load(path, allow_pickle=False) as archive:
        return len(range(len(archive["offsets"]) - 1)[frames])


def read_npz(path: Path, frames: slice) -> Iterator[tuple[int, Atoms]]:
    """Read the chosen molecules of an archive."""
    archive = _checked(path)
    numbers, positions, limits = archive.numbers, archive.positions, archive.offsets.tolist()
    for k in range(len(limits) - 1)[frames]:
        info: dict[str, Any] = {}
        if archive.identifiers is not None:
            info["id"] = int(archive.identifiers[k])
        if archive.metadata:
            info[METADATA] = archive.metadata
        atoms = slice(limits[k], limits[k + 1])
        yield k, molecule(numbers[atoms].copy(), positions[atoms].copy(), info)


def read_molecules(path: Path, frames: slice) -> tuple[range, Molecules] | None:
    """Return the numbers of the chosen molecules of an archive, and these, as ``read_npz`` does.

    None stands for an archive whose identifiers are not all whole numbers.
    """
    archive = _checked(path)
    count = len(archive.offsets) - 1
    facts: dict[str, list[Any]] = {}
    if archive.identifiers is not None:
        if archive.identifiers.dtype.kind not in "iu" or archive.identifiers.ndim != 1:
            return None
        facts["id"] = archive.identifiers.tolist()
    if archive.metadata:
        facts[METADATA] = [archive.metadata] * count
    every = Molecules(archive.numbers, archive.positions, archive.offsets.astype(int), facts)
    return range(count)[frames], every[frames]


class _Archive(NamedTuple):
    numbers: np.ndarray
    positions: np.ndarray
    offsets: np.ndarray
    identifiers: np.ndarray | None
    metadata: dict[str, Any]


def _checked(path: Path) -> _Archive:
    """Return the arrays of an archive, which fit together."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            numbers, positions, offsets = archive["Z"], archive["R"], archive["offsets"]
            identifiers = archive["id"] if "id" in archive.files else None
            metadata = _metadata(archive)
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
    return _Archive(numbers.astype(int), positions.astype(float), offsets, identifiers, metadata)


def _metadata(archive: Any) -> dict[str, Any]:
    """Facts that an archive has about its molecules; none if its ``metadata`` is something else."""
    if "metadata" not in archive.files:
        return {}
    try:
        found = json.loads(archive["metadata"].tobytes())
    except ValueError:  # numpy's for objects, json's and that of codecs
        return {}
    return found if isinstance(found, dict) else {}
