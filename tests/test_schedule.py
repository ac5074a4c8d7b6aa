"""Laws of stages, of noise and of several starts."""

import re

import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixAtoms
from small_database import database, rattled

from losiko_torch import SOAP, EnvironmentDatabase, InputError, Stage, annealed, relax, score
from losiko_torch.optimizers.registry import OPTIMIZERS
from losiko_torch.relaxation.schedule import LEAST_NOISE, parse_schedule
from losiko_torch.systems.noise import gaussian

EXACT = {"dtype": "float64"}
SHORT = {"noise": (0.01, 0.6), **EXACT}


def farthest(one, other):
    return np.abs(one.atoms.positions - other.atoms.positions).max()


# Schedules are data


def test_annealed_noise_is_the_papers():
    sigmas = annealed(0.2, 0.05)
    np.testing.assert_allclose(np.square(sigmas), 0.2 * np.exp(-0.05 * np.arange(len(sigmas))))
    assert sigmas[-1] >= LEAST_NOISE > sigmas[-1] * np.exp(-0.025)
    assert annealed(0.2, 0.05, every=3)[::3] == sigmas
    assert set(annealed(0.2, 0.05, every=3)) == {0.0, *sigmas}
    assert annealed(LEAST_NOISE**2 / 2, 1.0) == ()


def test_a_schedule_can_be_printed():
    assert str([Stage(targets="nearest"), Stage(n_neighbors=4, reg=0.1, max_steps=7)]) == (
        "[nearest, 50 steps, locally-linear of 4 with reg 0.1, 7 steps]"
    )
    assert (
        repr(Stage(noise=(0.3, 0.0, 0.2)))
        == "the database's own targets, noise 0.3 to 0 A, 4 steps"
    )


def test_schedules_from_text():
    assert parse_schedule("nearest:30, locally-linear/8:20") == [
        Stage("nearest", max_steps=30),
        Stage("locally-linear", 8, max_steps=20),
    ]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Stage(targets="closest"), "none of nearest, locally-linear"),
        (lambda: Stage(targets="nearest", n_neighbors=3), "take no n_neighbors"),
        (lambda: Stage(max_steps=0), "max_steps must be an integer from 1 on, not 0"),
        (
            lambda: Stage(noise=(0.1, -0.1)),
            "tuple of standard deviations in Angstrom",
        ),
        (lambda: Stage(noise=(0.1, float("nan"))), "standard deviations"),
        (lambda: Stage(noise=0.1), "tuple of standard deviations"),
        (lambda: annealed(0, 0.1), "s0_squared must be positive, not 0"),
        (lambda: annealed(0.1, -1), "alpha must be positive, not -1"),
        (lambda: annealed(0.1, 1, every=0), "every must be an integer from 1 on, not 0"),
        (lambda: parse_schedule("nearest"), "stage 'nearest' is not of the form TARGETS:STEPS"),
        (lambda: parse_schedule("nearest:5,"), "stage '' is not of the form"),
        (lambda: parse_schedule("closest:5"), "none of nearest"),
    ],
)
def test_wrong_schedules_are_refused(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


def test_random_numbers_follow_from_what_they_are_for():
    together = gaussian((7, 1, 4), [0, 2, 0], [3, 2, 5])
    assert together.shape == (10, 3)
    np.testing.assert_array_equal(together[:3], together[5:8])
    np.testing.assert_array_equal(together[3:5], gaussian((7, 1, 4), [2], [2]))
    np.testing.assert_array_equal(together[5:], gaussian((7, 1, 4), [0], [5]))
    for other in ((8, 1, 4), (7, 2, 4), (7, 1, 5)):
        assert np.abs(gaussian(other, [0], [5]) - together[5:]).min() > 0
    many = gaussian((0, 0, 0), [0], [20000])
    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02
    assert gaussian((0,), [], []).shape == (0, 3)


# Stages


def test_a_stage_is_a_relaxation_of_its_own():
    start = rattled("CH3CH2OH")
    (first,) = relax(start, database(), targets="nearest", max_steps=12, fmax=1e-4, **EXACT)
    (second,) = relax(first.atoms, database(), fmax=1e-4, max_steps=30, **EXACT)
    schedule = [Stage(targets="nearest", max_steps=12)]
    (both,) = relax(start, database(), schedule=schedule, fmax=1e-4, max_steps=30, **EXACT)
    assert farthest(both, second) < 1e-9
    assert both.n_steps == first.n_steps + second.n_steps
    assert both.start_loss == score(start, database(), **EXACT)[0].loss


def test_neighbors_may_grow_stage_by_stage():
    stages = [Stage(n_neighbors=k, max_steps=15) for k in (2, 8, 24)]
    (result,) = relax(rattled("C6H6"), database(), schedule=stages, **EXACT)
    assert result.converged
    assert result.loss < result.start_loss
    assert result.n_steps <= 45 + 200


def test_a_failure_in_an_early_stage_fails_and_disturbs_nobody(monkeypatch):
    from losiko_torch.loss.objective import Objective

    evaluate = Objective.evaluate

    def spoiled(self, batch, *arguments):
        found = evaluate(self, batch, *arguments)
        # Water in its start, so at the first evaluation only.
        if batch.counts[0] == 3 and np.array_equal(
            batch.positions[0].numpy(), rattled("H2O").positions[0]
        ):
            found.loss[0] = found.distances[0] = float("nan")
        return found

    monkeypatch.setattr(Objective, "evaluate", spoiled)
    for schedule in ([Stage(max_steps=5)], [Stage(noise=(0.05, 0.02))]):
        one, other = relax([rattled("H2O"), rattled("CH4")], database(), schedule=schedule, **EXACT)
        assert one.reason == "failed: its loss, gradient or positions ceased to be finite numbers"
        np.testing.assert_array_equal(one.atoms.positions, rattled("H2O").positions)
        (alone,) = relax(rattled("CH4"), database(), schedule=schedule, **EXACT)
        assert farthest(other, alone) < 1e-9


# Noise


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_the_same_seed_gives_the_same_result_in_any_company(optimizer):
    names = ["H2O", "CH3OH", "HCN"] if optimizer != "nelder-mead" else ["H2O", "HCN"]
    structures = [rattled(name, k) for k, name in enumerate(names)]
    options = {"optimizer": optimizer, "seed": 3, "max_steps": 12, **SHORT}
    together = relax(structures, database(), **options)
    for result, atoms in zip(together, structures, strict=True):
        (alone,) = relax(atoms, database(), **options)
        assert farthest(result, alone) < 1e-6
        assert result.loss == pytest.approx(alone.loss, rel=1e-6)
        assert result.loss <= result.start_loss
    again = relax(structures, database(), **options)
    for one, other in zip(together, again, strict=True):
        np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)
    (other_seed,) = relax(structures[1], database(), **(options | {"seed": 4}))
    assert farthest(together[1], other_seed) > 1e-6


def test_noise_keeps_the_best_and_never_ends_worse():
    """Noise from the minimum can only harm; the result is as good as the start."""
    (minimum,) = relax(rattled("CH3OH"), database(), fmax=1e-4, **EXACT)
    (result,) = relax(minimum.atoms, database(), noise=(0.04, 0.3), **EXACT)
    assert result.loss <= minimum.loss
    assert result.converged


def test_noise_leaves_fixed_atoms_and_cells_where_they_are():
    atoms = rattled("CH3OH")
    atoms.set_constraint(FixAtoms([0, 4]))
    stage = Stage(noise=annealed(0.01, 0.6))
    (result,) = relax(atoms, database(), schedule=[stage], max_steps=1, **EXACT)
    np.testing.assert_array_equal(result.atoms.positions[[0, 4]], atoms.positions[[0, 4]])
    assert result.n_steps == stage.n_steps + 1


def test_noise_leads_out_of_wrong_minima():
    """Ammonia from ten starts that are hardly ammonia."""
    starts = [rattled("NH3", seed, 0.6) for seed in range(10)]
    options = {"targets": "nearest", "max_steps": 60, **EXACT}
    plain = relax(starts, database(), **options)
    shaken = relax(starts, database(), noise=(0.1, 0.5, 20), **options)
    losses = np.array([[one.loss, other.loss] for one, other in zip(plain, shaken, strict=True)])
    assert losses[:, 1].mean() < 0.8 * losses[:, 0].mean()


# Several starts


def test_the_best_of_several_starts_is_returned_and_all_are_there():
    structures = [rattled("CH3CH2OH", 1, 0.25), rattled("H2O", 2, 0.2)]
    results = relax(structures, database(), n_starts=4, start_noise=0.15, seed=5, **EXACT)
    plain = relax(structures, database(), **EXACT)
    for result, atoms, alone in zip(results, structures, plain, strict=True):
        assert len(result.starts) == 4
        assert result.loss == min(copy.loss for copy in result.starts)
        assert farthest(result.starts[0], alone) < 1e-9
        assert result.start_loss == pytest.approx(alone.start_loss, rel=1e-9)
        assert result.loss <= alone.loss
        losses = [copy.start_loss for copy in result.starts]
        assert len(set(losses)) == 4
        (again,) = relax(atoms, database(), n_starts=4, start_noise=0.15, seed=5, **EXACT)
        assert farthest(again, result) < 1e-6


def test_several_starts_count_as_one_structure():
    told = []
    bad = bulk("C")
    results = relax(
        [rattled("H2O"), bad, rattled("CH4")],
        database(),
        n_starts=3,
        batch_atoms=20,
        max_steps=20,
        progress=told.append,
    )
    assert [result.failed for result in results] == [False, True, False]
    assert sum(told) == 3
    assert all(len(result.starts) == 3 for result in results)


def test_a_copy_that_noise_makes_impossible_does_not_count():
    start = rattled("H2O")
    (result,) = relax(start, database(), n_starts=6, start_noise=1.5, seed=0, **EXACT)
    assert not result.failed
    assert result.loss == min(copy.loss for copy in result.starts if not copy.failed)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"noise": (0.1,)},
            re.escape("noise is (s0^2 in A^2, alpha), or with a third number, every"),
        ),
        ({"noise": 0.1}, "noise is"),
        ({"noise": (0.1, 0.1, 2.5)}, "every must be an integer from 1 on, not 2.5"),
        ({"noise": (-0.1, 1)}, "s0_squared must be positive"),
        ({"schedule": ["nearest"]}, "the schedule holds a str: give Stages"),
        ({"schedule": 5}, "the schedule is a int: give a list of Stages"),
        ({"noise": (0.2, 1e-9)}, "use a larger alpha"),
        ({"reg": "a"}, "reg must be positive, not 'a'"),
        ({"reg": float("inf")}, "reg must be positive, not inf"),
        ({"batch_atoms": "3"}, "batch_atoms must be an integer from 1 on, not '3'"),
        ({"max_steps": True}, "max_steps must be an integer from 1 on, not True"),
        ({"n_starts": 0}, "n_starts must be an integer from 1 on, not 0"),
        ({"n_starts": 2, "start_noise": 0}, "start_noise must be positive, not 0"),
        ({"seed": -1}, "seed must be an integer from 0 on, not -1"),
        ({"seed": 0.5}, "seed must be an integer from 0 on, not 0.5"),
    ],
)
def test_wrong_arguments_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        relax(rattled("H2O"), database(), **arguments)


def test_the_start_is_the_inputs_even_if_the_input_fails(monkeypatch):
    from losiko_torch.relaxation import stages

    results_of = stages.results_of

    def first_breaks(items, work, before, ended, symprec):
        ended.broken[0] = True
        return results_of(items, work, before, ended, symprec)

    monkeypatch.setattr(stages, "results_of", first_breaks)
    start = rattled("CH3OH")
    (result,) = relax(start, database(), n_starts=3, start_noise=0.05, **EXACT)
    assert result.starts[0].failed
    assert not result.failed
    assert result.start_loss == pytest.approx(score(start, database(), **EXACT)[0].loss)
    # Copies that all end worse than the input began are no result.
    (worse,) = relax(start, database(), n_starts=3, start_noise=0.5, max_steps=1, **EXACT)
    assert worse.failed
    assert len(worse.starts) == 3


@pytest.mark.parametrize(
    "schedule", [[], [Stage("nearest", noise=(0.01,))]], ids=["still", "noise"]
)
def test_nelder_mead_fails_where_the_loss_is_not_finite(schedule):
    start = rattled("H2O")
    start.arrays["losiko_weight"] = np.full(3, 1e39)
    (result,) = relax(
        start,
        database(),
        targets="nearest",
        optimizer="nelder-mead",
        max_steps=20,
        schedule=schedule,
    )
    assert result.reason == "failed: its loss, gradient or positions ceased to be finite numbers"


def test_numbers_of_numpy_are_numbers():
    (result,) = relax(
        rattled("H2O"),
        database(),
        n_neighbors=np.int64(5),
        reg=np.float32(0.01),
        max_steps=np.int64(5),
        fmax=np.float32(0.1),
        degree=np.int64(2),
        noise=np.array([1e-3, 1.0]),
        batch_atoms=np.int32(10),
    )
    assert not result.failed


@pytest.mark.parametrize("noise", [(0.01, 0.5, 2), (2.0, 0.4)], ids=["small", "leaps"])
@pytest.mark.parametrize("movable", [[0, 5], []], ids=str)
def test_noise_looks_only_at_what_can_change(movable, noise, monkeypatch):
    """Results are the same as if all atoms were evaluated at every step.

    Noise of the case "leaps" moves atoms within one step out of the reach of others.
    """
    from losiko_torch.loss.objective import Objective

    soap = SOAP(
        species=["Si"], r_cut=2.6, n_max=4, l_max=3, sigma=0.2, smooth_width=0.5, periodic=True
    )
    made = EnvironmentDatabase.build(bulk("Si", "diamond", a=5.43), soap)
    start = bulk("Si", "diamond", a=5.43, cubic=True) * (3, 2, 2)
    start.rattle(0.05, seed=1)
    mask = np.isin(np.arange(len(start)), movable)
    counts = []
    evaluate = Objective.evaluate

    def counted(self, batch, matching, active, *others):
        counts.append(len(active.of(batch.numbers)))
        return evaluate(self, batch, matching, active, *others)

    monkeypatch.setattr(Objective, "evaluate", counted)
    options = {"movable": mask, "targets": "nearest", "noise": noise, **EXACT}
    (part,) = relax(start, made, **options)
    assert max(counts[1:]) < (0.7 if noise[0] < 1 else 1.01) * len(start)
    monkeypatch.setattr(Objective, "neighbors", lambda self, batch, moving: None)
    counts.clear()
    (whole,) = relax(start, made, **options)
    assert min(counts) == len(start)
    assert farthest(part, whole) < 1e-8
    assert part.loss == pytest.approx(whole.loss, rel=1e-9)
    assert part.n_steps == whole.n_steps
