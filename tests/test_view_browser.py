"""Structures in three dimensions and maps, in a headless browser: turned, picked, coloured."""

import os
from pathlib import Path

import numpy as np
import pytest
import small_database
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.spacegroup import crystal
from browser import AXE, CHROMIUM, browser

from losiko_torch.report.environment_map import environment_map
from losiko_torch.report.map_page import write_html
from losiko_torch.shown.page import page
from losiko_torch.shown.table import listing
from losiko_torch.shown.three_d import item, opening, programs, view

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the page in")

READY = "document.querySelector('.losiko-holder').losiko"
NO_WEBGL = """
const other = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : other.call(this, kind, ...rest);
};
OffscreenCanvas.prototype.getContext = () => null;
"""


@pytest.fixture(scope="module")
def tab():
    with browser() as tab:
        yield tab


@pytest.fixture(autouse=True)
def fresh(tab):
    tab.complaints.clear()
    tab.requests.clear()
    tab.size(1440, 900)


def ethanol():
    atoms, start = molecule("CH3CH2OH"), molecule("CH3CH2OH")
    start.rattle(0.2, seed=1)
    errors = [("expected error", "Å", np.linspace(0, 0.2, len(atoms)))]
    return item(atoms, "ethanol </script>", start=start, values=errors)


def written(path, items):
    table = listing("some", ("", "name"), [(str(k), each["name"]) for k, each in enumerate(items)])
    path.write_text(page("A <page>", table, items, rows=list(range(len(items)))), "utf-8")
    return path


def handle(tab, script):
    return tab.run(f"{READY}.{script}")


def assert_quiet(tab):
    """Assert that no script failed and that nothing was asked for but the page itself."""
    assert list(tab.complaints) == []
    assert all(each.startswith(("file:", "data:", "blob:")) for each in tab.requests)


def test_a_page_is_turned_picked_and_leafed_through(tab, tmp_path):
    items = [ethanol(), item(molecule("H2O"), "water"), item(Atoms(), "nothing")]
    tab.open(written(tmp_path / "page.html", items), READY)
    assert "ethanol </script> (1 of 3)" in tab.run("document.querySelector('[role=img]').ariaLabel")
    # Both are drawn: the start first, thin.
    assert handle(tab, "viewer().selectedAtoms({}).length") == 18
    tab.run("document.querySelector('.losiko-stage').focus()")
    before = handle(tab, "viewer().getView()")
    tab.press("ArrowLeft")
    assert not np.allclose(handle(tab, "viewer().getView()"), before)
    tab.press("Home")
    np.testing.assert_allclose(handle(tab, "viewer().getView()"), before, atol=1e-6)
    tab.press("n")
    tab.press("n")
    assert handle(tab, "state().atom") == 1
    assert "C1, expected error 0.025 Å" in tab.run(
        "document.querySelector('.losiko-told').textContent"
    )
    tab.run("document.querySelectorAll('tbody tr')[1].click()")
    assert handle(tab, "state().place") == 1
    assert tab.run("document.querySelector('tr[aria-current=true]').textContent") == "1water"
    assert handle(tab, "viewer().selectedAtoms({}).length") == 3
    tab.run("document.querySelector('[aria-label=\"Next structure\"]').click()")
    assert "It has no atoms." in tab.run("document.querySelector('.losiko-stage').textContent")
    handle(tab, "show(0)")
    assert "no atoms" not in tab.run("document.querySelector('.losiko-stage').textContent")
    assert_quiet(tab)


def test_colours_of_elements_and_of_values(tab, tmp_path):
    tab.open(written(tmp_path / "page.html", [ethanol()]), READY)
    colours = "viewer().getModel(-1).selectedAtoms({}).map((each) => each.color)"
    by_element = handle(tab, colours)
    assert by_element[0] == by_element[1] == "#909090"
    assert by_element[2] == "#ff0d0d"
    chosen = "document.querySelector('[aria-label=\"Colour of the atoms\"]')"
    tab.run(f"{chosen}.value = 1; {chosen}.dispatchEvent(new Event('change'))")
    by_value = handle(tab, colours)
    assert len(set(by_value)) == 9
    assert by_value[0] == "#4e86c4"
    assert by_value[-1] == "#c83e34"
    assert "expected error: 0 Å" in tab.run("document.querySelector('.losiko-legend').textContent")


@pytest.mark.parametrize(
    "atoms",
    [
        molecule("C6H6"),
        crystal(
            ["Si", "O"],
            basis=[(0.4697, 0, 0), (0.4135, 0.2669, 0.1191)],
            spacegroup=152,
            cellpar=[4.916, 4.916, 5.4054, 90, 90, 120],
        ),
        bulk("Si"),
        bulk("NaCl", "rocksalt", a=5.6),
        Atoms("C2", [[0, 0, 0], [1.2, 0, 0]], cell=[2.6, 9, 9], pbc=[True, False, False]),
    ],
    ids=["benzene", "quartz", "silicon", "salt", "wire"],
)
def test_bonds_are_those_of_the_covalent_radii(tab, tmp_path, atoms):
    """Each atom has as many as its neighbours within 1.2 times the radii, images among them."""
    tab.open(written(tmp_path / "page.html", [item(atoms, "one")]), READY)
    drawn = handle(
        tab, "viewer().getModel(-1).selectedAtoms({resn: 'atom'}).map((a) => a.bonds.length)"
    )
    first = neighbor_list("i", atoms, natural_cutoffs(atoms, mult=1.2))
    assert drawn == np.bincount(first, minlength=len(atoms)).tolist()
    # No stick is longer than a bond: none leads across the cell.
    lengths = handle(
        tab,
        "viewer().getModel(-1).selectedAtoms({}).flatMap((a, _, all) => a.bonds.map((b) => "
        "Math.hypot(a.x - all[b].x, a.y - all[b].y, a.z - all[b].z)))",
    )
    assert max(lengths) < 3.4


def test_without_webgl_there_is_a_sentence(tab, tmp_path):
    script = tab.call("Page.addScriptToEvaluateOnNewDocument", source=NO_WEBGL)["identifier"]
    try:
        path = written(tmp_path / "page.html", [ethanol(), item(molecule("H2O"), "water")])
        tab.open(path, READY)
        assert "this browser has no WebGL" in tab.run("document.body.textContent")
        handle(tab, "show(1)")
        assert "water" in tab.run("document.querySelector('.losiko-told').textContent")
        assert_quiet(tab)
    finally:
        tab.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)


def test_a_notebook_as_html(tab, tmp_path):
    """Two cells, of which the first brings the programs, beside a loader of modules."""
    refuse = "(...all) => { throw new Error('a module'); }"
    loader = f"<script>window.define = {refuse}; define.amd = {{}};</script>"
    cells = [f"<div>{view([ethanol()], 'one')}{opening()}</div>" for _ in range(2)]
    path = tmp_path / "notebook.html"
    head = '<!DOCTYPE html><meta charset="utf-8"><title>cells</title>'
    path.write_text(head + loader + programs() + "<hr>".join(cells), "utf-8")
    tab.open(path, READY)
    assert tab.run("[...document.querySelectorAll('.losiko-holder')].every((each) => each.losiko)")
    assert tab.run("document.querySelectorAll('.losiko-stage').length") == 2
    assert_quiet(tab)


def test_a_notebook_without_scripts_tells_why(tab, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><title>cells</title>{view([ethanol()], 'one')}", "utf-8")
    tab.open(path)
    assert "needs the scripts of this page" in tab.run("document.body.textContent")


@pytest.fixture(scope="module")
def map_file(tmp_path_factory):
    structures = [small_database.rattled(name) for name in ("CH3CH2OH", "C4H4O")]
    structures[0].info["name"] = "<b>ethanol</b>"
    drawn = environment_map(structures, small_database.database(), dtype="float64")
    path = tmp_path_factory.mktemp("map") / "map.html"
    write_html(drawn, path)
    return path


def test_points_and_atoms_of_the_map_pick_each_other(tab, map_file):
    tab.open(map_file, "view && view.state && view.state().items === 2")
    carbon = "data.elements[1]"
    point = f"{carbon}.atoms.structure.findIndex((s, k) => s === 1 && {carbon}.atoms.atom[k] === 2)"
    number = tab.run(point)
    symbol = molecule("C4H4O").symbols[2]
    assert symbol == "C"
    tab.run(f"pickPoint({{ panel: 1, kind: 'structures', k: {number} }})")
    assert tab.run("view.state()") == {"place": 1, "atom": 2, "items": 2}
    assert "C2 of structure 1 (C4H4O): |p − z| = " in tab.run(
        "document.getElementById('picked').textContent"
    )
    ring = tab.run("[place.data[5].x, place.data[5].y]")
    at = tab.run(f"[[{carbon}.atoms.x[{number}]], [{carbon}.atoms.y[{number}]]]")
    assert ring == at
    # Back: the atom that the keyboard reaches next has its point marked.
    tab.run("document.querySelector('.losiko-stage').focus()")
    tab.press("p")
    assert tab.run("view.state().atom") == 1
    found = tab.run("[picked.panel, data.elements[picked.panel].atoms.atom[picked.k]]")
    assert found[1] == 1
    # A reference comes into the view, too.
    tab.run("pickPoint({ panel: 0, kind: 'references', k: 3 })")
    atom, structure = tab.run(
        "[data.elements[0].references.atom[3], data.elements[0].references.structure[3]]"
    )
    assert tab.run("[numbers[view.state().place], view.state().atom]") == [structure, atom]
    assert tab.run("document.getElementById('picked').textContent").startswith("Reference H")
    assert_quiet(tab)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("kind", ["page", "map"])
def test_pages_fit_and_are_accessible(tab, tmp_path, map_file, kind, width, dark):
    tab.size(width, 844, dark)
    if kind == "map":
        tab.open(map_file, "view && view.state && document.querySelector('#map .main-svg')")
    else:
        items = [
            ethanol(),
            *(item(molecule("H2O"), f"a_long_name_of_water_{k}") for k in range(19)),
        ]
        tab.open(written(tmp_path / "page.html", items), READY)
    assert tab.run("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("LOSIKO_PICTURES"):
        tab.picture(Path(folder) / f"{kind}_{width}_{'dark' if dark else 'light'}.png")
    if AXE.exists():
        tab.run(AXE.read_text("utf-8") + "; true")
        found = tab.run(
            "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa'] }).then((all) => "
            "all.violations.map((each) => each.id + ' ' + each.nodes[0].html.slice(0, 200)))"
        )
        assert found == []
    assert_quiet(tab)
