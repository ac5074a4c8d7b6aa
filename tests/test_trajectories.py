"""Steps of a relaxation that are watched: callbacks, loss curves, and trajectories in files."""

import ase.io
import numpy as np
import pytest
import small_learned
from ase.build import bulk
from ase.constraints import FixAtoms
from small_database import database, rattled

from losiko_torch import SOAP, EnvironmentDatabase, InputError, NelderMead, relax, relax_iter
from losiko_torch.io.trajectories import trajectories

NAMES = ("H2O", "CH3OH", "C2H6", "CH4")
FEW = {"targets": "nearest", "dtype": "float64", "max_steps": 12, "escape": False}


def structures():
    found = [rattled(name, k) for k, name in enumerate(NAMES)]
    found[1].set_constraint(FixAtoms([0]))
    found[1].info["name"] = "one/of two"
    return found


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Results and trajectory of the structures, relaxed together."""
    file = tmp_path_factory.mktemp("watched") / "paths.traj"
    results = relax(structures(), database(), history=True, trajectory=file, **FEW)
    return results, ase.io.read(file, ":")


def of(number, frames):
    return [each for each in frames if each.info["losiko_number"] == number]


def test_watching_changes_no_result(watched):
    results, _ = watched
    for one, other in zip(results, relax(structures(), database(), **FEW), strict=True):
        np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)
        assert (one.loss, one.n_steps, one.reason) == (other.loss, other.n_steps, other.reason)
        assert other.history is None


def test_nothing_is_watched_unless_it_is_asked_for(monkeypatch):
    def never(*arguments):
        raise AssertionError("a watch is made")

    monkeypatch.setattr("losiko_torch.relaxation.relaxer.Watch", never)
    assert not relax(structures(), database(), **FEW)[0].failed
    with pytest.raises(AssertionError):
        relax(structures(), database(), history=True, **FEW)


def test_expected_errors_are_told_where_targets_are_learned(tmp_path):
    learned = small_learned.of_molecules()
    start = small_learned.molecule("CH3OH", 1)
    (result,) = relax(start, learned, trajectory=tmp_path / "a.extxyz", escape=False)
    frames = ase.io.read(tmp_path / "a.extxyz", ":")
    errors = [each.info["losiko_expected_rmsd"] for each in frames]
    assert errors[-1] == pytest.approx(result.expected_rmsd)
    still = relax(start, learned, movable=np.zeros(len(start), dtype=bool), escape=False)
    assert errors[0] == pytest.approx(still[0].expected_rmsd, rel=1e-5)
    assert len(set(errors)) > 2


def test_a_trajectory_leads_from_the_start_to_the_result(watched):
    results, frames = watched
    for result, start in zip(results, structures(), strict=True):
        own = of(result.number, frames)
        steps = [each.info["losiko_step"] for each in own]
        assert steps[0] == 1
        assert steps[-1] == result.n_steps
        assert steps == sorted(steps)
        np.testing.assert_allclose(own[0].positions, start.positions, atol=1e-12)
        np.testing.assert_array_equal(own[-1].positions, result.atoms.positions)
        assert own[0].info["losiko_loss"] == pytest.approx(result.start_loss)
        assert own[-1].info["losiko_loss"] == result.loss
        assert own[-1].info.get("name") == start.info.get("name")
    assert [frame.info["losiko_number"] for frame in frames] == sorted(
        frame.info["losiko_number"] for frame in frames
    )
    np.testing.assert_array_equal(of(1, frames)[3].positions[0], structures()[1].positions[0])


def test_a_frame_is_told_once(watched):
    results, frames = watched
    for result in results:
        told = [each.info["losiko_step"] for each in of(result.number, frames)]
        assert len(told) >= 3
        assert len(set(told)) == len(told)


def test_a_batch_goes_the_ways_of_singles(watched, tmp_path):
    _, frames = watched
    for number, atoms in enumerate(structures()):
        file = tmp_path / f"{number}.traj"
        relax(atoms, database(), trajectory=file, **FEW)
        alone, own = ase.io.read(file, ":"), of(number, frames)
        assert len(alone) == len(own)
        for one, other in zip(alone, own, strict=True):
            np.testing.assert_allclose(one.positions, other.positions, atol=1e-7)
            assert one.info["losiko_loss"] == pytest.approx(other.info["losiko_loss"], rel=1e-6)


def test_loss_curves_are_those_of_the_frames(watched):
    results, frames = watched
    for result in results:
        history = result.history
        assert history.frames is None
        assert history.steps.tolist() == list(range(1, result.n_steps + 1))
        assert history.loss[0] == pytest.approx(result.start_loss)
        told = {each.info["losiko_step"]: each.info for each in of(result.number, frames)[:-1]}
        for step, info in told.items():
            assert info["losiko_loss"] == history.loss[step - 1]
            assert info["losiko_fmax"] == history.fmax[step - 1]
        assert "steps" in repr(history)


def test_an_interval_leaves_frames_out(tmp_path, watched):
    results, frames = watched
    relax(
        structures(),
        database(),
        trajectory=tmp_path / "few.extxyz",
        trajectory_interval=4,
        **FEW,
    )
    few = ase.io.read(tmp_path / "few.extxyz", ":")
    for result in results:
        steps = [each.info["losiko_step"] for each in of(result.number, few)]
        expected = [step for step in range(1, result.n_steps, 4)]
        assert steps[: len(expected)] == expected
        assert steps[-1] == result.n_steps
    assert len(few) < len(frames)
    assert {each.info["losiko_number"] for each in few} == set(range(len(NAMES)))


def test_a_folder_has_a_file_for_each(tmp_path, watched):
    _, frames = watched
    same = [*structures(), *structures()]
    relax(same, database(), trajectory=tmp_path / "paths", **FEW)
    names = sorted(each.name for each in (tmp_path / "paths").iterdir())
    assert len(names) == len(same)
    assert names[1] == "000001_one_of_two.extxyz"
    first = ase.io.read(tmp_path / "paths" / names[0], ":")
    assert len(first) == len(of(0, frames))
    list(relax_iter(structures()[:1], database(), trajectory=f"{tmp_path}/ase.traj/", **FEW))
    (file,) = (tmp_path / "ase.traj").iterdir()
    assert file.suffix == ".traj"
    assert len(ase.io.read(file, ":")) == len(first)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "there.traj").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    for name, said in [
        ("there.traj", "exists already"),
        ("full", "has files in it"),
        ("there.png", "trajectories are written to .traj, .extxyz, .xyz"),
        ("none/new.traj", "there is no folder"),
        ("none/new", "there is no folder"),
    ]:
        with pytest.raises(InputError, match=said):
            relax(structures(), database(), trajectory=tmp_path / name, **FEW)
    with pytest.raises(InputError, match="trajectory_interval must be an integer from 1 on"):
        relax(structures(), database(), trajectory=tmp_path / "a", trajectory_interval=0)
    assert (tmp_path / "there.traj").read_text() == "mine"
    with (
        pytest.raises(InputError, match="a file, not a folder"),
        trajectories(f"{tmp_path}/there.traj/"),
    ):
        pass


def test_a_structure_that_fails_at_once_has_no_frames(tmp_path):
    bad = rattled("H2O")
    bad.positions[0] = np.nan
    results = relax(
        [bad, rattled("CH4")], database(), trajectory=tmp_path / "paths", history=True, **FEW
    )
    assert results[0].failed
    assert results[0].history is None
    assert [each.name for each in (tmp_path / "paths").iterdir()] == ["000001_CH4.extxyz"]


def test_cells_are_in_the_frames(tmp_path):
    soap = SOAP(species=["C"], r_cut=3.5, n_max=3, l_max=2, sigma=0.4, periodic=True)
    diamonds = EnvironmentDatabase.build([bulk("C")], soap)
    crystal = bulk("C")
    crystal.set_cell(crystal.cell.array * 1.05, scale_atoms=True)
    options = {"targets": "nearest", "cell": True, "dtype": "float64"}
    with pytest.warns(UserWarning, match="sharply"):
        (result,) = relax(crystal, diamonds, trajectory=tmp_path / "a.traj", **options)
    frames = ase.io.read(tmp_path / "a.traj", ":")
    np.testing.assert_allclose(frames[0].cell.array, crystal.cell.array, atol=1e-12)
    np.testing.assert_array_equal(frames[-1].cell.array, result.atoms.cell.array)
    volumes = [each.get_volume() for each in frames]
    assert volumes[-1] < volumes[0]


def test_a_callback_gets_every_evaluation(watched):
    results, frames = watched
    seen = []
    relax(structures(), database(), callback=seen.append, **FEW)
    for result in results:
        own = [step for step in seen if step.number == result.number]
        assert [step.step for step in own] == result.history.steps.tolist()
        np.testing.assert_array_equal([step.loss for step in own], result.history.loss)
        np.testing.assert_array_equal([step.fmax for step in own], result.history.fmax)
        np.testing.assert_allclose(own[2].positions, of(result.number, frames)[2].positions)
        assert own[2].atoms.get_chemical_formula() in own[2].name
        assert own[2].cell.shape == (3, 3)
    with pytest.raises(AttributeError):
        seen[0].loss = 0.0


def test_a_callback_that_raises_ends_its_structure_alone():
    def stop(step):
        if step.number == 2 and step.step == 3:
            raise ValueError("far enough\nof this")

    ended = relax(structures(), database(), callback=stop, **FEW)
    for one, other in zip(ended, relax(structures(), database(), **FEW), strict=True):
        if one.number == 2:
            assert one.reason == (
                "failed: the callback ended it at step 3 (ValueError: far enough)"
            )
            assert not one.reliable
            np.testing.assert_array_equal(one.atoms.positions, structures()[2].positions)
        else:
            np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)


def test_interrupting_is_no_reason_of_a_structure():
    def interrupt(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        relax(structures(), database(), callback=interrupt, **FEW)


def test_callbacks_that_cannot_be():
    with pytest.raises(InputError, match="the callback is a str"):
        relax(structures(), database(), callback="print")
    with pytest.raises(InputError, match="goes with no workers"):
        relax(structures(), database(), callback=print, workers=2)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": NelderMead(), "max_steps": 20},
        {"noise": (0.01, 1.0)},
        {"optimizer": NelderMead(), "max_steps": 20, "noise": (0.001, 1.0)},
        {"n_starts": 2},
    ],
    ids=["direct", "noise", "direct-noise", "starts"],
)
def test_all_ways_of_relaxing_are_watched(options):
    start, seen = rattled("H2O"), []
    how = {**FEW, **options}
    (result,) = relax(start, database(), callback=seen.append, history=True, **how)
    (same,) = relax(start, database(), **how)
    np.testing.assert_array_equal(result.atoms.positions, same.atoms.positions)
    copies = {step.copy for step in seen}
    assert copies == ({0, 1} if "n_starts" in options else {0})
    assert result.history.steps.tolist() == list(range(1, result.n_steps + 1))
    assert result.history.loss.min() <= result.history.loss[0]
    for copy in copies:
        steps = [step.step for step in seen if step.copy == copy]
        assert steps == list(range(1, len(steps) + 1))

    def stop(step):
        if step.step == 3:
            raise RuntimeError

    (ended,) = relax(start, database(), callback=stop, **how)
    assert ended.reason == "failed: the callback ended it at step 3 (RuntimeError)"


def test_stages_are_one_way(tmp_path):
    (result,) = relax(
        rattled("CH3OH"), database(), schedule=[], noise=(0.001, 1.0), history=True, **FEW
    )
    assert np.all(np.diff(result.history.steps) == 1)
    assert result.history.steps[-1] == result.n_steps


def test_steps_seen_twice_are_kept_once(monkeypatch):
    from losiko_torch.relaxation import stages

    advance, calls = stages.advance, []

    def short_of_memory(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise MemoryError
        return advance(*arguments)

    monkeypatch.setattr(stages, "advance", short_of_memory)
    with pytest.warns(UserWarning, match="out of memory"):
        results = relax(structures()[:2], database(), history=True, **FEW)
    for result in results:
        assert result.history.steps.tolist() == list(range(1, result.n_steps + 1))


def test_a_saddle_that_is_left_is_on_the_way():
    flat = rattled("NH3", width=0.0)
    flat.positions[:, 2] = 0
    steps = []
    (result,) = relax(flat, database(), history=True, callback=steps.append, dtype="float64")
    (same,) = relax(flat, database(), dtype="float64")
    np.testing.assert_array_equal(result.atoms.positions, same.atoms.positions)
    assert any(step.copy == -1 for step in steps)
    assert result.history.steps.tolist() == list(range(1, result.n_steps + 1))

    def stop(step):
        if step.copy == -1:
            raise RuntimeError("no way")

    (ended,) = relax(flat, database(), callback=stop, dtype="float64")
    assert ended.failed
    assert "the callback ended it" in ended.reason


def test_losses_are_drawn(watched):
    pytest.importorskip("matplotlib")
    import matplotlib

    matplotlib.use("Agg")
    results, _ = watched
    axes = results[0].plot()
    assert axes.get_title() == results[0].name
    assert axes.lines[0].get_ydata().tolist() == results[0].history.loss.tolist()
    assert results[1].plot(axes) is axes
    with pytest.raises(InputError, match="history=True"):
        relax(structures()[0], database(), **FEW)[0].plot()
