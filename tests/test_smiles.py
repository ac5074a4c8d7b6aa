"""SMILES and molecules of RDKit: conformers relaxed together, and results as molecules again."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from small_database import database, rattled

from losiko_torch import (
    InputError,
    StructureError,
    read_structures,
    relax,
    relax_iter,
    score,
    to_rdkit,
)
from losiko_torch.relaxation.outcome import best_conformer
from losiko_torch.systems.names import DRAWN
from losiko_torch.systems.rdkit import conformers_of, portable

Chem = pytest.importorskip("rdkit.Chem")
FEW = {"targets": "nearest", "max_steps": 5, "n_conformers": 3}


@pytest.fixture
def losiko(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    database().save("db.losiko")
    return command


def canonical(mol):
    return Chem.MolToSmiles(Chem.RemoveHs(mol))


def test_molecules_are_relaxed_beside_others():
    given = [Chem.MolFromSmiles("CCO"), rattled("CH4"), Chem.MolFromSmiles("CC(=O)[O-]")]
    results = relax(given, database(), **FEW)
    assert [each.number for each in results] == [0, 1, 2]
    assert [each.atoms.get_chemical_formula() for each in results] == ["C2H6O", "CH4", "C2H3O2"]
    assert [len(each.starts) for each in results] == [3, 0, len(results[2].starts)]
    info = results[2].atoms.info
    assert (info["name"], info["smiles"], info["charge"]) == ("CC(=O)[O-]", "CC(=O)[O-]", -1)
    assert results[2].atoms.get_initial_charges().sum() == -1
    assert results[0].name == "CCO (C2H6O)"
    (alone,) = relax(rattled("CH4"), database(), **FEW)
    np.testing.assert_allclose(alone.atoms.positions, results[1].atoms.positions, atol=1e-5)


def test_one_molecule_is_no_list_of_atoms():
    mol = Chem.MolFromSmiles("O")
    mol.SetProp("_Name", "water")
    (result,) = relax(mol, database(), **FEW)
    assert result.atoms.info["name"] == "water"
    assert result.atoms.info["smiles"] == "O"
    (same,) = relax_iter([mol], database(), **FEW)
    np.testing.assert_array_equal(result.atoms.positions, same.atoms.positions)
    assert score(mol, database())[0].loss > 0


def test_the_seed_decides_the_conformers():
    mol = Chem.MolFromSmiles("CCO")

    def ways(**options):
        (result,) = relax(mol, database(), **{**FEW, **options})
        return np.concatenate([each.atoms.positions for each in result.starts])

    first = ways()
    np.testing.assert_array_equal(first, ways())
    assert not np.array_equal(first, ways(seed=1))
    assert len(first) == 3 * 9
    assert relax(mol, database(), **{**FEW, "n_conformers": 1})[0].starts == ()
    # They are relaxed as if each had been given.
    starts = relax(mol, database(), **FEW)[0].starts
    (again,) = relax(mol, database(), **{**FEW, "n_starts": 2})
    assert len(again.starts) == 3
    assert [len(each.starts) for each in again.starts] == [2, 2, 2]
    for one, other in zip(starts, again.starts, strict=True):
        np.testing.assert_allclose(one.atoms.positions, other.starts[0].atoms.positions, atol=1e-5)


def test_the_best_is_reliable_then_expected_to_be_good_then_of_low_loss():
    class End:
        def __init__(self, failed=False, reliable=True, expected=None, loss=1.0):
            self.failed, self.reliable = failed, reliable
            self.expected_rmsd, self.loss = expected, loss

    def badness_order(*ends):
        import losiko_torch.relaxation.outcome as outcome

        kept, outcome.replace = outcome.replace, lambda end, starts: end
        try:
            return ends.index(best_conformer(ends))
        finally:
            outcome.replace = kept

    assert badness_order(End(loss=2.0), End(loss=1.0)) == 1
    assert badness_order(End(expected=0.2, loss=0.1), End(expected=0.1, loss=0.2)) == 1
    assert badness_order(End(reliable=False, expected=0.01), End(expected=0.1)) == 1
    assert badness_order(End(failed=True, loss=np.nan), End(reliable=False)) == 1
    assert badness_order(End(failed=True, loss=np.nan), End(failed=True, loss=np.nan)) == 0


def test_geometries_of_a_molecule_are_its_starts():
    from rdkit.Chem import rdDistGeom

    mol = Chem.AddHs(Chem.MolFromSmiles("CO"))
    rdDistGeom.EmbedMolecule(mol, randomSeed=7)
    (result,) = relax(mol, database(), targets="nearest", max_steps=1)
    assert result.starts == ()
    moved = result.atoms.positions - mol.GetConformer().GetPositions()
    assert np.abs(moved).max() < 0.5


@pytest.mark.parametrize(
    "smiles", ["CCO", "C#N", "c1ccncc1", "CC(=O)[O-]", "C[N+](C)(C)C", "N[C@@H](C)C(=O)O", "CCO.O"]
)
def test_the_way_back_keeps_the_bonds(smiles):
    (result,) = relax(Chem.MolFromSmiles(smiles), database(), **{**FEW, "n_conformers": 1})
    assert not result.failed, result.reason
    mol = to_rdkit(result)
    assert canonical(mol) == canonical(Chem.MolFromSmiles(smiles))
    np.testing.assert_allclose(mol.GetConformer().GetPositions(), result.atoms.positions)
    assert mol.GetProp("_Name") == result.atoms.info["name"]
    assert canonical(to_rdkit(result.atoms)) == canonical(mol)


def test_ways_back_that_there_are_none_of():
    with pytest.raises(StructureError, match="its bonds are not known"):
        to_rdkit(molecule("CH4"))
    with pytest.raises(InputError, match="a str is no result"):
        to_rdkit("CCO")
    odd = molecule("CH4")
    odd.info["bonds"] = np.array([[0, k, 3] for k in range(1, 5)])
    with pytest.raises(StructureError, match="RDKit objects to its bonds"):
        to_rdkit(odd)


def test_another_process_gets_all_of_a_molecule():
    from rdkit.Chem import rdDistGeom

    mol = Chem.AddHs(Chem.MolFromSmiles("CO"))
    rdDistGeom.EmbedMolecule(mol, randomSeed=7)
    for each in (mol, Chem.MolFromSmiles("[NH4+]")):
        each.SetProp("_Name", "a name")
        got = pickle.loads(pickle.dumps(portable(each)))
        ours, theirs = (conformers_of(one, 2, 3) for one in (each, got))
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.positions, other.positions)
            assert one.info["name"] == other.info["name"] == "a name"
    assert portable(None) is None
    water = molecule("H2O")
    assert portable(water) is water


def test_parts_of_a_molecule_stand_apart():
    (start,) = relax(Chem.MolFromSmiles("CCO.O"), database(), targets="nearest", max_steps=1)
    apart = start.atoms.get_all_distances()
    water = [3, 10, 11]
    others = [k for k in range(12) if k not in water]
    assert apart[np.ix_(water, others)].min() > 1.5


def test_molecules_that_cannot_be_fail_alone():
    impossible = Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False)
    results = relax([None, Chem.MolFromSmiles("C"), impossible], database(), **FEW)
    assert [each.failed for each in results] == [True, False, True]
    assert "None, which RDKit returns for what it cannot read" in results[0].reason
    assert "\n" not in results[2].reason


def test_a_file_of_smiles(tmp_path):
    file = tmp_path / "some.smi"
    lines = ["smiles name", "CCO ethanol", "", "C(C a slip", "CC\tmy ethane", "# none"]
    file.write_text("\n".join([*lines, "CC(C)(C)(C)C", "N"]))
    results = relax(file, database(), **FEW)
    assert [each.atoms.info.get("name") for each in results] == (
        ["ethanol", None, "my ethane", None, "N"]
    )
    assert "a slip: 'C(C' is no SMILES that RDKit can read" in results[1].reason
    assert "there is no such molecule as 'CC(C)(C)(C)C'" in results[3].reason
    assert len(results[0].starts) == 3
    assert all(DRAWN not in each.atoms.info for each in results if not each.failed)
    assert results[4].atoms.info["losiko_source"] == "some.smi@4"
    (read,) = read_structures(f"{file}@2")
    assert len(read) == 8
    assert DRAWN not in read.info


def test_the_command_line(losiko):
    assert (
        losiko(
            *("relax", "--smiles", "CCO  my ethanol", "--smiles", "C(C", "--smiles", "[NH4+]"),
            *("-d", "db.losiko", "-o", "out.extxyz", "--n-conformers", "2", "--max-steps", "5"),
        )
        == 1
    )
    frames = ase.io.read("out.extxyz", ":")
    assert [len(each) for each in frames] == [9, 0, 5]
    assert frames[0].info["name"] == "my ethanol"
    assert frames[0].info["losiko_source"] == "smiles.smi@0"
    assert frames[2].info["charge"] == 1
    assert "'C(C' is no SMILES that RDKit can read" in losiko.out
    # The bonds survive a file.
    assert canonical(to_rdkit(frames[0])) == "CCO"
    Path("more.smi").write_text("CC ethane\n")
    assert (
        losiko(
            *("relax", "more.smi", "--smiles", "C", "-d", "db.losiko", "-o", "out.sdf"),
            *("--max-steps", "5"),
        )
        == 0
    )
    assert [canonical(each) for each in Chem.SDMolSupplier("out.sdf")] == ["CC", "C"]
    assert losiko("score", "more.smi", "-d", "db.losiko") == 0
    assert "more.smi@0" in losiko.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "out.xyz"), "what to relax? Name files of structures, or give --smiles"),
        (("--smiles", " ", "-o", "out.xyz"), "a SMILES is empty"),
        (("--smiles", "C", "--run", "run"), "named .smi"),
    ],
)
def test_command_lines_that_cannot_be(losiko, arguments, said):
    assert losiko("relax", *arguments) == 2
    assert said in losiko.err
    assert len(losiko.err.splitlines()) == 1


def test_without_rdkit_a_sentence_says_so(tmp_path):
    (tmp_path / "a.smi").write_text("C\n")
    code = """
import sys
sys.modules["rdkit"] = None
from losiko_torch.cli import main
main(sys.argv[1:])
"""
    for arguments in (["a.smi"], ["--smiles", "C"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "relax", *arguments, "-o", "out.xyz"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "needs rdkit: pip install 'losiko-torch[files]'" in done.stderr
        assert len(done.stderr.splitlines()) == 1
