"""Weights of the loss: L = sum_i c_i F_i, from arrays of structures and factors of elements."""

from dataclasses import replace

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from small_database import database, rattled
from test_calculator import crystalline, crystals, relative_error  # noqa: F401
from test_objective import crystal, crystal_database

from losiko_torch import Batch, InputError, LosikoCalculator, StructureError, relax, score
from losiko_torch.cli import main
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.systems.atom_weights import WEIGHT, atom_weights, element_factors

TARGETS = ["nearest", "locally-linear"]


def weighed(atoms, weights):
    atoms = atoms.copy()
    atoms.arrays[WEIGHT] = np.asarray(weights)
    return atoms


def some_weights(atoms, seed=0):
    return np.random.default_rng(seed).uniform(0, 3, len(atoms)).round(1)


# --- what the loss is


@pytest.mark.parametrize("targets", TARGETS)
def test_each_atom_adds_its_weight_times_its_term(targets):
    """Weights are array times factor; other structures of the batch keep theirs."""
    plain = [rattled("CH3CONH2"), rattled("HCOOH"), rattled("N2")]
    own = some_weights(plain[0])
    structures = [weighed(plain[0], own), *plain[1:]]
    options = {"targets": targets, "dtype": "float64"}
    bare = score(plain, database(), **options)
    found = score(structures, database(), weights={"H": 0.5, "O": 2}, **options)
    for place, (one, other) in enumerate(zip(found, bare, strict=True)):
        factors = np.array([{"H": 0.5, "O": 2.0}.get(s, 1.0) for s in one.atoms.symbols])
        wanted = factors * other.distances * (own if place == 0 else 1)
        np.testing.assert_allclose(one.distances, wanted, rtol=1e-12)
        assert one.loss == pytest.approx(wanted.sum())
        np.testing.assert_array_equal(one.matches.distance, other.matches.distance)


@pytest.mark.parametrize("targets", TARGETS)
def test_weights_of_one_change_nothing(targets):
    atoms = rattled("CH3CH2OH")
    options = {"targets": targets, "dtype": "float64"}
    (plain,) = relax(atoms, database(), **options)
    ones = weighed(atoms, np.ones(len(atoms)))
    (found,) = relax(ones, database(), weights={"H": 1, "C": 1.0}, **options)
    np.testing.assert_array_equal(found.atoms.positions, plain.atoms.positions)
    assert found.loss == plain.loss


def test_the_loss_and_its_gradient_are_linear_in_the_weights():
    batch = Batch.from_atoms([rattled("CH3OH"), rattled("C2H6")])
    objective = Objective(database(), LocallyLinear(8))
    matching = objective.search_at(batch).matching
    generator = torch.Generator().manual_seed(0)
    one, other = torch.rand(2, batch.n_atoms, generator=generator, dtype=torch.float64)

    def found(weights):
        return objective.evaluate(replace(batch, weights=weights), matching)

    both, first, second = found(2 * one + other), found(one), found(other)
    for name in ("loss", "gradient", "distances"):
        summed = 2 * getattr(first, name) + getattr(second, name)
        torch.testing.assert_close(getattr(both, name), summed, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("targets", TARGETS)
def test_a_weighted_batch_is_its_structures(targets):
    structures = [rattled(name, seed) for seed, name in enumerate(["CH4", "HCOOH", "C4H4O"])]
    structures = [structures[0], *(weighed(a, some_weights(a)) for a in structures[1:])]
    options = {"targets": targets, "dtype": "float64", "weights": {"C": 3}}
    together = relax(structures, database(), **options)
    for atoms, one in zip(structures, together, strict=True):
        (alone,) = relax(atoms, database(), **options)
        np.testing.assert_allclose(alone.atoms.positions, one.atoms.positions, atol=1e-6)
        (judged,) = score(one.atoms, database(), **options)
        assert one.loss == pytest.approx(judged.loss, rel=1e-9)
        assert one.distances.sum() == pytest.approx(one.loss)
        assert one.loss <= one.start_loss


@pytest.mark.parametrize("optimizer", ["fire", "adam", "gradient-descent", "nelder-mead"])
def test_every_optimizer_lowers_the_weighted_loss(optimizer):
    atoms = weighed(rattled("H2O"), [2, 0.5, 0])
    (found,) = relax(atoms, database(), optimizer=optimizer, max_steps=60, dtype="float64")
    (judged,) = score(found.atoms, database(), dtype="float64")
    assert found.loss == pytest.approx(judged.loss, rel=1e-9)
    assert found.loss < 0.5 * found.start_loss


@pytest.mark.parametrize("targets", TARGETS)
def test_forces_of_a_weighted_molecule(targets):
    atoms = rattled("HCOOH")
    atoms = weighed(atoms, some_weights(atoms))
    atoms.calc = LosikoCalculator(
        database(smooth_width=0.5), targets=targets, weights={"H": 0.3, "C": 2}
    )
    expected = calculate_numerical_forces(atoms, eps=1e-4)
    assert relative_error(atoms.get_forces(), expected) < 1e-6
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy())


def test_stress_of_a_weighted_crystal(crystalline):  # noqa: F811
    atoms = crystals()["SiC"]
    atoms.set_cell(atoms.cell @ np.array([[1.02, 0, 0], [0.01, 0.99, 0], [0, 0.02, 1]]), True)
    atoms.rattle(0.05, seed=3)
    atoms = weighed(atoms, [0.2, 1.7])
    atoms.calc = LosikoCalculator(crystalline, targets="nearest", weights={"Si": 2})
    stress = calculate_numerical_stress(atoms, eps=1e-4)
    assert relative_error(atoms.get_stress(), stress) < 1e-6
    forces = calculate_numerical_forces(atoms, eps=1e-4)
    assert relative_error(atoms.get_forces(), forces) < 1e-6


def test_cells_relax_under_the_weighted_loss():
    atoms = crystal()
    atoms = weighed(atoms, [1, 2, 0, 0.5])
    references = crystal_database(smooth_width=1.0)
    (found,) = relax(atoms, references, cell=True, targets="nearest", dtype="float64")
    (judged,) = score(found.atoms, references, targets="nearest", dtype="float64")
    assert found.loss == pytest.approx(judged.loss, rel=1e-9)
    assert found.loss < found.start_loss
    assert found.distances[2] == 0


def test_the_calculator_notices_new_weights():
    atoms = rattled("H2O")
    atoms.calc = LosikoCalculator(database())
    energies = [atoms.get_potential_energy()]
    for weights in ([2, 2, 2], [2, 2, 2], [0, 0, 1]):
        atoms.arrays[WEIGHT] = np.array(weights)
        energies.append(atoms.get_potential_energy())
    del atoms.arrays[WEIGHT]
    energies.append(atoms.get_potential_energy())
    assert energies[1] == energies[2] == pytest.approx(2 * energies[0])
    assert energies[3] < energies[4] == pytest.approx(energies[0])


# --- batches


def test_batches_keep_their_weights():
    batch = Batch.from_atoms([molecule("H2O"), molecule("CO2")])
    assert batch.weights is None
    assert batch.keep(torch.tensor([False, True])).weights is None
    batch = replace(batch, weights=torch.arange(6.0))
    assert batch.keep(torch.tensor([False, True])).weights.tolist() == [3, 4, 5]
    for same in (batch.copy(), batch.with_positions(batch.positions + 1)):
        assert torch.equal(same.weights, batch.weights)


# --- what weights can be


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([1.0, -1.0, 1.0], "holds -1.0 for atom 1: weights are finite numbers from 0 on"),
        ([1.0, np.nan, 1.0], "holds nan for atom 1"),
        ([1.0, 1.0, np.inf], "holds inf for atom 2"),
        ([0.0, 0.0, 0.0], "all its weights are zero"),
        (np.ones((3, 2)), "is not one number for each atom"),
        (["a", "b", "c"], "is not one number for each atom"),
    ],
)
def test_one_structure_with_bad_weights_fails_alone(weights, sentence):
    structures = [rattled("CH4"), weighed(rattled("H2O"), weights), rattled("NH3")]
    for results in (
        [result.reason for result in relax(structures, database(), max_steps=2)],
        [f"failed: {one.problem}" for one in score(structures, database())],
    ):
        assert sentence in results[1]
        assert results[1].startswith("failed: ")
        assert "weight" not in results[0] + results[2]
    structures[1].calc = LosikoCalculator(database())
    with pytest.raises(StructureError, match=f"H2O: .*{sentence}"):
        structures[1].get_potential_energy()


def test_an_element_without_weight_leaves_structures_of_it_alone_with_nothing():
    water, hydrogen = relax(
        [rattled("H2O"), rattled("H2")], database(), weights={"H": 0}, max_steps=3
    )
    assert water.distances[1] == water.distances[2] == 0 < water.distances[0]
    assert hydrogen.reason == "failed: all its weights are zero"


def test_integers_and_truth_values_are_weights():
    assert atom_weights(weighed(molecule("H2O"), [1, 2, 3]), {8: 2.0}).tolist() == [2, 2, 3]
    mask = weighed(molecule("H2O"), [True, False, True])
    assert atom_weights(mask, {}).tolist() == [1, 0, 1]
    assert atom_weights(molecule("H2O"), {6: 5.0}) is None


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"Xx": 1}, "'Xx' is no chemical symbol"),
        ({"H": -0.5}, "the weight of H must be a number from 0 on, not -0.5"),
        ({"H": np.nan}, "not nan"),
        ({"H": np.inf}, "not inf"),
        ({"H": "heavy"}, "not heavy"),
        ([1.0, 2.0], r"weights are of type list: .*atoms.arrays\['losiko_weight'\]"),
    ],
)
def test_bad_factors_are_refused(weights, sentence):
    for call in (
        lambda: relax(molecule("H2O"), database(), weights=weights),
        lambda: score(molecule("H2O"), database(), weights=weights),
        lambda: LosikoCalculator(database(), weights=weights),
    ):
        with pytest.raises(InputError, match=sentence):
            call()


def test_elements_by_symbol_or_number():
    assert element_factors(None) == {}
    assert element_factors({"H": 0.5, 8: np.float32(2)}) == {1: 0.5, 8: 2.0}


# --- the command line


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    return end.value.code, capsys.readouterr()


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    """Weights in the file and on the line; what is written carries them and is read the same."""
    monkeypatch.chdir(tmp_path)
    database().save("db.losiko")
    atoms = weighed(rattled("CH3OH"), [0.5, 2, 1, 1, 0, 1])
    ase.io.write("in.extxyz", atoms)
    arguments = ("-d", "db.losiko", "--weights", "H=0.5, O=2", "--dtype", "float64")
    assert run(capsys, "relax", "in.extxyz", "-o", "out.extxyz", *arguments)[0] == 0
    back = ase.io.read("out.extxyz")
    np.testing.assert_array_equal(back.arrays[WEIGHT], atoms.arrays[WEIGHT])
    (wanted,) = score(back, database(), weights={"H": 0.5, "O": 2}, dtype="float64")
    np.testing.assert_allclose(back.arrays["losiko_distance"], wanted.distances, atol=1e-7)
    code, printed = run(capsys, "score", "out.extxyz", *arguments)
    assert code == 0
    assert f"{wanted.loss:.2e}" in printed.out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("H", "'H' is not of the form H=0.5"),
        ("H=0.5,", "'' is not of the form H=0.5"),
        ("H=0.5,H=1", "H is given twice"),
        ("H=heavy", "'heavy' is not a number"),
        ("Q=1", "'Q' is no chemical symbol"),
        ("H=-1", "the weight of H must be a number from 0 on, not -1.0"),
        ("H=nan", "not nan"),
    ],
)
def test_bad_weights_on_the_command_line(tmp_path, monkeypatch, capsys, text, sentence):
    monkeypatch.chdir(tmp_path)
    ase.io.write("in.xyz", molecule("H2O"))
    for command in (("score",), ("relax", "-o", "out.xyz")):
        code, printed = run(capsys, *command, "in.xyz", "--weights", text)
        assert code == 2
        assert sentence in printed.err
    assert not (tmp_path / "out.xyz").exists()
