"""Molecules to measure on: sound SMILES, and none of them in the database beyond a known few."""

import pytest

pytest.importorskip("rdkit")
pytest.importorskip("tblite")

from cases.unseen import NAMED, every_one, geometries, plain
from rdkit import Chem

from losiko_torch.database.builtin import builtin_structures

#: Drug-like molecules that the first edition of the database had before they were reported on.
IN_THE_FIRST_EDITION = {
    "CSCCC(N)C(=O)O",
    "Nc1ncnc2[nH]cnc12",
    "c1ccc2ncccc2c1",
    "c1ccc2ccccc2c1",
    "c1ccc2scnc2c1",
}


def test_no_molecule_is_listed_twice_and_none_is_large():
    listed = [plain(smiles) for named in NAMED.values() for smiles in named.values()]
    assert len(set(listed)) == len(listed)
    assert all(Chem.MolFromSmiles(smiles).GetNumHeavyAtoms() <= 32 for smiles in listed)


def test_ions_have_charges_and_the_others_none():
    for group, named in NAMED.items():
        for smiles in named.values():
            molecule = Chem.MolFromSmiles(smiles)
            if group == "ions":
                assert any(atom.GetFormalCharge() for atom in molecule.GetAtoms())
            else:
                assert Chem.GetFormalCharge(molecule) == 0


def test_the_database_has_none_of_them_alone_or_in_a_complex():
    unseen = every_one()
    parts = {part for atoms in builtin_structures() for part in atoms.info["smiles"].split(".")}
    assert {plain(part) for part in parts} & unseen <= IN_THE_FIRST_EDITION


def test_geometries_carry_their_charge_and_keep_their_atoms():
    small = geometries("ions", largest=12)
    assert {atoms.info["name"] for atoms in small} >= {"pyruvate", "difluoroacetate"}
    for atoms in small:
        molecule = Chem.AddHs(Chem.MolFromSmiles(atoms.info["smiles"]))
        assert [atom.GetAtomicNum() for atom in molecule.GetAtoms()] == list(atoms.numbers)
        assert atoms.info["charge"] == Chem.GetFormalCharge(molecule)
    assert all("charge" not in atoms.info for atoms in geometries("drugs", largest=14))
