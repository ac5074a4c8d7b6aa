"""Laws of the ASE calculator: numbers by ASE's own differences, and life under ASE's drivers."""

import importlib
import sys

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE

from losiko_torch import SOAP, EnvironmentDatabase, LosikoCalculator, StructureError, score

ORGANIC = ["CH4", "C2H6", "C2H4", "CH3OH", "CH3CH2OH", "H2CO", "H2O", "HCOOH", "CH3OCH3"]


def crystals():
    return {
        "Si": bulk("Si", "diamond", a=5.43),
        "Si cubic": bulk("Si", "diamond", a=5.43, cubic=True),
        "SiC": bulk("SiC", "zincblende", a=4.36),
        "C": bulk("C", "diamond", a=3.57, cubic=True),
        "SiO": bulk("SiO", "rocksalt", a=4.6),
    }


@pytest.fixture(scope="module")
def molecular():
    soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=6, l_max=4, sigma=0.3, smooth_width=0.5)
    return EnvironmentDatabase.build(map(molecule, ORGANIC), soap)


@pytest.fixture(scope="module")
def crystalline():
    soap = SOAP(
        species=["C", "O", "Si"],
        r_cut=3.2,
        n_max=5,
        l_max=4,
        sigma=0.4,
        smooth_width=0.5,
        periodic=True,
    )
    return EnvironmentDatabase.build(crystals().values(), soap)


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
@pytest.mark.parametrize("name", ["CH3CH2OH", "HCOOH", "H2O", "C2H4", "CH3OCH3"])
def test_forces_of_molecules(molecular, targets, name):
    atoms = molecule(name)
    atoms.rattle(0.1, seed=2)
    atoms.calc = LosikoCalculator(molecular, targets=targets)
    expected = calculate_numerical_forces(atoms, eps=1e-4)
    assert relative_error(atoms.get_forces(), expected) < 1e-6


@pytest.mark.parametrize("name", crystals())
def test_forces_and_stress_of_crystals(crystalline, name):
    atoms = crystals()[name]
    rng = np.random.default_rng(1)
    atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, 0.02, (3, 3))), scale_atoms=True)
    atoms.rattle(0.08, seed=3)
    atoms.calc = LosikoCalculator(crystalline, targets="nearest")
    forces = calculate_numerical_forces(atoms, eps=1e-4)
    assert relative_error(atoms.get_forces(), forces) < 1e-6
    stress = calculate_numerical_stress(atoms, eps=1e-4)
    assert relative_error(atoms.get_stress(), stress) < 1e-6


def test_energy_is_the_score(molecular):
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=1)
    atoms.calc = LosikoCalculator(molecular)
    (judged,) = score(atoms, molecular, dtype="float64")
    assert atoms.get_potential_energy() == pytest.approx(judged.loss, rel=1e-10)
    assert atoms.get_potential_energies() == pytest.approx(judged.distances, rel=1e-10)


@pytest.mark.parametrize("optimizer", [BFGS, FIRE])
def test_ase_optimizers_reach_the_reference(molecular, optimizer):
    atoms = molecule("CH3OH")
    atoms.rattle(0.05, seed=4)
    atoms.calc = LosikoCalculator(molecular, targets="nearest")
    assert optimizer(atoms, logfile=None).run(fmax=1e-3, steps=300)
    assert atoms.get_potential_energy() < 1e-4


def test_cell_filter_finds_the_lattice_constant(crystalline):
    atoms = crystals()["Si"]
    atoms.set_cell(atoms.cell * 1.03, scale_atoms=True)
    atoms.calc = LosikoCalculator(crystalline, targets="nearest")
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4, steps=100)
    assert atoms.get_volume() == pytest.approx(crystals()["Si"].get_volume(), rel=1e-3)


def test_dynamics_conserves_what_it_should(molecular):
    atoms = molecule("H2O")
    atoms.rattle(0.02, seed=1)
    atoms.calc = LosikoCalculator(molecular, targets="nearest")
    before = atoms.get_total_energy()
    VelocityVerlet(atoms, timestep=0.25 * units.fs).run(100)
    assert atoms.get_total_energy() == pytest.approx(before, abs=0.01 * abs(before) + 1e-6)


def test_constraints_are_ases_business(molecular):
    atoms = molecule("CH3OH")
    atoms.rattle(0.05, seed=1)
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = LosikoCalculator(molecular)
    assert (atoms.get_forces()[0] == 0).all()
    assert (atoms.get_forces(apply_constraint=False)[0] != 0).any()


@pytest.mark.parametrize(
    ("atoms", "sentence"),
    [
        (Atoms("He"), "does not know He"),
        (Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.01]]), "within 0.1 A"),
        (bulk("C"), "periodic but the descriptor is not"),
    ],
)
def test_what_cannot_be_judged_is_said(molecular, atoms, sentence):
    atoms.calc = LosikoCalculator(molecular)
    with pytest.raises(StructureError, match=sentence):
        atoms.get_potential_energy()


def test_no_stress_without_a_volume(molecular):
    atoms = molecule("H2O")
    atoms.calc = LosikoCalculator(molecular)
    with pytest.raises(NotImplementedError):
        atoms.get_stress()


def test_without_torchsim_its_model_says_what_to_install(monkeypatch):
    for name in ("losiko_torch.torchsim", "torch_sim.models.interface", "torch_sim.models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch_sim", None)
    with pytest.raises(ImportError, match=r"pip install 'losiko-torch\[torchsim\]'"):
        importlib.import_module("losiko_torch.torchsim")
