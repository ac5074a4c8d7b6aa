"""Doubts about valence: atoms bonded as none of a database is, and odd numbers of electrons."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from losiko_torch import SOAP, EnvironmentDatabase, InputError, relax
from losiko_torch.database.building.survey import Survey, distances_of
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.bonds import Lengths
from losiko_torch.systems.electrons import has_odd_electrons, total_charge
from losiko_torch.systems.partners import coded, codes_of, partners_of
from losiko_torch.verdict.electrons import doubt_electrons
from losiko_torch.verdict.verdict import doubts_of

NAMES = ("CH3OH", "H2O", "CH4", "C2H6", "CH3CH2OH", "CH3OCH3", "HCOOH", "C2H4")


def database_of(structures: list[Atoms]) -> EnvironmentDatabase:
    soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
    return EnvironmentDatabase.build(structures, soap)


@pytest.fixture(scope="module")
def database() -> EnvironmentDatabase:
    return database_of([molecule(name) for name in NAMES])


def partners(structures: list[Atoms]) -> set[str]:
    batch = Batch.from_atoms(structures)
    return partners_of(batch, Lengths.of(batch, 5.0))


def doubt(atoms: Atoms, database: EnvironmentDatabase, moving: bool = True) -> str:
    batch = Batch.from_atoms(atoms, dtype=torch.float64)
    (found,) = doubts_of(batch, batch, torch.full((len(atoms),), moving), database)
    return found


def test_partners_of_familiar_molecules():
    assert partners([molecule("H2O")]) == {"O H H", "H O2"}
    assert partners([molecule("C2H4")]) == {"C C3 H H", "H C3"}
    assert partners([Atoms("Ne")]) == {"Ne"}
    assert partners([bulk("C")]) == set()
    together = partners([bulk("C"), molecule("CH3OH"), molecule("H2O")])
    assert together == partners([molecule("CH3OH")]) | partners([molecule("H2O")])


def test_partners_and_their_numbers_agree():
    structures = [molecule(name) for name in (*NAMES, "CH3", "O3", "C2H2")]
    batch = Batch.from_atoms(structures)
    codes = codes_of(batch, Lengths.of(batch, 5.0))
    found = coded(frozenset(partners(structures)))
    assert torch.equal(codes.unique(), found.unique())
    assert len(found) == len(found.unique()) == len(partners(structures))


@pytest.mark.parametrize("name", NAMES)
def test_partners_do_not_depend_on_place_order_or_company(name):
    atoms = molecule(name)
    other = atoms[np.random.default_rng(0).permutation(len(atoms))]
    other.rotate(70, (1, 2, 3))
    other.translate((3, -1, 2))
    assert partners([other]) == partners([atoms])
    assert partners([other, molecule("CH4")]) == partners([atoms]) | partners([molecule("CH4")])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CH3", "atom 0 (C) is bonded to H, H, H, as no such atom of the database is"),
        ("C2H2", "atom 0 (C) is bonded to C (of 2 bonds), H, as no such atom"),
        ("CH2_s1A1d", "atom 0 (C) is bonded to H, H, as no such atom"),
    ],
)
def test_odd_valence_is_named(database, name, words):
    assert doubt(molecule(name), database).startswith(words)
    assert doubt(molecule(name), database, moving=False) == ""
    with_it = database_of([molecule(each) for each in (*NAMES, name)])
    assert doubt(molecule(name), with_it) == ""


def test_nothing_is_said_of_crystals_and_where_nothing_is_known(database):
    periodic = molecule("CH3")
    periodic.set_cell([9, 9, 9])
    periodic.pbc = True
    assert doubt(periodic, database) == ""
    for unknown in (None, frozenset()):
        survey = replace(database.survey, partners=unknown)
        assert doubt(molecule("CH3"), replace(database, survey=survey)) == ""
    assert "radical" not in doubt_electrons(periodic, database)


def test_charges_and_odd_electrons():
    hydroxide = Atoms("OH", [(0, 0, 0), (0, 0, 0.97)])
    assert has_odd_electrons(hydroxide)
    assert not has_odd_electrons(molecule("H2O"))
    hydroxide.info["charge"] = np.float64(-1.0)
    assert total_charge(hydroxide) == -1
    assert not has_odd_electrons(hydroxide)
    formal = Atoms("OH", [(0, 0, 0), (0, 0, 0.97)], charges=[-1, 0])
    assert not has_odd_electrons(formal)
    for nonsense in ("minus one", np.nan, None):
        formal.info["charge"] = nonsense
        assert total_charge(formal) == -1
    crystal = bulk("Li")
    assert not has_odd_electrons(crystal)


def test_results_doubt_radicals_and_take_ions_by_their_charge(database):
    hydroxide = Atoms("OH", [(0, 0, 0), (0, 0, 0.97)])
    radical = doubt_electrons(hydroxide, database)
    assert "odd number of electrons at a charge of 0" in radical
    assert 'atoms.info["charge"]' in radical
    hydroxide.info["charge"] = -1
    assert doubt_electrons(hydroxide, database) == ""
    peroxyl = database_of([molecule(name) for name in (*NAMES, "CH3O")])
    hydroxide.info.clear()
    assert doubt_electrons(hydroxide, peroxyl) == ""
    knows_its_bonds = replace(database, survey=replace(peroxyl.survey, radicals=False))
    assert "odd number" in relax(molecule("CH3O"), knows_its_bonds)[0].doubt
    assert relax(molecule("CH3OH"), knows_its_bonds)[0].doubt == ""


def test_survey_keeps_partners_in_files_and_unions(database, tmp_path):
    _, radical = distances_of([molecule("CH3O")])
    _, plain = distances_of([molecule("H2O")])
    assert radical.radicals
    assert not plain.radicals
    joined = radical.joined(plain)
    assert joined.radicals
    assert joined.partners == radical.partners | plain.partners
    older = replace(plain, partners=None, radicals=None)
    assert older.joined(radical).partners is None
    assert older.joined(radical).radicals is None
    for survey in (joined, older, plain):
        assert Survey.of_json(json.loads(json.dumps(survey.to_json()))) == survey
    assert Survey.of_json({**plain.to_json(), "partners": None}).partners is None
    database.save(tmp_path / "kept.losiko")
    assert EnvironmentDatabase.load(tmp_path / "kept.losiko").survey == database.survey


@pytest.mark.parametrize("damage", [{"partners": ["C Xx3"]}, {"partners": 3}, {"radicals": "yes"}])
def test_damaged_survey(damage):
    _, survey = distances_of([molecule("H2O")])
    with pytest.raises((InputError, LookupError, TypeError)):
        Survey.of_json({**survey.to_json(), **damage})
