"""Contract of ``relax`` and ``score``: losses, results, constraints, failures, matches."""

import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms, FixBondLength, FixCartesian
from small_database import database, rattled, soap, water_database

from losiko_torch import SOAP, EnvironmentDatabase, InputError, relax, score
from losiko_torch.database.element import Environments
from losiko_torch.loss.judge import judge
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.relaxation import stages
from losiko_torch.systems.batch import Batch

MANY = ["CH3OH", "C6H6", "H2O", "CH3NO2", "C5H5N", "isobutane", "HCN", "CH3CONH2", "C4H4O"]


def many():
    return [rattled(name, seed) for seed, name in enumerate(MANY)]


def farthest(one, other):
    return np.abs(one.atoms.positions - other.atoms.positions).max()


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_falls_and_is_that_of_the_structure(dtype, targets):
    results = relax(many(), database(), dtype=dtype, targets=targets)
    again = score([r.atoms for r in results], database(), dtype=dtype, targets=targets)
    assert sum(r.converged for r in results) >= len(results) - 1
    tolerance = 1e-5 if dtype == "float32" else 1e-9
    for result, scored in zip(results, again, strict=True):
        assert result.loss <= result.start_loss
        assert result.loss < 0.3 * result.start_loss
        assert result.loss == pytest.approx(scored.loss, rel=tolerance, abs=tolerance)
        np.testing.assert_allclose(result.distances, scored.distances, rtol=1e-3, atol=tolerance)
        assert result.distances.sum() == pytest.approx(result.loss, rel=1e-5)
        assert result.reason == ("converged" if result.converged else "max_steps")
        assert result.converged or result.n_steps == 200


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_never_rises_whatever_the_start(dtype):
    """Losses do not rise from the minimum, near it, in few steps, or with few or far references."""
    starts = [molecule(name) for name in MANY] + many() + [rattled("C6H6", 7, 0.4)]
    starts += [r.atoms for r in relax(many(), database())]
    for max_steps in (1, 2, 3, 30):
        for made in (
            database(),
            EnvironmentDatabase.build([molecule("CH3CONH2"), molecule("CO2")], soap()),
        ):
            for result in relax(starts, made, dtype=dtype, max_steps=max_steps):
                assert result.loss <= result.start_loss
                assert result.n_steps <= max_steps


@pytest.mark.parametrize("best_is_better", [True, False])
def test_an_end_worse_than_the_start_is_not_taken(best_is_better, monkeypatch):
    """The best structure on the way, or the start itself, replaces an end that is worse."""
    start, other = rattled("CH3OH"), rattled("H2O")
    worse = start.positions + np.random.default_rng(1).normal(0, 0.3, (6, 3))
    best = molecule("CH3OH").positions if best_is_better else worse
    results_of = stages.results_of

    def ends_badly(items, work, before, ended, symprec):
        ended.last.positions[:6] = torch.as_tensor(worse)
        ended.best.positions[:6] = torch.as_tensor(best)
        return results_of(items, work, before, ended, symprec)

    monkeypatch.setattr(stages, "results_of", ends_badly)
    result, beside = relax([start, other], database(), dtype="float64")
    assert not result.converged
    assert beside.converged
    assert beside.loss < beside.start_loss
    np.testing.assert_array_equal(
        result.atoms.positions, best if best_is_better else start.positions
    )
    again = score(result.atoms, database(), dtype="float64")[0]
    assert result.loss == pytest.approx(again.loss, rel=1e-9, abs=1e-12)
    np.testing.assert_array_equal(result.matches.structure, again.matches.structure)
    assert result.loss < result.start_loss or not best_is_better
    assert result.loss <= result.start_loss


def test_one_step_only_evaluates():
    start = rattled("CH3OH")
    (result,) = relax(start, database(), max_steps=1, dtype="float64")
    assert (result.reason, result.n_steps, result.converged) == ("max_steps", 1, False)
    assert result.loss == result.start_loss
    np.testing.assert_array_equal(result.atoms.positions, start.positions)


def test_converged_means_a_small_gradient():
    """Gradients are small with references searched at the end, but where two sets alternate."""
    results = relax(many(), database(), dtype="float64", fmax=0.005)
    objective = Objective(database(), LocallyLinear())
    large = 0
    for result in results:
        assert result.converged
        batch = Batch.from_atoms(result.atoms)
        gradient = objective.evaluate(batch, objective.search_at(batch).matching).gradient
        large += bool(gradient.norm(dim=1).max() > 0.005 * (1 + 1e-6))
    assert large <= 1


def test_input_is_left_alone_and_what_it_carries_comes_along():
    atoms = rattled("CH3OH")
    atoms.info["name"] = "methanol"
    atoms.set_tags([1] * 6)
    before = atoms.copy()
    (result,) = relax(atoms, database())
    assert atoms == before
    assert result.atoms.info["name"] == "methanol"
    assert result.atoms.get_tags().tolist() == [1] * 6
    assert not np.allclose(result.atoms.positions, before.positions)
    result.atoms.positions += 1
    assert atoms == before


# Constraints


@pytest.mark.parametrize("optimizer", ["lbfgs", "nelder-mead"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fixed_atoms_do_not_move_at_all(dtype, optimizer):
    atoms = rattled("CH3OH")
    atoms.set_constraint([FixAtoms([0, 3]), FixAtoms([-1])])
    (result,) = relax(atoms, database(), dtype=dtype, optimizer=optimizer, max_steps=60)
    np.testing.assert_array_equal(result.atoms.positions[[0, 3, 5]], atoms.positions[[0, 3, 5]])
    assert (np.abs(result.atoms.positions - atoms.positions)[[1, 2, 4]].max(1) > 0).all()
    again = score(result.atoms, database(), dtype=dtype)[0].loss
    assert result.loss == pytest.approx(again, rel=1e-4)
    assert result.loss < result.start_loss
    assert len(result.atoms.constraints) == 2


def test_cartesian_constraints_fix_those_directions():
    atoms = rattled("CH3OH")
    atoms.set_constraint(FixCartesian([0, 2], mask=(True, False, True)))
    (result,) = relax(atoms, database())
    moved = np.abs(result.atoms.positions - atoms.positions)
    assert (moved[[0, 2]][:, [0, 2]] == 0).all()
    assert (moved[[0, 2], 1] > 0).all()
    assert (moved[[1, 3, 4, 5]] > 0).all()


@pytest.mark.parametrize("optimizer", ["lbfgs", "nelder-mead"])
def test_all_atoms_fixed_is_converged(optimizer):
    atoms = rattled("H2O")
    atoms.set_constraint(FixAtoms([0, 1, 2]))
    (result,) = relax(atoms, database(), optimizer=optimizer)
    assert result.converged
    np.testing.assert_array_equal(result.atoms.positions, atoms.positions)


def test_scoring_does_not_mind_constraints():
    atoms = rattled("H2O")
    plain = score(atoms, database())[0]
    atoms.set_constraint(FixBondLength(0, 1))
    assert score(atoms, database())[0].loss == plain.loss


# Failures


def constrained(*constraints):
    atoms = rattled("H2O")
    atoms.set_constraint(list(constraints))
    return atoms


def failures():
    nan = molecule("H2O")
    nan.positions[1, 2] = np.nan
    together = molecule("H2O")
    together.positions[1] = together.positions[2]
    far = molecule("H2O")
    far.positions[2] += 1e20
    return [
        (molecule("SiH4"), "the descriptor does not know Si (its species are H, C, N, O)"),
        (molecule("CH3Cl"), "does not know Cl"),
        (nan, "atom 1 has a coordinate that is not a finite number"),
        (together, "atoms 1 and 2 lie within 0.1 A"),
        (far, "atom 2 has a coordinate beyond 10000 A"),
        (Atoms(), "it has no atoms"),
        (bulk("C"), "it is periodic but the descriptor is not"),
        (Atoms("H2O", molecule("H2O").positions, pbc=True), "span no volume"),
        (Atoms("HX", [[0, 0, 0], [0, 0, 1]]), "is not a chemical element"),
        (constrained(FixBondLength(0, 1)), "its constraint FixBondLength"),
        (constrained(FixAtoms([7])), "names atoms that it does not have"),
    ]


@pytest.mark.parametrize("optimizer", ["lbfgs", "nelder-mead"])
def test_failures_say_why_and_disturb_nobody(optimizer):
    good, bad = many()[:3], failures()
    mixed = [good[0], *[atoms for atoms, _ in bad[:5]], good[1], *[a for a, _ in bad[5:]], good[2]]
    options = {"optimizer": optimizer, "max_steps": 25, "dtype": "float64"}
    results = relax(mixed, database(), **options)
    assert len(results) == len(mixed)
    failed = [result for result in results if result.failed]
    for result, (atoms, sentence) in zip(failed, bad, strict=True):
        assert result.reason.startswith("failed: ")
        assert sentence in result.reason
        assert not result.converged
        assert np.isnan([result.loss, result.start_loss]).all()
        assert result.distances.shape == (len(atoms),)
        assert result.matches is None
        np.testing.assert_array_equal(result.atoms.positions, atoms.positions)
        np.testing.assert_array_equal(result.atoms.numbers, atoms.numbers)
    rest = [result for result in results if not result.failed]
    for one, other in zip(rest, relax(good, database(), **options), strict=True):
        assert farthest(one, other) <= 1e-9


def test_an_element_without_references_fails():
    (result,) = relax(molecule("CH4"), water_database())
    assert result.reason == "failed: the database has no environment of C (it has H, O)"


def test_a_loss_that_ceases_to_be_finite_fails_alone(monkeypatch):
    evaluate = Objective.evaluate

    def spoiled(self, batch, *arguments):
        found = evaluate(self, batch, *arguments)
        if batch.n_systems == 2 and not np.array_equal(
            batch.positions[0], rattled("H2O").positions[0]
        ):
            found.loss[0] = found.distances[0] = torch.nan
        return found

    monkeypatch.setattr(Objective, "evaluate", spoiled)
    one, other = relax([rattled("H2O"), rattled("CH4")], database(), dtype="float64")
    assert one.reason == "failed: its loss, gradient or positions ceased to be finite numbers"
    np.testing.assert_array_equal(one.atoms.positions, rattled("H2O").positions)
    monkeypatch.undo()
    (alone,) = relax(rattled("CH4"), database(), dtype="float64")
    assert farthest(other, alone) < 1e-9


def test_all_failed_none_one_and_a_generator():
    assert [r.failed for r in relax([Atoms(), molecule("SiH4")], database())] == [True, True]
    assert relax([], database()) == []
    assert score([], database()) == []
    assert len(relax(molecule("H2O"), database())) == 1
    assert len(relax((molecule(name) for name in ("H2O", "CH4")), database())) == 2


def test_scores_say_why_too():
    scores = score([molecule("H2O"), Atoms(), molecule("SiH4")], database())
    assert [scored.problem is None for scored in scores] == [True, False, False]
    assert "does not know Si" in scores[2].problem
    assert np.isnan(scores[1].loss)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"optimizer": "newton"},
            "optimizer 'newton' is none of lbfgs, fire, adam, gradient-descent, nelder-mead",
        ),
        ({"optimizer": "nelder-mead", "fmax": 0.1}, "fmax does not apply"),
        ({"fmax": 0}, "fmax must be positive, not 0"),
        ({"fmax": -1.0}, "fmax must be positive"),
        ({"fmax": float("nan")}, "fmax must be positive, not nan"),
        ({"max_steps": 0}, "max_steps must be an integer from 1 on, not 0"),
        ({"max_steps": -3}, "max_steps must be an integer from 1 on"),
        ({"dtype": "float16"}, "dtype must be float32 or float64"),
        ({"dtype": "double precision"}, "dtype must be float32 or float64"),
        ({"dtype": torch.int64}, "dtype must be float32 or float64"),
        ({"device": "nonsense"}, "device 'nonsense' cannot be used"),
        ({"device": 1.5}, "device '1.5' cannot be used"),
        ({"targets": "closest"}, "targets 'closest' are none of nearest, locally-linear"),
        ({"targets": "nearest", "n_neighbors": 4}, "targets 'nearest' take no n_neighbors"),
        ({"max_steps": 2.5}, "max_steps must be an integer from 1 on, not 2.5"),
        ({"fmax": "0.1"}, "fmax must be positive, not '0.1'"),
        ({"n_neighbors": 2.5}, "n_neighbors must be an integer from 1 on, not 2.5"),
        ({"n_neighbors": 0}, "n_neighbors must be an integer from 1 on, not 0"),
        ({"n_neighbors": -1}, "n_neighbors must be an integer from 1 on, not -1"),
        ({"reg": 0.0}, "reg must be positive, not 0.0"),
        ({"reg": -1e-3}, "reg must be positive"),
        ({"batch_atoms": 0}, "batch_atoms must be an integer from 1 on, not 0"),
        (
            {"database": "organic.losiko"},
            "there is no built-in database 'organic.losiko', only org",
        ),
        ({"database": 3}, "the database is a int: give an EnvironmentDatabase"),
        ({"structures": "H2O"}, "no such file"),
        ({"structures": [molecule("H2O"), 3]}, "structure 1 is of type int: give ase.Atoms"),
        ({"structures": None}, "of type NoneType: give ase.Atoms"),
    ],
)
def test_wrong_arguments_are_refused(arguments, sentence):
    arguments = {"structures": molecule("H2O"), "database": database(), **arguments}
    with pytest.raises(InputError, match=re.escape(sentence)):
        relax(**arguments)


# Special structures


def test_an_isolated_atom():
    made = EnvironmentDatabase.build([Atoms("H"), molecule("H2O")], soap())
    (result,) = relax(Atoms("H", [[1, 2, 3]]), made, dtype="float64", targets="nearest")
    assert result.converged
    assert result.loss < 1e-12
    np.testing.assert_allclose(result.atoms.positions, [[1, 2, 3]])
    assert (result.matches.structure[0, 0], result.matches.atom[0, 0]) == (0, 0)


def test_two_distant_fragments_relax_as_if_alone():
    one, other = rattled("H2O"), rattled("CH4")
    apart = other.copy()
    apart.translate([1000, 0, 0])
    options = {"dtype": "float64", "fmax": 1e-5}
    (both,) = relax(one + apart, database(), **options)
    alone = relax([one, other], database(), **options)
    assert both.loss == pytest.approx(alone[0].loss + alone[1].loss, rel=1e-3, abs=1e-9)


def test_a_structure_of_the_database_full_of_copies_stays():
    """A structure stays where all references equal it: rounding must not drive it off."""
    made = EnvironmentDatabase.build([molecule("H2O")] * 40, soap())
    for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-12)):
        (result,) = relax(molecule("H2O"), made, dtype=dtype)
        assert result.converged
        assert result.loss <= tolerance
        np.testing.assert_allclose(result.atoms.positions, molecule("H2O").positions, atol=1e-3)


def test_a_crystal():
    periodic = EnvironmentDatabase.build(bulk("C"), soap(periodic=True, smooth_width=1.0))
    start = bulk("C") * (2, 2, 1)
    start.positions += np.random.default_rng(0).normal(0, 0.1, start.positions.shape)
    (result,) = relax(start, periodic, dtype="float64", fmax=1e-4)
    assert result.converged
    assert result.loss < 1e-6 < result.start_loss
    np.testing.assert_array_equal(result.atoms.cell, start.cell)


# Nelder-Mead, progress, matches


def test_nelder_mead_is_a_yardstick():
    start = rattled("H2O")
    (ours,) = relax(start, water_database(), dtype="float64", fmax=1e-4)
    calls = []

    def counted(*arguments):
        calls.append(1)
        return judge(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("losiko_torch.relaxation.one_by_one.judge", counted)
        (theirs,) = relax(start, water_database(), dtype="float64", optimizer="nelder-mead")
    assert theirs.converged
    assert theirs.n_steps == len(calls)
    assert ours.n_steps < theirs.n_steps
    assert ours.loss < 1e-6
    assert theirs.loss < 1e-4 < theirs.start_loss


def test_progress_adds_up():
    structures = [atoms for atoms, _ in failures()[:4]] + many()[:4] + [Atoms()]
    for call, options in [
        (relax, {}),
        (relax, {"batch_atoms": 15}),
        (relax, {"max_steps": 2}),
        (relax, {"optimizer": "nelder-mead", "max_steps": 5}),
        (score, {}),
        (score, {"batch_atoms": 1}),
    ]:
        seen = []
        call(structures, database(), progress=seen.append, **options)
        assert sum(seen) == len(structures)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matches_are_the_nearest_references(dtype):
    (result,) = relax(rattled("CH3OH"), database(), dtype=dtype, n_neighbors=9)
    matches = result.matches
    assert matches.structure.shape == matches.atom.shape == matches.weight.shape == (6, 9)
    np.testing.assert_allclose(matches.weight.sum(1), 1, rtol=1e-5)
    assert (np.diff(matches.distance) >= -1e-6).all()
    features = soap().create(result.atoms)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    for row, number in enumerate(result.atoms.numbers.tolist()):
        part: Environments = database().references_of(number)
        z = (part.vectors @ part.basis.T).numpy()
        wanted = np.sort(((z - features[row]) ** 2).sum(1))[:9]
        np.testing.assert_allclose(matches.distance[row], wanted, atol=3e-6)
        places = list(zip(part.structure.tolist(), part.atom.tolist(), strict=True))
        found = [
            places.index(p) for p in zip(matches.structure[row], matches.atom[row], strict=True)
        ]
        distances = ((z[found] - features[row]) ** 2).sum(1)
        np.testing.assert_allclose(distances, matches.distance[row], atol=3e-6)
        assert len(set(found)) == 9


@pytest.mark.parametrize(("sigma", "fmax"), [(0.5, 0.02), (0.3, 0.02), (0.15, 0.005)])
def test_sharper_gaussians_stop_later(sigma, fmax):
    descriptor = SOAP(species=["H", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=sigma)
    built = EnvironmentDatabase.build([molecule("H2O")], descriptor)
    assert built.defaults.fmax == pytest.approx(fmax)
