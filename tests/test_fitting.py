"""Laws of fitting learned targets: what a fit depends on, interruptions, beginnings, refusals."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.collections import g2
from safetensors import safe_open
from safetensors.torch import save_file
from small_learned import (
    NAMES,
    Shells,
    crystals,
    fitted,
    molecules,
    networks_of,
    of_crystals,
    of_molecules,
    of_shells,
    perturbed,
    plain_crystals,
    plain_molecules,
    same_networks,
    saved_and_loaded,
    soap,
)

from losiko_torch import EnvironmentDatabase, InputError, relax
from losiko_torch.database.learning import geometries_of
from losiko_torch.learned import fit
from losiko_torch.learned.expected_error import fitted_table
from losiko_torch.learned.fit import split, usual_steps


@cache
def base():
    """Return the database that others are compared with, fitted in a few steps."""
    return fitted(plain_molecules())


def built(structures, **changes):
    return EnvironmentDatabase.build(structures, soap(**changes))


def info(database):
    return database.learned.info


def differ(one, other):
    """Return whether any weight of the networks of two databases differs."""
    first, second = networks_of(one), networks_of(other)
    return any(not torch.equal(first[name], second[name]) for name in first if "/w" in name)


# What a fit depends on.


def test_the_same_seed_gives_the_same_networks():
    again = fitted(built(molecules()))
    assert same_networks(again, base())
    assert info(again) == info(base())
    assert differ(fitted(plain_molecules(), seed=1), base())


def test_labels_change_nothing():
    labelled = molecules()
    rng = np.random.default_rng(0)
    for atoms in labelled:
        forces = rng.normal(0, 1, (len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), forces=forces)
        atoms.info.update(energy=rng.normal(), dipole=[1.0, 2.0, 3.0], label="good")
        atoms.arrays["forces"] = forces
        atoms.set_initial_charges(rng.normal(0, 1, len(atoms)))
        atoms.set_velocities(forces)
    assert same_networks(fitted(built(labelled)), base())


def test_a_fit_leaves_the_references_and_the_database_as_they_were():
    plain = plain_molecules()
    assert plain.learned is None
    assert not plain.is_fitted
    assert plain.defaults.usual == "locally-linear"
    assert base().defaults.usual == "learned"
    for number, part in base().environments.items():
        assert torch.equal(part.vectors, plain.environments[number].vectors)
    taken = base().with_learned(None)
    assert taken.learned is None
    assert not taken.is_fitted


def test_weights_of_references_count():
    weights = np.ones(len(NAMES))
    weights[::2] = 0.05
    weighted = plain_molecules().weighted(weights.tolist())
    assert differ(fitted(weighted), base())
    assert same_networks(fitted(weighted.weighted(None)), base())


def test_weights_of_atoms_count():
    structures = molecules()
    for atoms in structures:
        atoms.arrays["losiko_weight"] = np.where(atoms.numbers == 1, 0.1, 1.0)
    assert differ(fitted(built(structures)), base())


def test_what_weighs_nothing_is_left_out():
    """Weight 0, a structure taken away and one never given make the same fit."""
    weights = [0.0 if k == 3 else 1.0 for k in range(len(NAMES))]
    rest = [atoms for k, atoms in enumerate(molecules()) if k != 3]
    wanted = fitted(built(rest))
    weightless, taken = plain_molecules().weighted(weights), plain_molecules().without([3])
    for each in (weightless, taken):
        found = fitted(each)
        assert same_networks(found, wanted)
        assert info(found)["structures"] + info(found)["held_out"] == len(NAMES) - 1


def test_atoms_alone_are_left_out():
    alone = [Atoms("H"), Atoms("C")]
    found = fitted(built([*molecules(), *alone]))
    assert same_networks(found, base())


def test_members_and_width():
    found = fitted(plain_molecules(), members=3, width=8)
    assert info(found)["members"] == found.learned.members == 3
    assert {own.w1.shape[2] for own in found.learned.networks.values()} == {8}
    own = found.learned.networks[1]
    assert not torch.equal(own.w1[0], own.w1[1])


def test_progress_tells_every_step():
    seen = []
    found = fitted(plain_molecules(), progress=lambda *each: seen.append(each))
    assert [each[:2] for each in seen] == [(k + 1, 10) for k in range(10)]
    assert seen[-1][2] >= info(found)["error"]
    assert same_networks(found, base())


def test_the_held_out_error_falls():
    told = info(of_molecules())
    assert told["error"] < told["error_before"] / 2


def test_minutes_are_turned_into_steps():
    """A fit for a time is that of so many steps."""
    found = fitted(plain_molecules(), steps=None, minutes=1e-5)
    assert info(found)["steps"] > 0
    assert same_networks(found, fitted(plain_molecules(), steps=info(found)["steps"]))


def test_more_structures_call_for_more_steps():
    counts = [usual_steps(count) for count in (8, 100, 10_000, 10**6, 10**7)]
    assert counts == sorted(counts)
    assert counts[0] > 0
    assert counts[-1] == counts[-2]


# Interruptions.


class Killed(Exception):
    """Death of a fit."""


def killed_at(last, database, path, **options):
    def progress(step, steps, error):
        if step == last:
            raise Killed

    with pytest.raises(Killed):
        fitted(database, checkpoint=path, progress=progress, **options)


@pytest.fixture
def often(monkeypatch):
    """Looks at the structures held out, and with them checkpoints, after every four steps."""
    monkeypatch.setattr(fit, "LOOK", 4)


@pytest.mark.parametrize(
    ("make", "last"),
    [(plain_molecules, [2]), (plain_molecules, [5, 8, 9]), (plain_crystals, [6])],
    ids=["before the first checkpoint", "three times", "crystals"],
)
def test_a_fit_that_was_killed_goes_on_bit_by_bit(often, tmp_path, make, last):
    database, path = make(), tmp_path / "fit"
    for step in last:
        killed_at(step, database, path)
    seen = []
    found = fitted(database, checkpoint=path, progress=lambda *each: seen.append(each[0]))
    assert seen == list(range(last[-1] // 4 * 4 + 1, 11))
    wanted = fitted(database)
    assert same_networks(found, wanted)
    assert info(found) == info(wanted)


def test_a_fit_that_is_done_is_not_done_again(tmp_path):
    path, seen = tmp_path / "fit", []
    first = fitted(plain_molecules(), checkpoint=path)
    again = fitted(plain_molecules(), checkpoint=path, progress=lambda *each: seen.append(each))
    assert seen == []
    assert path.exists()
    assert same_networks(first, again)
    assert same_networks(first, base())
    assert info(first) == info(again)


def test_a_fit_for_a_time_goes_on_with_its_steps(often, tmp_path):
    path, steps = tmp_path / "fit", []

    def progress(step, count, error):
        steps.append(count)
        if step == 9:
            raise Killed

    with pytest.raises(Killed):
        fitted(plain_molecules(), steps=None, minutes=1e-5, checkpoint=path, progress=progress)
    found = fitted(plain_molecules(), steps=None, minutes=1e-3, checkpoint=path)
    assert info(found)["steps"] == steps[0]
    assert same_networks(found, fitted(plain_molecules(), steps=steps[0]))


OTHERS = {
    "seed": (plain_molecules, {"seed": 1}),
    "steps": (plain_molecules, {"steps": 12}),
    "width": (plain_molecules, {"width": 8}),
    "members": (plain_molecules, {"members": 1}),
    "weights": (lambda: plain_molecules().weighted([0.5, *[1.0] * (len(NAMES) - 1)]), {}),
    "structures": (lambda: plain_molecules().without([0]), {}),
    "descriptor": (lambda: built(molecules(), r_cut=3.2), {}),
    "start": (plain_molecules, {"start": True}),
}


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "fit"
    fitted(plain_molecules(), checkpoint=path)
    return path


@pytest.mark.parametrize("what", OTHERS)
def test_the_checkpoint_of_another_fit_is_refused(unfinished, what):
    make, options = OTHERS[what]
    if "start" in options:
        options = {"start": base()}
    before = unfinished.read_bytes()
    with pytest.raises(InputError, match="unfinished fit of other structures or settings"):
        fitted(make(), checkpoint=unfinished, **options)
    assert unfinished.read_bytes() == before


@pytest.mark.parametrize("how", ["text", "cut", "no header", "tensors missing", "header missing"])
def test_a_damaged_checkpoint_is_refused(unfinished, tmp_path, how):
    path, data = tmp_path / "fit", unfinished.read_bytes()
    if how == "text":
        path.write_text("no checkpoint")
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "no header":
        save_file({"positions": torch.zeros(3)}, path)
    else:
        with safe_open(unfinished, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if how == "header missing":
            header.pop("where")
        else:
            tensors.pop("moves")
        save_file(tensors, path, metadata=header)
    with pytest.raises(InputError, match=r"fit: no unfinished fit, or a damaged one"):
        fitted(plain_molecules(), checkpoint=path)


# Refusals.


def test_too_few_structures():
    with pytest.raises(InputError, match="7 structures of two atoms and more are too few"):
        fitted(built([*molecules()[:7], Atoms("H"), Atoms("O")]))


def test_structures_of_which_none_can_be_held_out():
    symbols = ["He", "Ne", "Ar", "Kr", "F", "Cl", "S", "P"]
    structures = [Atoms(f"{each}H", [[0, 0, 0], [0, 0, 1.3]]) for each in symbols]
    descriptor = soap("H", *symbols)
    with pytest.raises(InputError, match="no structure can be held out"):
        fitted(EnvironmentDatabase.build(structures, descriptor))


def test_a_database_without_geometries():
    with pytest.raises(InputError, match="the database keeps no structures"):
        fitted(replace(plain_molecules(), geometries=None))


@pytest.mark.parametrize(
    "options",
    [{"seed": -1}, {"steps": 0}, {"steps": 2.5}, {"minutes": 0}, {"members": 0}, {"width": 0}],
    ids=str,
)
def test_numbers_out_of_range(options):
    with pytest.raises(InputError):
        fitted(plain_molecules(), **options)


def test_every_element_stays_among_those_fitted():
    geometries = geometries_of(plain_molecules())
    for seed in range(20):
        kept, held_out = split(geometries, seed)
        assert len(kept) + len(held_out) == len(geometries)
        assert len(held_out) == 2
        assert {z for each in kept for z in each.numbers} == {1, 6, 7, 8}


# Elements of few environments.


@cache
def of_rare():
    structures = [*molecules(), g2["BF3"].copy()]
    return fitted(EnvironmentDatabase.build(structures, soap("H", "B", "C", "N", "O", "F")))


def test_an_element_with_three_environments():
    assert info(of_rare())["rare"]["F"] == 3
    assert info(of_rare())["rare"]["B"] == 1
    assert "H" not in info(of_rare())["rare"]
    (found,) = relax(perturbed(g2["BF3"]), of_rare())
    assert not found.failed
    assert found.loss < found.start_loss


# Beginnings.


@cache
def others():
    """Return a database of other molecules of the same elements."""
    names = [
        "C3H8",
        "HCOOCH3",
        "H2O2",
        "CH3CN",
        "C3H4_C3v",
        "C2H6CHOH",
        "N2",
        "CH3COOH",
        "CH3CONH2",
    ]
    return built([g2[name].copy() for name in names])


def test_a_start_helps_from_the_first_step():
    alone, helped = fitted(others()), fitted(others(), start=of_molecules())
    assert info(helped)["error_before"] < info(alone)["error_before"] / 2
    assert info(helped)["error"] <= info(helped)["error_before"]


def test_a_start_keeps_descriptor_members_and_width():
    first = fitted(plain_molecules(), members=3, width=8)
    found = fitted(built(molecules(), r_cut=4.0), start=first, members=2, width=16)
    assert found.learned.members == 3
    assert {own.w1.shape[2] for own in found.learned.networks.values()} == {8}
    assert found.learned.descriptor.cutoff == first.learned.descriptor.cutoff
    assert found.descriptor.r_cut == 4.0


def test_a_start_that_knows_more_elements():
    carbon_free = [g2[name].copy() for name in ["H2O", "H2O2", "O2", "H2", "O3"]] * 2
    for k, atoms in enumerate(carbon_free):
        atoms.rattle(0.01, seed=k)
    found = fitted(built(carbon_free), start=of_molecules())
    assert set(found.learned.networks) == {1, 8}
    assert not relax(perturbed(g2["H2O"]), found)[0].failed


def test_a_start_that_knows_other_elements_is_refused():
    structures = [*molecules(), g2["BF3"].copy()]
    database = EnvironmentDatabase.build(structures, soap("H", "B", "C", "N", "O", "F"))
    with pytest.raises(InputError, match=r"know no B, F \(they know H, C, N, O\)"):
        fitted(database, start=base())


def test_a_start_without_learned_targets_is_refused():
    with pytest.raises(InputError, match="carries no learned targets"):
        fitted(plain_molecules(), start=plain_molecules())


def test_a_start_whose_descriptor_is_another_module_is_refused():
    """Files hold no modules: targets that see atoms by one need a database described by it."""
    with pytest.raises(InputError, match="descriptor"):
        fitted(plain_molecules(), start=of_shells())
    wider = Shells()
    wider.cutoff = 4.0
    with pytest.raises(InputError, match="descriptor"):
        fitted(EnvironmentDatabase.build(molecules(), wider), start=of_shells())


def test_a_start_on_soap_serves_a_database_of_a_module(tmp_path):
    found = fitted(EnvironmentDatabase.build(molecules(), Shells()), start=base())
    loaded = saved_and_loaded(found, tmp_path, descriptor=Shells())
    (one,), (other,) = (relax(perturbed(g2["CH3OH"]), each) for each in (found, loaded))
    assert one.loss < one.start_loss
    np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)


# Databases made of fitted ones.


def test_a_union_drops_what_was_fitted():
    united = base().union(others())
    assert united.learned is None
    assert not united.is_fitted
    assert any("fitted targets dropped" in step for step in united.metadata["curation"])
    assert united.defaults.usual == "locally-linear"
    assert info(fitted(united))["structures"] > info(base())["structures"]


@pytest.mark.parametrize("how", ["without", "thinned", "weighted", "searched_whole", "to"])
def test_what_was_fitted_stays(how):
    """Networks depend on structures, not on which of their environments are references."""
    made = {
        "without": lambda: base().without([0, 5]),
        "thinned": lambda: base().thinned(0.05),
        "weighted": lambda: base().weighted([2.0] * len(NAMES)),
        "searched_whole": lambda: base().searched_whole(),
        "to": lambda: base().to("cpu"),
    }[how]()
    assert made.learned is not None
    assert same_networks(made, base())
    (one,), (other,) = (relax(perturbed(g2["CH3OH"]), each) for each in (base(), made))
    np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)


# Other descriptors and structures.


def test_a_plain_module_as_descriptor():
    assert isinstance(of_shells().learned.descriptor, Shells)
    (found,) = relax(perturbed(g2["CH3OH"]), of_shells())
    assert not found.failed
    assert found.loss < found.start_loss
    assert np.isfinite(found.expected_error).all()


def test_a_soap_that_cannot_be_mixed():
    found = fitted(built(molecules(), compression={"mode": "mu2"}))
    assert type(found.learned.descriptor) is type(found.descriptor)
    (result,) = relax(perturbed(g2["CH3OH"]), found)
    assert result.loss < result.start_loss


def test_crystals_with_cells():
    told = info(of_crystals())
    assert told["structures"] + told["held_out"] == len(crystals())
    assert told["error"] < told["error_before"]
    start = perturbed(crystals()[3], 1, 0.05, 0.03)
    (found,) = relax(start, of_crystals(), cell=True)
    assert found.loss < found.start_loss
    assert np.abs(found.atoms.cell - start.cell).max() > 1e-3


def test_cells_of_crystals_count():
    """A strained crystal differs from a good one: the virials of the model are not zero."""
    other = crystals()
    other[3].set_cell(other[3].cell * 1.05, scale_atoms=True)
    descriptor = plain_crystals().descriptor
    assert differ(fitted(EnvironmentDatabase.build(other, descriptor)), fitted(plain_crystals()))


def test_molecules_and_crystals_together():
    structures = [*molecules(), *(bulk("MgO", "rocksalt", a=4.21) * (1, 1, k) for k in (1, 2, 3))]
    descriptor = soap("H", "C", "N", "O", "Mg", periodic=True)
    found = fitted(EnvironmentDatabase.build(structures, descriptor))
    starts = [perturbed(g2["CH3OH"]), perturbed(structures[-3], 2, 0.05, 0.02)]
    one, other = relax(starts, found, cell=True, max_steps=8)
    for result in (one, other):
        assert not result.failed
        assert result.loss < result.start_loss
    np.testing.assert_array_equal(one.atoms.cell, 0)
    assert np.abs(other.atoms.cell - starts[1].cell).max() > 1e-3


# The table of errors.


def test_errors_to_expect_never_fall_as_signals_rise():
    rng = np.random.default_rng(0)
    seen = rng.normal(0, 1, (400, 2))
    errors = np.exp(0.5 * seen[:, 0] + rng.normal(0, 0.3, 400))
    table = fitted_table(seen, errors)
    assert (np.diff(table["errors"]) >= 0).all()
    assert (np.diff(table["signals"]) > 0).all()
    assert table["errors"][-1] > 3 * table["errors"][0]
    assert table["weights"][1] == pytest.approx(0.5, abs=0.05)
    assert table["weights"][2] == pytest.approx(0, abs=0.05)


def test_a_handful_of_atoms_gives_no_table():
    assert fitted_table(np.zeros((39, 2)), np.ones(39)) is None
