"""Drawings from SMILES, and the errors of geometries against a minimum near by."""

import numpy as np
import pytest

pytest.importorskip("rdkit")
pytest.importorskip("tblite")

from ase.build import molecule
from cases import from_smiles, uncovered, unseen
from cases.drawings import by_mmff, drawn, geometry


def test_the_molecules_are_not_in_the_database():
    known = from_smiles.known_molecules()
    assert "O" in known
    smiles = (*from_smiles.SMILES.values(), from_smiles.EBSELEN)
    assert not known & {unseen.plain(each) for each in smiles}


def test_a_drawing_has_its_hydrogens_and_the_force_field_leaves_it_alone():
    ethanol = drawn("CCO", seed=1)
    before = geometry(ethanol)
    assert before.get_chemical_formula() == "C2H6O"
    relaxed = by_mmff(ethanol)
    assert np.array_equal(geometry(ethanol).positions, before.positions)
    assert np.abs(relaxed.positions - before.positions).max() > 1e-3
    assert np.array_equal(geometry(drawn("CCO", seed=1)).positions, before.positions)


def test_the_force_field_makes_nothing_of_what_it_has_no_parameters_for():
    assert by_mmff(drawn("C[Sn](C)(C)C", seed=1)) is None


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match="cannot be embedded"):
        drawn("C1#CC1", seed=1)


def test_all_uncovered_kinds_are_drawn():
    assert set(uncovered.SMILES) < set(uncovered.structures())


def test_angles_are_those_between_bonds():
    water = molecule("H2O")
    ((first, vertex, last),) = from_smiles.triples(water)
    assert (water.symbols[vertex], {first, last}) == ("O", {1, 2})
    bent = water.copy()
    bent.set_angle(1, 0, 2, water.get_angle(1, 0, 2) + 4)
    assert from_smiles.angle_errors(bent, water) == pytest.approx([4])
    assert len(from_smiles.triples(molecule("CH4"))) == 6
    assert len(from_smiles.angle_errors(molecule("N2"), molecule("N2"))) == 0


def test_a_minimum_has_no_errors_and_a_stretched_bond_has():
    (minimum,) = from_smiles.minima([molecule("H2O")])
    stretched = minimum.copy()
    stretched.set_distance(0, 1, minimum.get_distance(0, 1) + 0.1, fix=0)
    none, some, missing = from_smiles.errors(
        [minimum, stretched, minimum], [minimum, minimum, None]
    )
    assert none.above == pytest.approx(0, abs=1e-9)
    assert (none.bonds, none.angles) == pytest.approx((0, 0), abs=1e-6)
    assert none.rmsd < 1e-6
    assert some.above > 0.1
    assert some.bonds == pytest.approx(0.05)
    assert missing is None
    assert from_smiles.mean([some, missing], lambda each: each.bonds) == pytest.approx(0.05)
