"""Laws of the measures by which results are judged."""

import warnings

import numpy as np
import pytest
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation

from losiko_torch import StructureError
from losiko_torch.systems.geometry import bond_errors, rmsd


@pytest.mark.parametrize("name", ["CH3CH2OH", "C6H6", "CO2", "H2", "H2O"])
def test_rmsd_ignores_how_a_molecule_lies(name):
    reference = molecule(name)
    moved = reference.copy()
    moved.positions = Rotation.random(random_state=3).apply(moved.positions) + np.array(
        [1.0, -2.0, 3.0]
    )
    assert rmsd(moved, reference) < 1e-6


def test_other_threads_keep_their_warnings(monkeypatch):
    """Nothing is done to the filters of warnings, which are those of all threads."""

    def refuse(*_, **__):
        raise AssertionError("the filters of warnings are changed")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(warnings, "catch_warnings", refuse)
        moved = molecule("CO2")
        moved.rotate(40, "x")
        assert rmsd(moved, molecule("CO2")) < 1e-6
        monkeypatch.undo()


def test_rmsd_does_not_mirror():
    reference = molecule("CH3CH2OH")
    reference.rattle(0.2, seed=1)
    mirrored = reference.copy()
    mirrored.positions[:, 0] *= -1
    assert rmsd(mirrored, reference) > 0.05


def test_rmsd_of_one_stretched_bond():
    reference, stretched = molecule("H2"), molecule("H2")
    stretched.positions[0, 2] += 0.1
    assert rmsd(stretched, reference) == pytest.approx(0.05)


def test_rmsd_of_one_atom_is_zero():
    assert rmsd(molecule("H"), molecule("H")) == 0.0


def test_bond_errors_of_one_stretched_bond():
    reference, stretched = molecule("H2O"), molecule("H2O")
    stretched.set_distance(0, 1, 1.1 * reference.get_distance(0, 1), fix=0)
    errors = bond_errors(stretched, reference)
    assert len(errors) == 2
    assert errors.max() == pytest.approx(0.1 * reference.get_distance(0, 1))
    assert errors.min() == pytest.approx(0.0, abs=1e-12)


def test_bonds_cross_the_cell():
    crystal = bulk("C", "diamond", a=3.57)
    larger = crystal.copy()
    larger.set_cell(crystal.cell * 1.01, scale_atoms=True)
    errors = bond_errors(larger, crystal)
    assert errors == pytest.approx(0.01 * 3.57 * np.sqrt(3) / 4 * np.ones(4))


def test_different_atoms_are_refused():
    with pytest.raises(StructureError, match="same atoms"):
        rmsd(molecule("H2O"), molecule("NH3"))
