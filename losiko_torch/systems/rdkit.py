"""Molecules of RDKit and SMILES: their conformers as ``ase.Atoms``, and the way back.

RDKit is not required. Hydrogens are added and geometries embedded by ETKDGv3, all from one seed. A
molecule that has geometries already keeps these. Structures carry ``info["smiles"]``,
``info["name"]`` (the molecule's own name, else its SMILES), ``info["charge"]``, the total charge,
and ``info["bonds"]``, rows of two atoms and the order; formal charges are initial charges.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from losiko_torch.errors import InputError, StructureError, first_line
from losiko_torch.extras import needs
from losiko_torch.systems.names import BONDS, DRAWN, UNREADABLE

if TYPE_CHECKING:
    from rdkit.Chem import Mol

#: RMSD (Angstrom) of all atoms below which two conformers are the same.
ALIKE = 0.1
#: Distance (Angstrom) between the parts of a SMILES such as "CCO.O".
APART = 3.0
#: Seeds that RDKit has, and the stride from one of ours to the next.
SEEDS, STRIDE = 2_000_000_000, 1_000_003


def is_molecule(given: Any) -> bool:
    """Return whether something is a molecule of RDKit, or the None in the place of one."""
    module = sys.modules.get("rdkit.Chem")
    return module is not None and (given is None or isinstance(given, module.Mol))


def is_drawn(given: Any) -> bool:
    """Return whether a structure has a graph that conformers are made of, and no geometry."""
    return is_molecule(given) or (isinstance(given, Atoms) and DRAWN in given.info)


def molecule_of(smiles: str, name: str = "") -> Mol:
    """Return the molecule of a SMILES.

    Raises:
        StructureError: If RDKit cannot read it, or there can be no such molecule.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        found = Chem.MolFromSmiles(smiles, sanitize=False)
        if found is None:
            raise StructureError(f"'{smiles}' is no SMILES that RDKit can read")
        problems = Chem.DetectChemistryProblems(found)
        if problems:
            raise StructureError(
                f"there is no such molecule as '{smiles}' ({problems[0].Message().strip()})"
            )
        found = Chem.MolFromSmiles(smiles)
    found.SetProp("_Name", name)
    # As it was written, not as RDKit would write it.
    found.SetProp("_smiles", smiles)
    return found


def conformers_of(given: Any, count: int, seed: int) -> list[Atoms]:
    """Return up to ``count`` conformers; those that are alike count once.

    Raises:
        StructureError: For a molecule without a geometry.
    """
    from rdkit import Chem, rdBase

    kept: dict[str, Any] = {}
    if isinstance(given, Atoms):
        kept = {key: value for key, value in given.info.items() if key != DRAWN}
        given = molecule_of(given.info[DRAWN], str(kept.get("name", "")))
    if given is None:
        raise StructureError("it is None, which RDKit returns for what it cannot read")
    with rdBase.BlockLogs():
        try:
            own = any(each.Is3D() for each in given.GetConformers())
            full = Chem.AddHs(given, addCoords=own)
        except Exception as error:  # RDKit's own kinds, such as of molecules not sanitized
            raise StructureError(f"RDKit cannot add its hydrogens ({first_line(error)})") from None
        if not full.GetNumAtoms():
            raise StructureError("it has no atoms")
        if not own:
            _embed(full, count, seed)
    try:
        info, charges = kept | _info(given, full), _charges(full)
    except Exception as error:  # RDKit's own kinds
        raise StructureError(f"RDKit cannot tell its bonds ({first_line(error)})") from None
    made = []
    for each in full.GetConformers():
        atoms = Atoms(_numbers(full), each.GetPositions(), info=dict(info))
        if any(charges):
            atoms.set_initial_charges(charges)
        made.append(atoms)
    return made


def failing(given: Any, reason: str) -> Atoms:
    """Return a structure that fails with a reason, in the place of conformers."""
    atoms = sketch(given)
    atoms.info[UNREADABLE] = reason
    return atoms


def sketch(given: Any) -> Atoms:
    """Return the atoms that a molecule tells of, all in one place, and its names."""
    if isinstance(given, Atoms):
        return given.copy()
    if given is None:
        return Atoms()
    try:
        info = _info(given, None)
    except Exception:  # of molecules that RDKit did not sanitize
        info = {}
    return Atoms(_numbers(given), np.zeros((given.GetNumAtoms(), 3)), info=info)


def size_of_molecule(given: Any) -> int:
    """Return the number of atoms with all hydrogens."""
    try:
        return 0 if given is None else given.GetNumAtoms(onlyExplicit=False)
    except Exception:  # of molecules that RDKit did not sanitize
        return 0 if given is None else given.GetNumAtoms()


def portable(given: Any) -> Any:
    """Return what another process gets a structure from, all of it.

    RDKit's molecules lose names and digits where Python alone sends them.
    """
    return _Packed(given) if given is not None and is_molecule(given) else given


class _Packed:
    """Molecule that becomes one again where it arrives."""

    def __init__(self, given: Any):
        """Keep the molecule."""
        self.given = given

    def __reduce__(self) -> tuple:
        from rdkit import Chem

        kept = Chem.PropertyPickleOptions
        return Chem.Mol, (self.given.ToBinary(int(kept.AllProps) | int(kept.CoordsAsDouble)),)


def to_rdkit(result: Any) -> Mol:
    """Return a relaxed structure as a molecule of RDKit with the bonds of its input.

    Args:
        result: Result or ``ase.Atoms`` of a molecule given as SMILES, by RDKit, or in an SDF.

    Returns:
        Molecule with all hydrogens in the order of the atoms and one conformer; chirality is that
        of the geometry.

    Raises:
        InputError: If RDKit is not installed.
        StructureError: If the structure carries no bonds, or RDKit objects to them.
    """
    needs("rdkit", "a molecule of RDKit")
    from rdkit import Chem, rdBase
    from rdkit.Geometry import Point3D

    atoms: Atoms = getattr(result, "atoms", result)
    if not isinstance(atoms, Atoms):
        raise InputError(f"a {type(result).__name__} is no result: give a Result or ase.Atoms")
    bonds = np.asarray(atoms.info.get(BONDS, np.zeros((0, 3), dtype=int)))
    if not len(bonds) and len(atoms) != 1:
        raise StructureError(
            "its bonds are not known: relax a SMILES, a molecule of RDKit or an SDF, whose bonds "
            'results keep in info["bonds"]'
        )
    made = Chem.RWMol()
    charges = atoms.get_initial_charges()
    for number, charge in zip(atoms.numbers.tolist(), charges.tolist(), strict=True):
        atom = Chem.Atom(number)
        atom.SetFormalCharge(round(charge))
        atom.SetNoImplicit(True)
        made.AddAtom(atom)
    kinds = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
    kinds[4] = Chem.BondType.AROMATIC
    for first, second, order in bonds.tolist():
        made.AddBond(int(first), int(second), kinds.get(int(order), Chem.BondType.SINGLE))
        if order == 4:
            made.GetBondBetweenAtoms(int(first), int(second)).SetIsAromatic(True)
            for end in (first, second):
                made.GetAtomWithIdx(int(end)).SetIsAromatic(True)
    shape = Chem.Conformer(len(atoms))
    shape.Set3D(True)
    for k, position in enumerate(atoms.positions.tolist()):
        shape.SetAtomPosition(k, Point3D(*position))
    made.AddConformer(shape, assignId=True)
    molecule = made.GetMol()
    try:
        with rdBase.BlockLogs():
            Chem.SanitizeMol(molecule)
            Chem.AssignStereochemistryFrom3D(molecule)
    except Exception as error:  # RDKit's own kinds
        raise StructureError(f"RDKit objects to its bonds ({first_line(error)})") from None
    molecule.SetProp("_Name", str(atoms.info.get("name", "")))
    return molecule


def _embed(full: Mol, count: int, seed: int) -> None:
    """Give a molecule with all hydrogens its conformers; the parts of it stand side by side."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    how: Any = rdDistGeom.ETKDGv3()
    # RDKit multiplies its seed by the conformer's number, so that 0 would make all of them alike.
    how.randomSeed = 1 + seed * STRIDE % SEEDS
    how.enableSequentialRandomSeeds = True
    how.pruneRmsThresh, how.onlyHeavyAtomsForRMS, how.useSymmetryForPruning = ALIKE, False, False
    found = list(rdDistGeom.EmbedMultipleConfs(full, count, how))
    if not found:
        how.useRandomCoords = True
        found = list(rdDistGeom.EmbedMultipleConfs(full, count, how))
    if not found:
        raise StructureError("RDKit finds no geometry of it: is its stereochemistry possible?")
    parts = [list(part) for part in Chem.GetMolFrags(full)]
    for conformer in full.GetConformers() if len(parts) > 1 else ():
        positions, end = conformer.GetPositions(), -np.inf
        for part in parts:
            x = positions[part, 0]
            if np.isfinite(end):
                positions[part, 0] = x + end + APART - x.min()
            end = positions[part, 0].max()
        conformer.SetPositions(np.ascontiguousarray(positions))


def _info(given: Mol, full: Mol | None) -> dict[str, Any]:
    """Return names, charge and, of the molecule with all hydrogens, bonds."""
    from rdkit import Chem

    smiles = given.GetProp("_smiles") if given.HasProp("_smiles") else ""
    if not smiles:
        smiles = Chem.MolToSmiles(Chem.RemoveHs(given))
    name = given.GetProp("_Name").strip() if given.HasProp("_Name") else ""
    info = {"name": name or smiles, "smiles": smiles, "charge": Chem.GetFormalCharge(given)}
    if full is None or not full.GetNumBonds():
        return info
    plain = Chem.Mol(full)
    Chem.Kekulize(plain, clearAromaticFlags=True)
    bonds = [
        (each.GetBeginAtomIdx(), each.GetEndAtomIdx(), int(each.GetBondTypeAsDouble()))
        for each in plain.GetBonds()
    ]
    return info | {BONDS: np.array(bonds)}


def _numbers(molecule: Mol) -> list[int]:
    every: Any = molecule.GetAtoms()
    return [each.GetAtomicNum() for each in every]


def _charges(molecule: Mol) -> list[int]:
    every: Any = molecule.GetAtoms()
    return [each.GetFormalCharge() for each in every]
