"""Terms and optimizers of other people that trip on the way, and data that change under a term."""

import warnings
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from small_database import database, rattled, water_database

from losiko_torch import (
    SOAP,
    Density,
    EnvironmentDatabase,
    GradientDescent,
    InputError,
    LosikoCalculator,
    Property,
    Repulsion,
    Tether,
    relax,
    score,
)
from losiko_torch.loss.settings import LossSettings
from losiko_torch.relaxation.settings import Settings
from losiko_torch.systems.batch import sum_by_system


class Pull:
    """Spring to the origin that raises an error for hydrogen peroxide after some evaluations."""

    name = "pull"

    def __init__(self, good):
        self.left = good

    def __call__(self, batch):
        self.left -= 1
        here = torch.bincount(batch.system_idx, minlength=batch.n_systems)
        if self.left < 0 and (here == 4).any():
            raise RuntimeError("bang")
        values = batch.positions.square().sum(1)
        return 0.01 * sum_by_system(values, batch.system_idx, batch.n_systems)

    def identity(self):
        return {"name": self.name}


def starts():
    return [rattled(name, seed, 0.08) for seed, name in enumerate(["CH3OH", "H2O2", "H2O"])]


def check_only_second_fails(found, expected, *words):
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.failed == (number == 1)
        if number != 1:
            np.testing.assert_allclose(one.atoms.positions, other.atoms.positions, atol=1e-6)
    for word in words:
        assert word in found[1].reason


@pytest.mark.parametrize("good", [1, 4])
def test_a_term_that_raises_midway_fails_one_structure(good):
    options = {"max_steps": 8, "dtype": "float64"}
    expected = relax(starts(), database(), terms=[Pull(10**6)], **options)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = relax(starts(), database(), terms=[Pull(good)], **options)
    check_only_second_fails(found, expected, "pull")
    # Where the reason of the result does not say why, a warning has.
    assert "bang" in found[1].reason or any("bang" in str(each.message) for each in told)


class Choosy(Pull):
    """Spring whose preparation fails for the hydrogen peroxide."""

    def prepare(self, atoms, number):
        if len(atoms) == 4:
            raise ZeroDivisionError("nothing there")
        return {"own": np.ones(len(atoms), dtype=int)}


def test_a_preparation_that_raises_fails_one_structure():
    term = Choosy(10**6)
    expected = relax(starts(), database(), terms=[Pull(10**6)], max_steps=5)
    found = relax(starts(), database(), terms=[term], max_steps=5)
    check_only_second_fails(found, expected, "'pull' fails (ZeroDivisionError: nothing there)")
    scores = score(starts(), database(), terms=[term])
    assert [each.problem is None for each in scores] == [True, False, True]
    term.prepare = lambda atoms, number: 3
    with pytest.raises(InputError, match="prepare gives a int"):
        score(starts(), database(), terms=[term])


@dataclass(frozen=True)
class Lost(GradientDescent):
    """Gradient descent that proposes no numbers to the structure of four atoms."""

    name: ClassVar[str] = "lost"

    def step(self, state, loss, gradient, system_idx, fresh):
        taken, used = super().step(state, loss, gradient, system_idx, fresh)
        bad = torch.bincount(system_idx)[system_idx] == 4
        return replace(taken, trial=taken.trial.masked_fill(bad[:, None], torch.nan)), used


@pytest.mark.parametrize("noise", [None, (0.001, 1.0)])
def test_an_optimizer_that_proposes_no_numbers_fails_one_structure(noise):
    options = {"max_steps": 5, "dtype": "float64", "noise": noise}
    expected = relax(starts(), database(), optimizer=GradientDescent(), **options)
    found = relax(starts(), database(), optimizer=Lost(), **options)
    check_only_second_fails(found, expected, "finite numbers")
    np.testing.assert_array_equal(found[1].atoms.positions, starts()[1].positions)


class Force(torch.nn.Module):
    """Size of the gradient of a height: a property that is itself made of derivatives."""

    def forward(self, batch):
        height = batch.positions.pow(3).sum()
        (force,) = torch.autograd.grad(height, batch.positions, create_graph=True)
        return sum_by_system(force.square().sum(1), batch.system_idx, batch.n_systems)


def test_a_property_of_forces():
    start = rattled("H2O", 1, 0.05)
    term = Property(Force(), weight=0.01, name="force")
    (found,) = relax(start, water_database(), terms=[term], max_steps=20, dtype="float64")
    expected = 0.01 * np.square(3 * np.square(found.atoms.positions)).sum()
    assert found.terms["force"] == pytest.approx(expected, rel=1e-9)
    (judged,) = score(start, water_database(), terms=[term], dtype="float64")
    assert found.terms["force"] < judged.terms["force"]


class Counted(torch.nn.Module):
    """Module with a scalar buffer and a setting of its own."""

    def __init__(self, setting):
        super().__init__()
        self.setting = setting
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("factor", torch.ones(2, dtype=torch.bfloat16))

    def forward(self, batch):
        values = self.setting * batch.positions.square().sum(1)
        return sum_by_system(values, batch.system_idx, batch.n_systems)


def test_the_identity_of_a_property_sees_buffers_and_settings():
    one, same, other = (Property(Counted(n)).identity() for n in (1, 1, 2))
    assert one == same != other
    changed = Counted(1)
    changed.count += 1
    assert Property(changed).identity() != one


def test_anchors_are_a_copy():
    start = rattled("H2O", 1, 0.05)
    for given in (start.positions, [start.positions]):
        term = Tether(1.0, given)
        before = start.get_positions()
        start.positions += 1.0
        (judged,) = score(start, water_database(), terms=[term], dtype="float64")
        assert judged.terms["tether"] == pytest.approx(0.5 * 3 * len(before))
        start.positions = before


def test_a_calculator_sees_new_anchors():
    atoms = rattled("H2O", 1, 0.05)
    atoms.set_array("wanted", atoms.get_positions())
    atoms.arrays["wanted"][0] = np.nan
    atoms.calc = LosikoCalculator(water_database(), terms=[Tether(1.0, "wanted")])
    at_rest = atoms.get_potential_energy()
    results = atoms.calc.results
    assert atoms.get_potential_energy() == at_rest
    assert atoms.calc.results is results
    atoms.arrays["wanted"][1] += [0.0, 0.0, 2.0]
    assert atoms.get_potential_energy() == pytest.approx(at_rest + 2.0)


def test_a_calculator_has_no_number():
    atoms = molecule("H2O")
    with pytest.raises(InputError, match="goes by the number of a structure"):
        LosikoCalculator(water_database(), terms=[Tether(1.0, [atoms.positions])])


def silicon():
    soap = SOAP(species=["Si"], r_cut=4.0, n_max=3, l_max=2, sigma=0.5, periodic=True)
    return EnvironmentDatabase.build([bulk("Si")], soap)


@pytest.mark.parametrize(
    "strains", [{"constant_volume": True}, {"strain_mask": [False, False, False, 1, 1, 1]}]
)
def test_a_density_needs_strains_that_change_the_volume(strains):
    with pytest.raises(InputError, match="'density' needs strains that change the volume"):
        Settings(cell=True, terms=[Density(2.0)], **strains)
    free = Settings(cell=True, terms=[Density(2.0)], strain_mask=[False, False, 1, 0, 0, 0])
    assert free.strain.changes_volume
    # Nothing moves there: a density is only told.
    (judged,) = score(bulk("Si"), silicon(), terms=[Density(2.0)])
    assert judged.terms["density"] > 0


@pytest.mark.parametrize(
    ("closest", "words"),
    [
        ({("O", "H"): 0.9, ("H", "O"): 0.8}, "is given twice"),
        ({("O", "H"): 11.0}, "beyond 10 A"),
        ({("O", 0): 1.0}, "no pair of elements"),
        ({("O", 1.5): 1.0}, "no pair of elements"),
        ([("O", "H", 0.9)], "not distances by pairs"),
    ],
)
def test_distances_that_make_no_sense(closest, words):
    with pytest.raises(InputError, match=words):
        LossSettings(terms=[Repulsion(1.0, closest)])
