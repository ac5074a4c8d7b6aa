"""QM9's molecules of H, C, N and O, from figshare: an archive of arrays that every command reads.

Those that failed QM9's own consistency check are left out.
"""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from ase import Atoms

from losiko_torch.errors import InputError, first_line
from losiko_torch.io.atomic import replacement
from losiko_torch.io.fetching.dataset import Fetched, Source, Watch
from losiko_torch.io.fetching.download import discard, download, part_of

MOLECULES = Source(
    "https://ndownloader.figshare.com/files/3195389", "ad1ebd51ee7f5b3a6e32e974e5d54012"
)
FAILED = Source(
    "https://ndownloader.figshare.com/files/3195404", "a361887bacb427b8a0ce7903d92a53b4"
)
FLUORINE = 9
#: Facts about the molecules, as databases keep them.
METADATA = {
    "title": "QM9: molecules of H, C, N, O",
    "level_of_theory": "B3LYP/6-31G(2df,p)",
    "licence": "CC0",
    "citation": "R. Ramakrishnan, P. O. Dral, M. Rupp and O. A. von Lilienfeld, Sci. Data 1, "
    "140022 (2014); L. Ruddigkeit, R. van Deursen, L. C. Blum and J.-L. Reymond, J. Chem. Inf. "
    "Model. 52, 2864 (2012)",
}


@dataclass(frozen=True)
class QM9:
    """QM9 at its place in the network.

    Attributes:
        molecules: Its archive, 86 MB.
        failed: List of those that failed its consistency check.
        file: Name of the file that it is kept in.
    """

    molecules: Source = MOLECULES
    failed: Source = FAILED
    file: str = "qm9.npz"

    def fetch(self, path: Path, overwrite: bool, watch: Watch) -> Fetched:
        """Fetch the molecules and write them; what has come lies in ``FILE.part`` until then.

        Raises:
            InputError: If they cannot be fetched, read or written.
        """
        if path.suffix != ".npz":
            raise InputError(f"{path}: QM9 is kept as an archive of arrays: give a name in .npz")
        part = part_of(path)
        with tempfile.TemporaryDirectory() as folder:
            listed = Path(folder) / "failed"
            download(self.failed, listed, watch, "fetching the list of failed molecules")
            failed = set(failed_ids(listed.read_text(encoding="utf-8", errors="replace")))
        further = f"the same command goes on from {part}"
        download(self.molecules, part, watch, "fetching QM9", further)
        metadata = {**METADATA, "source": self.molecules.address}
        try:
            with open(part, "rb") as archive:
                arrays = as_arrays(
                    (number, atoms)
                    for number, atoms in read_qm9(archive, part.stat().st_size, watch)
                    if number not in failed and FLUORINE not in atoms.numbers
                )
        except (tarfile.TarError, OSError, EOFError, ValueError, LookupError) as error:
            raise InputError(f"{part}: no archive as QM9's ({first_line(error)})") from None
        arrays["metadata"] = np.frombuffer(json.dumps(metadata).encode(), dtype=np.uint8)
        with replacement(path, overwrite) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
        discard(part)
        return Fetched(path, len(arrays["id"]), metadata)


def read_qm9(archive: BinaryIO, size: int, watch: Watch) -> Iterator[tuple[int, Atoms]]:
    """Yield number and geometry of every molecule of QM9's tar archive, in its order.

    Args:
        archive: The archive, open for reading.
        size: Its size in bytes.
        watch: Function that is told how far it is.
    """
    with tarfile.open(fileobj=archive, mode="r:bz2") as members:
        for member in members:
            file = members.extractfile(member)
            if file is None:
                continue
            lines = file.read().decode().splitlines()
            count, number = int(lines[0]), int(lines[1].split()[1])
            rows = [line.replace("*^", "e").split() for line in lines[2 : 2 + count]]
            symbols = [row[0] for row in rows]
            yield number, Atoms(symbols, np.array([row[1:4] for row in rows], dtype=float))
            watch("reading QM9", archive.tell(), size)


def as_arrays(molecules: Iterable[tuple[int, Atoms]]) -> dict[str, Any]:
    """Arrays of an archive of molecules (see ``losiko_torch.io.readers.npz``), by number."""
    ids, numbers, positions = [], [], []
    for number, atoms in molecules:
        ids.append(number)
        numbers.append(atoms.numbers.astype(np.uint8))
        positions.append(atoms.positions.astype(np.float32))
    if not ids:
        raise ValueError("no molecule in it")
    return {
        "id": np.array(ids, dtype=np.int32),
        "Z": np.concatenate(numbers),
        "R": np.concatenate(positions),
        "offsets": np.cumsum([0, *map(len, numbers)], dtype=np.int32),
    }


def failed_ids(text: str) -> list[int]:
    """Numbers in QM9's list of molecules that failed its consistency check."""
    return [int(number) for number in re.findall(r"^\s*(\d+)\s+\S", text, re.MULTILINE)]
