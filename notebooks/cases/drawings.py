"""Molecules drawn from their SMILES: by RDKit's ETKDG, and by MMFF94 from there."""

from __future__ import annotations

from ase import Atoms
from rdkit import Chem
from rdkit.Chem import AllChem

#: Iterations that MMFF94 is granted.
ITERATIONS = 5000


def drawn(smiles: str, seed: int) -> Chem.Mol:
    """Molecule with its hydrogens and one conformer by ETKDG.

    Raises:
        ValueError: If RDKit finds no conformer.
    """
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(molecule, randomSeed=seed) != 0:
        raise ValueError(f"{smiles} cannot be embedded")
    return molecule


def geometry(molecule: Chem.Mol) -> Atoms:
    """Structure of a molecule's conformer."""
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    return Atoms(numbers, molecule.GetConformer().GetPositions())


def by_mmff(molecule: Chem.Mol) -> Atoms | None:
    """Structure that MMFF94 makes of a molecule's conformer, which stays.

    None where it lacks parameters or does not converge.
    """
    copy = Chem.Mol(molecule)
    if not AllChem.MMFFHasAllMoleculeParams(copy):
        return None
    return geometry(copy) if AllChem.MMFFOptimizeMolecule(copy, maxIters=ITERATIONS) == 0 else None
