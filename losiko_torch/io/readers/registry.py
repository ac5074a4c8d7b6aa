"""The reader of a file, by its kind; ASE reads what has no reader of its own here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ase.io
from ase import Atoms
from ase.io.formats import get_ioformat

from losiko_torch.io.readers import cif, gromacs, json, npz, pdb, rows, sdf, smiles, vasp, xyz
from losiko_torch.io.readers.interface import Reader, select
from losiko_torch.io.readers.kinds import kind_of
from losiko_torch.io.readers.text import opened

READERS: dict[str, Reader] = {
    "extxyz": xyz.read_frames,
    "xyz": xyz.read_frames,
    "cif": cif.read_blocks,
    "proteindatabank": pdb.read_models,
    "sdf": sdf.read_records,
    "vasp": vasp.read_poscars,
    "gromacs": gromacs.read_gro,
    "json": json.read_json,
    "db": rows.read_rows,
    "lmdb": rows.read_rows,
    "npz": npz.read_npz,
    "smiles": smiles.read_smiles,
}


def reader_of(path: Path) -> Reader:
    """Return the reader of a file; raise ``UnknownFileTypeError`` if there is none."""
    kind = kind_of(path)
    return READERS.get(kind) or _by_ase(kind)


def count_frames(path: Path, frames: slice) -> int | None:
    """Count the chosen frames of a file without parsing them; None where that would be slow."""
    kind = kind_of(path) if path.is_file() else None
    if kind == "npz":
        return npz.count_molecules(path, frames)
    return xyz.count_frames(path, frames) if kind == "extxyz" else None


def _by_ase(kind: str) -> Reader:
    found = get_ioformat(kind)

    def read(path: Path, frames: slice) -> Iterator[tuple[int, Atoms]]:
        if found.acceptsfd and not found.isbinary:
            with opened(path) as file:
                yield from select(ase.io.iread(file, slice(None), format=kind), frames)
        else:
            images = ase.io.iread(str(path), slice(None), format=kind, do_not_split_by_at_sign=True)
            yield from select(images, frames)

    return read
