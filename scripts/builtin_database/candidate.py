"""What the second edition relaxes: molecules, ions and complexes before they are relaxed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rdkit import Chem


@dataclass(frozen=True)
class Candidate:
    """A start geometry, its atoms in the order of RDKit's molecule of the SMILES with hydrogens.

    Attributes:
        key: Name in the logs, of no other candidate; it ends with the rank.
        group: The list it comes from.
        kind: Word that the file says of it: molecule, ion, complex, ionic_complex.
    """

    key: str
    smiles: str
    group: str
    kind: str
    numbers: np.ndarray
    positions: np.ndarray

    @property
    def rank(self) -> int:
        """Which of the conformers or minima of its plan this is: 0 for the lowest."""
        return int(self.key.rsplit("|", 1)[1])

    @property
    def charge(self) -> int:
        """Total charge in units of the proton's."""
        return charge_of(self.smiles)


def charge_of(smiles: str) -> int:
    """Total charge of what a SMILES says."""
    return int(Chem.GetFormalCharge(Chem.MolFromSmiles(smiles)))


def kind_of(smiles: str) -> str:
    """Word for a structure: whether it is charged, and whether it is one molecule."""
    charged = any(charge_of(part) for part in smiles.split("."))
    if "." in smiles:
        return "ionic_complex" if charged else "complex"
    return "ion" if charged else "molecule"


def plain(smiles: str) -> str:
    """Canonical SMILES without stereochemistry."""
    return Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False)


def with_hydrogens(smiles: str) -> Chem.Mol:
    """RDKit's molecule; the hydrogens of each fragment stand in the order of its heavy atoms."""
    return Chem.AddHs(Chem.MolFromSmiles(smiles))


def topological_distances(smiles: str) -> np.ndarray:
    """Number of bonds between each two atoms, some large number between molecules."""
    return Chem.GetDistanceMatrix(with_hydrogens(smiles))
