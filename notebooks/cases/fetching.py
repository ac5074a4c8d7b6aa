"""Download of the public originals: QM9 from figshare, checked by MD5; crystals by ``mp-api``."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

#: Ramakrishnan et al., Sci. Data 1, 140022 (2014), CC0: address and MD5 of the molecules, and of
#: the list of those that failed its consistency check.
QM9 = "https://ndownloader.figshare.com/files/3195389", "ad1ebd51ee7f5b3a6e32e974e5d54012"
QM9_FAILED = "https://ndownloader.figshare.com/files/3195404", "a361887bacb427b8a0ce7903d92a53b4"
#: Environment variable with the key to the Materials Project.
KEY = "MP_API_KEY"
#: Materials Project entries of amorphous SiO2.
AMORPHOUS_SILICA = ("mp-1244945", "mp-1245026", "mp-1244965", "mp-1244968")
SECONDS = 60


class NotFetched(Exception):
    """An original could not be fetched; the message says why in a sentence."""


def qm9(path: Path) -> None:
    """Fetch QM9's molecules of H, C, N and O (86 MB) and write them as an archive of arrays.

    Raises:
        NotFetched: If the checksum differs.
        OSError: Without a network.
    """
    print(f"fetching QM9 from {QM9[0]} (86 MB, once)")
    failed = set(failed_ids(fetched(*QM9_FAILED).decode()))
    molecules = [
        (number, atoms)
        for number, atoms in read_qm9(fetched(*QM9))
        if number not in failed and 9 not in atoms.numbers
    ]
    arrays = as_arrays(molecules)
    _whole(path, lambda temporary: np.savez_compressed(temporary, **arrays))


def crystals(system: str, path: Path) -> None:
    """Fetch all Materials Project entries of a chemical system and its subsystems, as extended xyz.

    Raises:
        NotFetched: Without ``mp-api`` or a key.
        OSError: Without a network.
    """
    _summaries(path, chemsys=subsystems(system))


def amorphous_silica(path: Path) -> None:
    """Fetch the Materials Project's cells of amorphous SiO2, as extended xyz."""
    _summaries(path, material_ids=list(AMORPHOUS_SILICA))


def subsystems(system: str) -> list[str]:
    """Names of all subsystems in the Materials Project: "O", "Si" and "O-Si" of "Si-O"."""
    elements = sorted(system.split("-"))
    chosen = range(1, 2 ** len(elements))
    return ["-".join(e for k, e in enumerate(elements) if bits >> k & 1) for bits in chosen]


def fetched(address: str, md5: str) -> bytes:
    """Download the bytes at an address; raise ``NotFetched`` if their MD5 checksum differs."""
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        content = answer.read()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise NotFetched(f"{address}: the checksum is {found}, not {md5}")
    return content


def read_qm9(archive: bytes) -> Iterator[tuple[int, Atoms]]:
    """Yield number and geometry of every molecule of QM9's tar archive, in its order."""
    with tarfile.open(fileobj=BytesIO(archive), mode="r:bz2") as members:
        for member in members:
            file = members.extractfile(member)
            if file is None:
                continue
            lines = file.read().decode().splitlines()
            count, number = int(lines[0]), int(lines[1].split()[1])
            rows = [line.replace("*^", "e").split() for line in lines[2 : 2 + count]]
            symbols = [row[0] for row in rows]
            yield number, Atoms(symbols, np.array([row[1:4] for row in rows], dtype=float))


def as_arrays(molecules: Iterable[tuple[int, Atoms]]) -> dict[str, np.ndarray]:
    """Arrays of ``qm9.npz`` from numbers and molecules."""
    ids, numbers, positions = [], [], []
    for number, atoms in molecules:
        ids.append(number)
        numbers.append(atoms.numbers.astype(np.uint8))
        positions.append(atoms.positions.astype(np.float32))
    return {
        "id": np.array(ids, dtype=np.int32),
        "Z": np.concatenate(numbers),
        "R": np.concatenate(positions),
        "offsets": np.cumsum([0, *map(len, numbers)], dtype=np.int32),
    }


def failed_ids(text: str) -> list[int]:
    """Numbers in QM9's list of molecules that failed its consistency check."""
    return [int(number) for number in re.findall(r"^\s*(\d+)\s+\S", text, re.MULTILINE)]


def _summaries(path: Path, **criteria: Any) -> None:
    key = os.environ.get(KEY)
    if not key:
        raise NotFetched(f"set {KEY} to your key of the Materials Project, or LOSIKO_DATA")
    try:
        from mp_api.client import MPRester
    except ImportError:
        raise NotFetched("mp-api is not installed: pip install mp-api") from None
    from pymatgen.io.ase import AseAtomsAdaptor

    fields = ["material_id", "formula_pretty", "energy_above_hull", "structure"]
    print(f"fetching {path.stem} from the Materials Project")
    try:
        with MPRester(key) as project:
            entries = project.materials.summary.search(fields=fields, **criteria)
    except Exception as error:  # mp-api raises whatever its libraries raise
        raise NotFetched(f"the Materials Project's client says: {error}") from error
    structures = []
    for entry in entries:
        atoms = AseAtomsAdaptor.get_atoms(entry.structure, msonable=False)
        atoms.info = {
            "material_id": str(entry.material_id),
            "formula": str(entry.formula_pretty),
            "e_above_hull": float(entry.energy_above_hull),
        }
        for name in set(atoms.arrays) - {"numbers", "positions"}:
            del atoms.arrays[name]
        structures.append(atoms)
    _whole(path, lambda temporary: ase.io.write(temporary, structures, format="extxyz"))


def _whole(path: Path, write: Any) -> None:
    """Write a file so that an interrupted run leaves none that is cut short."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        temporary.replace(path)
