"""What the page of a report holds: the list, geometries, the choice among many, the starts."""

import json

import numpy as np
import pytest
import small_database
import small_run
from ase import Atoms
from ase.build import bulk
from ase.collections import g2
from ase.io import write
from small_run import failed, row, table

from losiko_torch.report import chosen, packing
from losiko_torch.report.content import content
from losiko_torch.report.geometries import Drawn, geometries
from losiko_torch.report.listing import STATES, listing, sentence_of, states_of
from losiko_torch.report.names import References
from losiko_torch.report.settings_words import as_words, in_short, settings_of
from losiko_torch.report.starts import moved, starts_of
from losiko_torch.runs.identity import digests
from losiko_torch.systems.names import name_of, titled

# --- packing


def arrays_of(listed, text):
    """The numbers that a page unpacks, by the rules of ``packing.packed_arrays``."""
    data, found, at = packing.unpacked(text), {}, 0
    for name, kind, count in listed:
        kind = np.dtype(kind).newbyteorder("<")
        planes = np.frombuffer(data, np.uint8, count * kind.itemsize, at)
        found[name] = planes.reshape(kind.itemsize, count).T.copy().view(kind).reshape(-1)
        at += count * kind.itemsize
    assert at == len(data)
    return found


def test_packed_arrays_come_back():
    rng = np.random.default_rng(0)
    given = {
        "small": rng.integers(0, 120, 7).astype(np.uint8),
        "whole": rng.integers(-(2**31), 2**31, (5, 3)).astype(np.int32),
        "none": np.zeros(0, np.int32),
        "real": np.array([1.5, np.nan, -3e-9], np.float32),
    }
    listed, text = packing.packed_arrays(given)
    found = arrays_of(listed, text)
    for name, values in given.items():
        np.testing.assert_array_equal(found[name], values.reshape(-1))
    assert not set(text) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def test_rounded_numbers_keep_three_digits_and_what_is_no_number():
    values = np.random.default_rng(0).lognormal(0, 5, 1000)
    np.testing.assert_allclose(packing.rounded(values), values, rtol=2**-13)
    assert np.isnan(packing.rounded(np.array([np.nan]))).all()
    assert packing.short_floats([1.234567, None, np.nan, np.inf], 3) == [1.23, None, None, None]


# --- the list


def some_rows():
    rows = [
        row(0, name="water", expected_rmsd=0.05, reliable=True, doubt="", terms=[("tether", 0.5)]),
        row(1, expected_rmsd=0.4, reliable=False, doubt="atom 1 (H) is alone"),
        row(2, reason="max_steps", reliable=False, doubt=""),
        row(3, reason="stopped: it rose", converged=False, reliable=False, doubt="it is odd"),
        failed(4, "it has no atoms", rmsd=9.0, reliable=False, doubt=""),
    ]
    return table(rows)


def test_states_and_sentences():
    rows = some_rows()
    assert [STATES[k] for k in states_of(rows)] == [
        "reliable",
        "in doubt",
        "not converged",
        "not converged",
        "failed",
    ]
    found = listing(rows, range(5), {0: 0.123456, 1: None})
    told = [found["sentences"][k] for k in found["told"]]
    assert told == [
        "",
        "atom 1 (H) is alone",
        "it reached the step limit before it converged",
        "it rose; it is odd",
        "it has no atoms",
    ]
    assert sentence_of(3, "converged", None) == ""
    assert found["kinds"][found["kind"][found["told"][1]]] == "atom … is alone"


def test_columns_of_the_list():
    found = listing(some_rows(), range(5), {0: 0.123456, 1: None})
    assert found["name"] == ["water", "", "", "", ""]
    assert found["source"][1] == "in.xyz@1"
    assert found["moved"] == [0.1235, None, None, None, None]
    # The RMSD of a structure that failed is that of its start: nobody has one here.
    assert "rmsd" not in found
    assert found["n_steps"] == [10, 10, 10, 10, None]
    assert found["n_atoms"] == [3] * 5
    assert found["terms"] == {"tether": [0.5, None, None, None, None]}
    assert [each["key"] for each in found["quantities"]] == [
        *("expected_rmsd", "moved", "loss", "largest_distance", "start_loss", "n_steps", "n_atoms")
    ]
    json.dumps(found, allow_nan=False)


def test_a_list_of_some_rows_is_theirs():
    found = listing(some_rows(), [1, 4], {4: 7.0})
    assert found["number"] == [1, 4]
    assert found["moved"] == [None, 7.0]


def test_negative_losses_have_no_logarithm():
    def is_log(**changes):
        found = listing(table([row(0), row(1, **changes)]), [0, 1], {})
        return {each["key"]: each["log"] for each in found["quantities"]}["loss"]

    assert is_log() is True
    assert is_log(loss=-0.1) is False


def test_names_stand_before_origins():
    assert titled("ethanol", "in.xyz@3") == "ethanol, in.xyz@3"
    assert titled(None, "in.xyz@3") == titled("in.xyz@3", "in.xyz@3") == "in.xyz@3"
    assert [name_of({"name": each}) for each in ("a", 3, "", None, 1.5)] == ["a", "3", *[None] * 3]


# --- the choice


def many_rows(n=400):
    rng = np.random.default_rng(0)
    rows = [
        row(k, expected_rmsd=rng.random(), largest_distance=rng.random(), n_atoms=10, reliable=True)
        for k in range(n)
    ]
    for k in range(0, n, 10):
        rows[k] = failed(k, "bad", n_atoms=10, reliable=False)
    return table(rows)


def test_a_run_that_is_not_too_large_is_held_whole():
    rows = many_rows()
    assert chosen.chosen_rows(rows, 4000, 400).tolist() == list(range(400))
    assert len(chosen.chosen_rows(rows, 3999, 400)) == 399


def test_failed_and_worst_ones_come_before_a_sample(monkeypatch):
    monkeypatch.setattr(chosen, "WORST", 20)
    rows = many_rows()
    kept = chosen.chosen_rows(rows, most_atoms=2000)
    assert len(kept) == 200
    assert (np.diff(kept) > 0).all()
    assert set(range(0, 400, 10)) <= set(kept)
    for name in ("expected_rmsd", "largest_distance"):
        values = np.nan_to_num(np.asarray(rows[name]).astype(float), nan=-1)
        assert set(np.argsort(-values)[:20]) <= set(kept)
    # The rest is spread over the run: no quarter of it is left out.
    rest = np.setdiff1d(kept, np.arange(0, 400, 10))
    assert (np.bincount(rest // 100, minlength=4) > 20).all()
    assert len(chosen.chosen_rows(rows, most_rows=50)) == 50


def test_a_structure_that_does_not_fit_makes_room_for_others():
    rows = table([row(0, n_atoms=500), row(1, n_atoms=3), row(2, n_atoms=3)])
    assert chosen.chosen_rows(rows, most_atoms=10).tolist() == [1, 2]


# --- geometries


def drawn(row_, atoms, start=None, **entry):
    return Drawn.make(row_, atoms, start, entry)


def test_geometries_come_back():
    first, crystal = g2["CH3CH2OH"].copy(), bulk("Si", cubic=True)
    start = first.copy()
    start.positions += np.random.default_rng(0).normal(0, 0.1, start.positions.shape)
    first.arrays["losiko_distance"] = np.linspace(0, 1, 9)
    crystal.arrays["losiko_expected_error"] = np.linspace(1, 2, 8)
    some = [
        drawn(0, first, start, nearest_structure=[3] * 8 + [-1], nearest_atom=list(range(9))),
        drawn(5, crystal),
    ]
    facts, text = geometries(some, References.unknown("gone"))
    found = arrays_of(facts["arrays"], text)
    assert facts["rows"] == [0, 5]
    assert facts["started"] == [1, 0]
    after = found["after"].reshape(-1, 3) * facts["unit"]
    np.testing.assert_allclose(after, np.vstack([first.positions, crystal.positions]), atol=6e-5)
    before = (found["before"].reshape(-1, 3) * facts["unit"]) + after[:9]
    np.testing.assert_allclose(before, start.positions, atol=2e-4)
    symbols = [facts["symbols"][number] for number in found["number"]]
    assert symbols == [*first.symbols, *crystal.symbols]
    np.testing.assert_allclose(found["distance"][:9], np.linspace(0, 1, 9), rtol=1e-3)
    assert np.isnan(found["error"][:9]).all()
    assert facts["references"] == ["structure 3"]
    assert found["nearest"].tolist() == [0] * 8 + [-1] * 9
    assert found["nearest_atom"][:8].tolist() == list(range(8))
    cell, periodic, before_cell = facts["cells"]["1"]
    np.testing.assert_allclose(np.reshape(cell, (3, 3)), crystal.cell.array)
    assert (periodic, before_cell) == ([1, 1, 1], None)


def test_what_cannot_be_drawn_is_left_out():
    lost = g2["H2O"].copy()
    lost.positions[0, 0] = np.nan
    assert drawn(0, lost) is None
    assert drawn(0, Atoms()) is None
    # A start of other atoms is none.
    assert drawn(0, g2["H2O"], g2["CH4"]).start is None
    assert drawn(0, g2["H2O"], lost).start is None


# --- starts


@pytest.fixture
def night(tmp_path, monkeypatch):
    """A run of three molecules, the second of which failed, and the file it was made of."""
    monkeypatch.chdir(tmp_path)
    names = ("H2O", "CH4", "C6H6")
    before = [small_database.rattled(name) for name in names]
    write("in.xyz", before, format="extxyz")
    rows = [
        failed(k, "it is bad", n_atoms=len(g2[name]))
        if k == 1
        else row(k, n_atoms=len(g2[name]), nearest_structure=[0] * len(g2[name]))
        for k, name in enumerate(names)
    ]
    configuration = small_run.RECORD["configuration"] | {"structures": digests(["in.xyz"])}
    return small_run.write(
        tmp_path / "night", rows, [g2[name] for name in names], configuration=configuration
    )


def test_starts_are_read_again(night, monkeypatch, tmp_path):
    found = starts_of(night, [0, 2])
    assert found.note == ""
    assert sorted(found.atoms) == [0, 2]
    expected = small_database.rattled("C6H6").positions
    np.testing.assert_allclose(found.atoms[2].positions, expected, atol=1e-7)
    # From another folder, the files beside the run are found.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert sorted(starts_of(night, [0]).atoms) == [0]


def test_inputs_that_are_gone_or_changed_are_no_starts(night, tmp_path):
    with open("in.xyz", "a") as file:
        file.write("\n")
    assert starts_of(night, [0]).atoms == {}
    assert "in.xyz) are no longer what the run was made with" in starts_of(night, [0]).note
    (tmp_path / "in.xyz").unlink()
    assert "in.xyz) are not there any more" in starts_of(night, [0]).note


def test_the_way_a_structure_went():
    molecule = g2["C6H6"].copy()
    turned = molecule.copy()
    turned.rotate(40, "x")
    turned.positions += 3
    assert moved(molecule, turned) == pytest.approx(0, abs=1e-9)
    turned.positions[0] += [0.3, 0, 0]
    assert 0.05 < moved(molecule, turned) < 0.3 / 12**0.5
    crystal = bulk("Si", cubic=True)
    strained = crystal.copy()
    strained.set_cell(crystal.cell * 1.1, scale_atoms=True)
    assert moved(strained, crystal) == pytest.approx(0, abs=1e-9)
    strained.positions[0] += 7 * strained.cell[0]
    assert moved(strained, crystal) == pytest.approx(0, abs=1e-9)
    assert moved(crystal, molecule) is None


def test_content_of_a_run(night):
    held = content(night, night.table(), References.unknown("gone"))
    found = json.loads(packing.unpacked(held.listing))
    assert held.notes == []
    assert found["formula"] == ["H2O"] * 3
    # What failed was written unmoved: it has no way behind it.
    assert [value is None for value in found["moved"]] == [False, True, False]
    assert found["geometries"]["started"] == [1, 0, 1]
    assert found["geometries"]["atoms"] == [3, 5, 12]
    arrays_of(found["geometries"]["arrays"], held.geometries)


def test_content_says_what_it_lacks(night):
    held = content(night, night.table(), References.unknown("gone"), most_atoms=12)
    assert "geometries of 2 of 3 structures" in held.notes[0]
    held = content(night, night.table(), References.unknown("gone"), most_rows=1)
    found = json.loads(packing.unpacked(held.listing))
    assert found["number"] == [1]
    assert "The list has 1 of 3 structures" in held.notes[0]


# --- settings


def test_settings_in_words():
    record = small_run.RECORD | {
        "configuration": {
            "structures": {"in.xyz": "0"},
            "losiko_torch": "0",
            "no_pbc": False,
            "reference_weights": None,
            "fmax": 0.02,
            "max_steps": None,
            "cell": True,
            "schedule": [],
            "terms": [{"name": "tether", "stiffness": 0.1, "to": None}],
        }
    }
    found = {each.name: each for each in settings_of(record)}
    assert [each.name for each in found.values() if not each.usual] == ["fmax", "cell", "terms"]
    assert list(found)[:3] == ["fmax", "cell", "terms"]
    assert found["terms"].value == "tether (stiffness 0.1)"
    assert found["cell"].value == "yes"
    assert found["max steps"].value == "200; 20,000 for nelder-mead"
    assert "structures" not in found
    assert all(each.meaning for each in found.values())
    said = in_short(record | {"seconds": 7500.0}, 1200)
    assert said.startswith(
        "1,200 structures of in.xyz, relaxed against the built-in database in 2 h 5"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (False, "no"),
        ([], "none"),
        (["nearest", 30], "nearest; 30"),
        ({"H": 0.5}, "H 0.5"),
    ],
)
def test_values_in_words(value, text):
    assert as_words(value) == text
