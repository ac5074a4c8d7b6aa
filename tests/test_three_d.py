"""Structures for three dimensions: their data, notebooks, pages, and the command for files."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from small_database import rattled, water_database

from losiko_torch import Results, relax
from losiko_torch.cli import main
from losiko_torch.cli import view as command
from losiko_torch.shown import notebook, page
from losiko_torch.shown.three_d import as_json, item, programs, view


def positions(told):
    return np.array(told["xyz"]).reshape(-1, 3) / 1000


def data_of(html):
    """Items and options of the views in a piece of HTML."""
    plain = html.replace(programs(), "")
    return [
        json.loads(each)
        for each in re.findall(r'<script type="application/json">(.*?)</script>', plain, re.S)
    ]


def test_a_molecule_keeps_its_atoms():
    ethanol = molecule("CH3CH2OH")
    told = item(ethanol, "ethanol\n<b>", values=[("error", "Å", np.arange(9) / 7)])
    assert told["name"] == "ethanol <b>"
    assert told["symbols"] == "CCOHHHHHH"
    np.testing.assert_allclose(positions(told), ethanol.positions, atol=5e-4)
    assert "cell" not in told
    assert told["values"][0]["of"] == pytest.approx(np.arange(9) / 7, rel=1e-3)


@given(st.integers(0, 1000))
def test_the_first_look_is_a_rotation_that_shows_most(seed):
    atoms = rattled("C6H6", seed)
    seen = atoms.positions @ Rotation.from_quat(item(atoms, "")["turn"]).as_matrix().T
    wide, tall, deep = np.ptp(seen, axis=0)
    assert wide > deep
    assert tall > deep


@pytest.mark.parametrize("atoms", [Atoms("H"), Atoms("H2", [[0, 0, 0], [0, 0, 1]]), Atoms("H3")])
def test_few_or_coinciding_atoms_have_a_first_look(atoms):
    assert np.linalg.norm(item(atoms, "")["turn"]) == pytest.approx(1, abs=1e-3)


def test_atoms_of_crystals_lie_in_the_cell_and_starts_beside_them():
    salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    start = salt.copy()
    start.set_cell(salt.cell * 1.03, scale_atoms=True)
    start.rattle(0.05, seed=1)
    start.wrap()
    moved = salt.copy()
    moved.positions += [5.6, -11.2, 0]
    told = item(moved, "salt", start=start)
    inside = salt.cell.scaled_positions(positions(told))
    assert ((inside > -1e-2) & (inside < 1)).all()
    assert told["pbc"] == [1, 1, 1]
    assert told["start"]["cell"] == pytest.approx(start.cell.array.ravel(), abs=1e-4)
    assert np.linalg.norm(positions(told["start"]) - positions(told), axis=1).max() < 0.6


@pytest.mark.parametrize(
    ("atoms", "why"),
    [
        (Atoms(), "no atoms"),
        (Atoms("H", [[np.nan, 0, 0]]), "no numbers"),
        (Atoms("H", cell=[1, 1, 0], pbc=True), "cell is flat"),
        (Atoms("H5", np.eye(5, 3)), "5 atoms; at most 4"),
    ],
)
def test_what_cannot_be_drawn_has_a_sentence(atoms, why):
    told = item(atoms, "odd", most=4)
    assert why in told["why"]
    assert "xyz" not in told
    assert as_json(told)


def test_numbers_that_are_none_are_not_known():
    told = item(
        Atoms("H2", np.eye(2, 3)), "", values=[("a", "", [np.nan, 1]), ("b", "", [np.nan] * 2)]
    )
    assert [each["title"] for each in told["values"]] == ["a"]
    assert told["values"][0]["of"] == [None, 1]


@given(st.text())
def test_any_text_stays_in_its_script(text):
    html = view([item(molecule("H2"), text)], text)
    assert html.count("<script") == html.count("</script") == 1
    (data,) = data_of(html)
    assert data["options"]["label"] == data["items"][0]["name"]


def test_nothing_comes_from_a_network():
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", programs())
    assert programs().count("</script>") == programs().count("<script>")


# --- notebooks


@pytest.fixture
def kernel(monkeypatch):
    """The shell of a kernel, whose ``cell`` is running."""
    shell = SimpleNamespace(kernel=object(), cell="one", execution_count=1)
    shell.get_parent = lambda: {"metadata": {"cellId": shell.cell} if shell.cell else {}}
    monkeypatch.setattr(notebook, "_kernel", lambda: shell)
    monkeypatch.setitem(notebook._sent, "programs", False)
    return shell


def results():
    return relax([rattled("H2O"), rattled("H2O", 1)], water_database(), targets="nearest")


def test_a_notebook_has_the_programs_once(kernel):
    some = results()
    first, second = some._repr_html_(), some[0]._repr_html_()
    assert programs() in first
    assert programs() not in second
    assert len(second) < 5000
    kernel.cell, kernel.execution_count = "two", 2
    assert programs() not in some._repr_html_()
    kernel.cell, kernel.execution_count = "one", 3  # it runs again, and what it had shown is gone
    assert programs() in some._repr_html_()


def test_a_notebook_that_does_not_name_its_cells_has_them_once(kernel):
    kernel.cell = None
    some = results()
    assert [programs() in some._repr_html_() for _ in range(3)] == [True, False, False]


def test_outside_of_a_kernel_every_piece_stands_alone():
    some = results()
    for _ in range(2):
        assert programs() in some._repr_html_()


def test_show_displays_in_a_notebook(kernel, monkeypatch):
    shown = []
    # `losiko_torch.shown.items` and `many` hold the function by name.
    for module in ("items", "many"):
        monkeypatch.setattr(f"losiko_torch.shown.{module}.display", shown.append)
        monkeypatch.setattr(f"losiko_torch.shown.{module}.in_notebook", lambda: True)
    some = results()
    assert some.show() is None
    assert some[0].show() is None
    assert len(shown) == 2
    assert all("losiko-holder" in each for each in shown)


# --- pages


@pytest.fixture
def opened(monkeypatch):
    """Addresses that were opened in the browser."""
    found = []
    monkeypatch.setenv("BROWSER", "true")
    monkeypatch.setattr(page.webbrowser, "open", found.append)
    return found


def test_show_writes_a_page_and_opens_it(opened):
    some = results()
    for each, count in ((some, 2), (some[0], 1)):
        path = each.show()
        assert opened.pop() == path.as_uri()
        (data,) = data_of(path.read_text("utf-8"))
        assert len(data["items"]) == count
        assert all("start" in told for told in data["items"])


def test_without_a_desktop_a_page_is_only_written(opened, monkeypatch):
    for name in page.DESKTOP:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(page.sys, "platform", "linux")
    assert results()[0].show().is_file()
    assert opened == []


def test_a_list_of_other_things_has_no_page():
    with pytest.raises(ValueError, match="other things than Result"):
        Results([3]).show()


# --- losiko view


@pytest.fixture
def losiko(tmp_path, monkeypatch, capsys, opened):
    monkeypatch.chdir(tmp_path)
    before = [rattled(name, 0) for name in ("H2O", "CH4")]
    after = [molecule("H2O"), molecule("CH4")]
    after[1].info["losiko_reason"] = "failed: <why>"
    after[1].arrays["losiko_distance"] = np.arange(5.0)
    write("before.extxyz", before)
    write("after.extxyz", after)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["view", *arguments])
        return end.value.code, *capsys.readouterr()

    return run


def test_view_of_a_file(losiko, tmp_path, opened):
    status, out, err = losiko("after.extxyz", "-o", "page.html")
    assert (status, err) == (0, "")
    assert "the page is page.html" in out
    assert opened == [(tmp_path / "page.html").as_uri()]
    text = (tmp_path / "page.html").read_text("utf-8")
    (data,) = data_of(text)
    assert [each["symbols"] for each in data["items"]] == ["OHH", "CHHHH"]
    assert data["options"]["rows"] == [0, 1]
    assert data["items"][1]["values"][0]["of"] == [0, 1, 2, 3, 4]
    assert "failed: &lt;why&gt;" in text
    assert "<why>" not in text
    assert "start" not in data["items"][0]


def test_two_files_of_the_same_structures_are_before_and_after(losiko, tmp_path, opened):
    losiko("before.extxyz", "after.extxyz", "-o", "page.html", "--no-open")
    assert opened == []
    (data,) = data_of((tmp_path / "page.html").read_text("utf-8"))
    assert len(data["items"]) == 2
    np.testing.assert_allclose(positions(data["items"][0]), molecule("H2O").positions, atol=5e-4)
    np.testing.assert_allclose(
        positions(data["items"][0]["start"]), rattled("H2O", 0).positions, atol=6e-4
    )
    losiko("before.extxyz", "after.extxyz@0", "-o", "page.html", "--no-open", "-f")
    (data,) = data_of((tmp_path / "page.html").read_text("utf-8"))
    assert len(data["items"]) == 3
    assert all("start" not in each for each in data["items"])


def test_a_run_is_before_and_after(losiko, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    water_database().save("db.losiko")
    write("waters.extxyz", [rattled("H2O", seed) for seed in range(3)])
    arguments = ["waters.extxyz", "-d", "db.losiko", "--targets", "nearest", "--run", "night"]
    with pytest.raises(SystemExit):
        main(["relax", *arguments])
    capsys.readouterr()
    status, _, err = losiko("night", "-o", "page.html", "--no-open")
    assert (status, err) == (0, "")
    (data,) = data_of((tmp_path / "page.html").read_text("utf-8"))
    assert len(data["items"]) == 3
    for seed, each in enumerate(data["items"]):
        np.testing.assert_allclose(
            positions(each["start"]), rattled("H2O", seed).positions, atol=6e-4
        )


def test_of_many_structures_the_first_are_shown(losiko, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "MOST", 1)
    status, _, err = losiko("after.extxyz", "-o", "page.html", "--no-open")
    assert status == 0
    assert "the first 1 structures are shown: pick others by a slice, after.extxyz@1:" in err
    (data,) = data_of((tmp_path / "page.html").read_text("utf-8"))
    assert len(data["items"]) == 1


def test_too_many_atoms_have_a_sentence(losiko, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "ALL_ATOMS", 4)
    _, _, err = losiko("after.extxyz", "-o", "page.html", "--no-open")
    assert "1 structure cannot be drawn" in err
    (data,) = data_of((tmp_path / "page.html").read_text("utf-8"))
    assert "xyz" in data["items"][0]
    assert "show it alone" in data["items"][1]["why"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nothing.xyz",), "no such file"),
        (("after.extxyz", "-o", "after.extxyz"), "name it .html"),
        (("after.extxyz", "-o", "there.html"), "exists already"),
    ],
)
def test_refusals_write_nothing(losiko, tmp_path, arguments, reason):
    (tmp_path / "there.html").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    status, out, err = losiko(*arguments)
    assert (status, out) == (2, "")
    assert reason in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
