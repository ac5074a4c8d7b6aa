"""The page of a report in a headless browser: search, sort, filter, pick, tick, download."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import small_database
import small_run
from ase import Atoms
from ase.collections import g2
from ase.io import read, write
from browser import AXE, CHROMIUM, NO_AXE, browser
from small_run import failed, row

from losiko_torch.report import page
from losiko_torch.report.content import content
from losiko_torch.report.names import References
from losiko_torch.report.summary import summarize
from losiko_torch.report.usage import usage
from losiko_torch.runs.identity import digests

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the page in")

READY = "document.documentElement.dataset.ready === 'yes'"
NASTY = "<b>in</b> & </script>'\".xyz@0"
MOLECULES = ("CH3CH2OH", "C6H6", "CH4", "H2O", "NH3", "CH3OH")


def page_of(run, path):
    rows, known = run.table(), References.unknown("the database is not there")
    page.write_page(run, summarize(rows), usage(rows, known), content(run, rows, known), path)
    return path


def rows_and_structures(n):
    """Rows of n molecules: two failed, three in doubt, and number 123 is the worst."""
    rng = np.random.default_rng(0)
    rows, after = [], []
    for k in range(n):
        atoms = g2[MOLECULES[k % len(MOLECULES)]]
        size = len(atoms)
        facts = {
            "n_atoms": size,
            "formula": atoms.get_chemical_formula(),
            "name": f"molecule {k}" if k % 2 else None,
            "loss": float(10 ** rng.uniform(-4, -1)),
            "start_loss": 0.5,
            "largest_distance": float(10 ** rng.uniform(-5, -2)),
            "expected_rmsd": float(rng.uniform(0.02, 0.1)),
            "n_steps": int(rng.integers(5, 60)),
            "worst_atom": size - 1,
            "nearest_structure": [k % 3] * size,
            "nearest_atom": [0] * size,
            "reliable": True,
            "doubt": "",
        }
        if k in (7, 20, 123):
            facts |= {"reliable": False, "doubt": f"atom {k % 3} ({atoms.symbols[0]}) stands alone"}
        rows.append(row(k, **facts))
        after.append(atoms)
    rows[123]["expected_rmsd"] = 0.7
    rows[0]["source"] = NASTY
    for k in (3, 50):
        rows[k] = failed(k, "atoms 0 and 1 collide", n_atoms=len(after[k]), formula="x")
    return rows, after


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A tab with the page of a run of 1,000 molecules, and the folder for what it downloads."""
    folder = tmp_path_factory.mktemp("browser")
    before_there = Path.cwd()
    os.chdir(folder)
    rows, after = rows_and_structures(1000)
    write("in.xyz", [small_database.rattled(MOLECULES[k % 6]) for k in range(1000)])
    configuration = small_run.RECORD["configuration"] | {"structures": digests(["in.xyz"])}
    run = small_run.write(folder / "night", rows, after, configuration=configuration)
    made = page_of(run, folder / "page.html")
    os.chdir(before_there)
    (folder / "downloads").mkdir()
    with browser(folder / "downloads") as tab:
        tab.size(1440, 900)
        tab.page = made
        tab.open(made, READY)
        tab.wait("picture !== null")
        yield tab, folder / "downloads"


@pytest.fixture
def tab(opened):
    """The page as it is when it has just been opened, at 1440 pixels; it must not complain."""
    tab, _ = opened
    tab.size(1440, 900)
    tab.run("ticked.clear(), clearFilters(), sortBy('state', false), choose(view[0])")
    yield tab
    assert list(tab.complaints) == []


def shown(tab):
    return tab.run("document.getElementById('count').textContent")


def first_names(tab, n=3):
    script = "[...document.querySelectorAll('#list tbody tr[data-row]')].map((r) => +r.dataset.row)"
    return tab.run(script)[:n]


def title(tab):
    return tab.run("document.querySelector('#detail h3').textContent")


def test_nothing_is_asked_for_from_elsewhere(tab):
    assert list(tab.requests) == [tab.page.resolve().as_uri()]
    assert tab.run("document.querySelectorAll('#picture canvas').length") >= 1


def test_the_most_urgent_comes_first(tab):
    assert shown(tab) == "1,000 structures"
    assert first_names(tab, 5) == [3, 50, 7, 20, 123]
    assert title(tab) == "in.xyz@3"
    said = tab.run("document.querySelector('#detail .sentence').textContent")
    assert said == "Atoms 0 and 1 collide."


def test_the_worst_of_a_thousand_is_found_by_two_clicks(tab):
    tab.click("#list thead th[data-key='expected_rmsd'] button")
    assert first_names(tab, 1) == [123]
    tab.click("#list tbody tr[data-row]")
    assert title(tab) == "molecule 123"
    assert "stands alone" in tab.run("document.querySelector('#detail .sentence').textContent")


def test_a_click_more_sorts_the_other_way(tab):
    for down in (True, False):
        tab.click("#list thead th[data-key='n_steps'] button")
        script = """[...document.querySelectorAll('#list tbody tr[data-row] td[data-key=n_steps]')]
            .map((cell) => +cell.textContent || -1)"""
        steps = tab.run(script)
        assert steps == sorted(steps, reverse=down)
        sort = tab.run("document.querySelector('th[data-key=n_steps]').getAttribute('aria-sort')")
        assert sort == ("descending" if down else "ascending")
    # What failed has no steps, and comes last either way.
    assert 3 not in first_names(tab, 20)


def test_only_rows_in_sight_are_made(tab):
    count = "document.querySelectorAll('#list tbody tr[data-row]').length"
    assert tab.run(count) < 60
    tab.run("document.getElementById('scroll').scrollTop = 1e9")
    tab.wait("document.getElementById('row-999')")
    assert tab.run(count) < 60
    assert tab.run("document.getElementById('list').getAttribute('aria-rowcount')") == "1001"


def test_search(tab):
    tab.click("#search")
    tab.type("MOLECULE 99")
    expected = [k for k in range(1, 1000, 2) if "99" in str(k)]
    assert shown(tab) == f"{len(expected)} of 1,000 structures"
    assert sorted(tab.run("Array.from(view)")) == expected
    tab.click("#clear")
    assert shown(tab) == "1,000 structures"
    assert tab.run("document.getElementById('search').value") == ""
    tab.click("#search")
    tab.type("alone h2o")
    assert first_names(tab) == [123]
    tab.click("#clear")
    # Text is text, whatever it looks like.
    tab.click("#search")
    tab.type("</script>")
    assert first_names(tab, 2) == [0]
    tab.click("#list tbody tr[data-row]")
    assert title(tab) == NASTY


def test_states_and_their_sentences(tab):
    tab.click("#states button[data-state='1']")
    assert shown(tab) == "3 of 1,000 structures"
    assert sorted(first_names(tab)) == [7, 20, 123]
    kinds = "[...document.querySelectorAll('#kinds button')].map((each) => each.textContent)"
    assert tab.run(kinds) == ["3atom … stands alone"]
    tab.click("#states button[data-state='0']")
    assert shown(tab) == "5 of 1,000 structures"
    assert tab.run(kinds) == ["3atom … stands alone", "2atoms … and … collide"]
    tab.click("#kinds button:last-child")
    assert first_names(tab, 9) == [3, 50]


def test_a_range_of_a_histogram_filters(tab):
    left, top, width, height = tab.place(".histogram[data-key='expected_rmsd'] svg")
    middle = top + height / 2
    tab.drag((left + width * 0.5, middle), (left + width * 0.7, middle), (left + width - 2, middle))
    assert first_names(tab) == [123]
    assert shown(tab) == "1 of 1,000 structures"
    # The other end: a click on one bar.
    tab.drag((left + 2, middle))
    few = int(shown(tab).split(" ")[0].replace(",", ""))
    assert 1 < few < 998
    tab.click("#clear")
    tab.click(".histogram[data-key='n_steps'] input")
    tab.type("59")
    tab.press("Enter")
    tab.run("document.activeElement.blur()")
    steps = tab.run("Array.from(view, (row) => data.n_steps[row])")
    assert steps
    assert set(steps) == {59}


def test_the_keyboard_goes_through_the_list(tab):
    tab.run("document.getElementById('list').focus()")
    tab.press("ArrowDown")
    tab.press("ArrowDown")
    assert title(tab) == "molecule 7"
    active = "document.getElementById('list').getAttribute('aria-activedescendant')"
    assert tab.run(active) == "row-7"
    tab.press(" ")
    assert shown(tab) == "1,000 structures, 1 ticked"
    tab.press("End")
    assert title(tab) == "molecule 999"
    tab.press("Home")
    assert title(tab) == "in.xyz@3"


def test_before_and_after(tab):
    tab.click("#search")
    tab.type("molecule 1")
    tab.click("#list tbody tr[data-row='1']")
    item = "itemOf(structureOf(chosen))"
    assert tab.run(f"{item}.symbols") == "".join(g2["C6H6"].symbols)
    after = np.array(tab.run(f"{item}.xyz")).reshape(-1, 3) / 1000
    before = np.array(tab.run(f"{item}.start.xyz")).reshape(-1, 3) / 1000
    np.testing.assert_allclose(after, g2["C6H6"].positions, atol=1e-3)
    np.testing.assert_allclose(before, small_database.rattled("C6H6").positions, atol=1e-3)
    # The quaternion turns the molecule flat, and does not mirror it.
    turn = tab.run(f"{item}.turn")
    assert np.linalg.norm(turn) == pytest.approx(1, abs=1e-6)
    assert tab.run("document.querySelectorAll('.atoms tbody tr').length") == 12
    tab.click(".atoms tbody tr:last-child button")
    assert tab.run("document.querySelectorAll('.atoms tr.picked').length") == 1


def test_turns_lay_molecules_flat(tab):
    for name in ("C6H6", "CH3CH2OH", "H2O", "CO2"):
        points = g2[name].positions
        x, y, z, w = tab.run(f"turnOf({points.tolist()})")
        matrix = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-4)
        spread = (points @ matrix.T).std(0)
        assert spread[0] > spread[1] - 1e-3
        assert spread[1] > spread[2] - 1e-3


def downloaded(folder, button, tab):
    for old in folder.iterdir():
        old.unlink()
    tab.click(button)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := [each for each in folder.iterdir() if each.suffix == ".extxyz"]:
            return read(found[0], ":", format="extxyz")
        time.sleep(0.05)
    raise TimeoutError("nothing was downloaded")


def test_what_is_shown_or_ticked_is_downloaded(tab, opened):
    folder = opened[1]
    tab.click("#states button[data-state='1']")
    found = downloaded(folder, "#download", tab)
    assert [atoms.info["losiko_source"] for atoms in found] == [
        "in.xyz@7",
        "in.xyz@20",
        "in.xyz@123",
    ]
    last = found[-1]
    assert (
        last.symbols.get_chemical_formula() == g2[MOLECULES[123 % 6]].symbols.get_chemical_formula()
    )
    np.testing.assert_allclose(last.positions, g2[MOLECULES[123 % 6]].positions, atol=6e-5)
    assert last.info["name"] == "molecule 123"
    assert last.info["losiko_doubt"].endswith("stands alone")
    assert not last.info["losiko_reliable"]
    assert last.info["losiko_expected_rmsd"] == pytest.approx(0.7)
    assert last.arrays["losiko_distance"].shape == (len(last),)
    assert not last.pbc.any()
    tab.click("#clear")
    tab.click("#search")
    tab.type("</script>")
    tab.click("#list tbody tr[data-row='0'] .c-tick")
    tab.click("#clear")
    (only,) = downloaded(folder, "#download", tab)
    assert only.info["losiko_source"] == NASTY
    assert "1 structure written" in tab.run("document.getElementById('said').textContent")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_widths_and_colours(tab, width, dark):
    tab.size(width, 844, dark)
    assert tab.run("document.documentElement.scrollWidth") <= width
    # A page is told of a changed scheme some frames later.
    white = "(getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)')"
    tab.wait(f"{white} === {str(not dark).lower()}")
    tab.run("document.getElementById('theme').click()")
    assert tab.run(white) is dark
    tab.run("document.getElementById('theme').click()")
    # Columns of numbers give way on a phone; the sorted one stays.
    tab.run("document.querySelector('#sort').value = 'n_steps'")
    tab.run("document.querySelector('#sort').dispatchEvent(new Event('change'))")
    cells = """[...document.querySelectorAll('#list thead th')]
        .filter((cell) => cell.offsetWidth).map((cell) => cell.dataset.key)"""
    visible = tab.run(cells)
    assert "n_steps" in visible
    assert (len(visible) == 3) is (width == 390)


@pytest.mark.skipif(not AXE.exists(), reason=NO_AXE)
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_everyone_can_use_it(tab, width, dark):
    tab.size(width, 844, dark)
    tab.run("document.querySelector('#states button').click()")
    tab.run("document.getElementById('distributions').open = true")
    tab.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    if not tab.run("Boolean(window.axe)"):
        tab.run(AXE.read_text())
    rules = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
    violations = tab.run(f"""axe.run(document, {{ runOnly: {rules} }}).then((found) =>
        found.violations.map((each) => [each.id, ...each.nodes.slice(0, 3).map((n) => n.html)]))""")
    assert violations == []


def test_printed_rows_are_all_in_a_row(tab):
    tab.run("dispatchEvent(new Event('beforeprint'))")
    assert tab.run("document.querySelectorAll('#list tbody tr[data-row]').length") == 200
    assert tab.run("document.querySelectorAll('#picture > img').length") == 1
    tab.run("dispatchEvent(new Event('afterprint'))")
    assert tab.run("document.querySelectorAll('#list tbody tr[data-row]').length") < 60
    assert tab.run("document.querySelectorAll('#picture > img').length") == 0


# Last, as it opens other pages.
def test_a_run_with_nothing_yet_and_with_failures_alone(opened, tmp_path):
    tab, _ = opened
    rows = [failed(0, "it has no atoms", n_atoms=0, formula="(no atoms)")]
    nothing = small_run.write(tmp_path / "nothing", [], [], state="running", seconds=None)
    failures = small_run.write(tmp_path / "failures", rows, [Atoms()])
    tab.complaints.clear()
    tab.open(page_of(nothing, tmp_path / "nothing.html"))
    assert "No structure has a result yet" in tab.run("document.body.textContent")
    tab.open(page_of(failures, tmp_path / "failures.html"), READY)
    assert shown(tab) == "1 structure"
    assert "not on this page" in tab.run("document.getElementById('detail').textContent")
    assert list(tab.complaints) == []
