"""Leaving saddles: what symmetry keeps flat or linear is led away, or doubted; the rest stays."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from losiko_torch import SOAP, EnvironmentDatabase, relax
from losiko_torch.relaxation.settings import Settings
from losiko_torch.systems.equivalent import is_symmetric


@pytest.fixture(scope="module")
def database() -> EnvironmentDatabase:
    soap = SOAP(species=["H", "N", "O"], r_cut=3.0, n_max=6, l_max=4, sigma=0.3)
    return EnvironmentDatabase.build([molecule("H2O"), molecule("NH3"), molecule("N2H4")], soap)


def linear_water() -> Atoms:
    return Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.96, 0, 0]])


def planar_ammonia() -> Atoms:
    around = np.arange(3) * 2 * np.pi / 3
    hydrogens = np.stack([np.cos(around), np.sin(around), 0 * around], axis=1)
    return Atoms("NH3", [[0, 0, 0], *hydrogens])


def test_linear_water_bends_and_planar_ammonia_rises(database):
    water, ammonia = relax([linear_water(), planar_ammonia()], database)
    assert water.reliable
    assert ammonia.reliable
    assert water.atoms.get_angle(1, 0, 2) == pytest.approx(103.9, abs=2)
    assert ammonia.atoms.get_angle(1, 0, 2) == pytest.approx(106.6, abs=2)
    assert water.loss < 0.01 < water.start_loss


def test_saddle_that_is_to_stay_is_doubted(database):
    (result,) = relax(linear_water(), database, escape=False)
    assert result.atoms.get_angle(1, 0, 2) == pytest.approx(180, abs=0.1)
    assert "saddle" in result.doubt
    assert not result.reliable
    (escaped,) = relax(linear_water(), database)
    assert escaped.n_steps > result.n_steps
    assert escaped.start_loss == result.start_loss


def test_symmetric_minimum_stays_to_the_last_bit(database):
    starts = [molecule("H2O"), molecule("NH3")]
    stay = relax(starts, database, escape=False)
    for one, other in zip(relax(starts, database), stay, strict=True):
        assert np.array_equal(one.atoms.positions, other.atoms.positions)
        assert one.n_steps == other.n_steps
        assert one.doubt == other.doubt == ""


def test_batch_equals_singles_in_any_order(database):
    starts = [linear_water(), molecule("N2H4"), planar_ammonia()]
    together = relax(starts, database, dtype="float64")
    backwards = relax(starts[::-1], database, dtype="float64")[::-1]
    for start, one, other in zip(starts, together, backwards, strict=True):
        (alone,) = relax(start, database, dtype="float64")
        assert one.atoms.positions == pytest.approx(alone.atoms.positions, abs=1e-8)
        assert one.atoms.positions == pytest.approx(other.atoms.positions, abs=1e-8)
        assert one.n_steps == alone.n_steps


def test_seed_decides_the_way(database):
    first, same, other = (relax(linear_water(), database, seed=k)[0] for k in (1, 1, 2))
    assert np.array_equal(first.atoms.positions, same.atoms.positions)
    assert not np.array_equal(first.atoms.positions, other.atoms.positions)


def test_structure_with_a_part_that_is_fixed_is_not_led_away(database):
    water = linear_water()
    water.set_constraint(FixAtoms([0]))
    (result,) = relax(water, database)
    assert result.atoms.get_angle(1, 0, 2) == pytest.approx(180, abs=0.1)


def test_noise_and_copies_leave_saddles_themselves():
    assert Settings().seeks_saddles
    assert not Settings(n_starts=2).seeks_saddles
    assert not Settings(noise=(0.02, 0.3)).seeks_saddles
    assert not Settings(optimizer="nelder-mead").seeks_saddles


@pytest.mark.parametrize("name", ["H2O", "CH4", "C6H6", "C2H4", "NH3", "CO2"])
def test_symmetric_molecules_are_seen_however_they_lie(name):
    atoms = molecule(name)
    atoms.rotate(37, (1, 2, 3))
    assert is_symmetric(atoms)
    atoms.rattle(0.05, seed=1)
    assert not is_symmetric(atoms)


def test_what_has_no_symmetry_or_no_end_is_not_symmetric():
    assert not is_symmetric(molecule("CH3CH2OH")[:1])
    assert not is_symmetric(bulk("Cu"))
