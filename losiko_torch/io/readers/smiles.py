"""Files of SMILES: one a line, and behind it the molecule's name.

A molecule is read with one conformer, and with its SMILES in ``info["losiko_drawn"]`` until
``losiko_torch.io.read`` takes that out: a relaxation makes conformers of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ase import Atoms

from losiko_torch.errors import InputError, StructureError
from losiko_torch.extras import needs
from losiko_torch.io.readers.interface import select
from losiko_torch.io.readers.text import opened
from losiko_torch.systems.names import DRAWN
from losiko_torch.systems.rdkit import conformers_of, molecule_of

#: Words in the place of a first SMILES that make its line a heading.
HEADINGS = ("smiles", "canonical_smiles", "smi")


def read_smiles(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    """Read the chosen molecules of a file, one conformer each."""
    needs("rdkit", "SMILES")
    with opened(path) as file:
        for number, (smiles, name) in select(_lines(file), frames):
            try:
                (atoms, *_) = conformers_of(molecule_of(smiles, name), 1, 0)
            except StructureError as error:
                yield number, InputError(f"{name}: {error}" if name else str(error))
                continue
            atoms.info[DRAWN] = smiles
            yield number, atoms


def _lines(file: TextIO) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(file):
        smiles, _, name = line.strip().partition(" ") if "\t" not in line else line.partition("\t")
        heading = number == 0 and smiles.strip().lower() in HEADINGS
        if smiles.strip() and not heading and not smiles.startswith("#"):
            yield smiles.strip(), " ".join(name.split())
