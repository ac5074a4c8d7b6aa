"""The report of a run: its numbers by hand, its page, and the command."""

import json
import re
import shutil
import subprocess
import sys
import types
from html.parser import HTMLParser

import numpy as np
import pytest
import small_database
import small_run
from ase import Atoms
from ase.build import bulk, molecule
from ase.collections import g2
from small_run import failed, row, table

from losiko_torch import InputError
from losiko_torch.cli import main
from losiko_torch.report import page, references, structures
from losiko_torch.report.failures import grouped
from losiko_torch.report.histograms import BINS, histograms
from losiko_torch.report.references import References, references_of
from losiko_torch.report.summary import as_number, summarize
from losiko_torch.report.usage import usage

NASTY = "<b>in</b> & </script>'\".xyz@0"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


# --- numbers


def test_fates_and_spreads():
    rows = [row(k, n_steps=k, loss=0.1 * k, rmsd=0.01 * k if k else None) for k in range(11)]
    rows[3] |= {"reason": "max_steps", "converged": False}
    rows += [failed(11, "it has no atoms", n_steps=1000, rmsd=9.0)]
    summary = summarize(table(rows))
    assert (summary.total, summary.converged, summary.max_steps, summary.failed) == (12, 10, 1, 1)
    assert list(summary.spreads) == ["n_steps", "start_loss", "loss", "largest_distance", "rmsd"]
    steps = summary.spreads["n_steps"]
    assert steps.count == 11
    assert (steps.smallest, steps.low, steps.median, steps.high, steps.largest) == (0, 1, 5, 9, 10)
    assert steps.mean == 5
    assert summary.spreads["loss"].median == pytest.approx(0.5)
    # Of those that have one; what failed does not count.
    assert summary.spreads["rmsd"].count == 10
    assert summary.spreads["rmsd"].largest == pytest.approx(0.1)


def test_a_loss_that_is_no_number_does_not_count():
    summary = summarize(table([row(0, start_loss=float("nan")), row(1), row(2)]))
    assert summary.spreads["start_loss"].count == 2
    assert summary.spreads["loss"].count == 3


def test_worst_and_best():
    distances = [0.3, 0.1, 0.5, 0.2, 0.5]
    rows = [row(k, largest_distance=d) for k, d in enumerate(distances)]
    rows.insert(1, failed(5, "it has no atoms"))
    summary = summarize(table(rows), worst=2, best=2)
    # Rows, not numbers; the first of equal ones is worse.
    assert summary.worst == [3, 5]
    assert summary.best == [2, 4]
    # A structure that is among the worst is not one of the best.
    few = summarize(table(rows), worst=4, best=3)
    assert few.worst == [3, 5, 0, 4]
    assert few.best == [2]
    assert summarize(table(rows), worst=9).best == []


def test_nothing_and_failures_only():
    for rows in ([], [failed(0, "it has no atoms")]):
        summary = summarize(table(rows))
        assert (summary.total, summary.failed) == (len(rows), len(rows))
        assert summary.spreads == {}
        assert summary.worst == summary.best == []
        assert histograms(table(rows)) == []
        assert usage(table(rows), References.unknown("gone")).atoms == 0


def test_failures_that_differ_in_numbers_are_one_group():
    reasons = [
        "it has no atoms",
        "atoms 0 and 1 lie within 0.01 A of each other",
        "the database has no environment of Si (it has H, C)",
        "atoms 12 and 1 lie within 0.01 A of each other",
        "the database has no environment of S (it has H, C)",
        "weight is -1e-05 for atom 3",
        "weight is 2 for atom 3",
        "atoms 7 and 1 lie within 0.01 A of each other",
    ]
    groups = grouped((f"in.xyz@{k}", reason) for k, reason in enumerate(reasons))
    assert [(each.reason, each.count) for each in groups] == [
        ("atoms … and 1 lie within 0.01 A of each other", 3),
        ("weight is … for atom 3", 2),
        ("it has no atoms", 1),
        ("the database has no environment of Si (it has H, C)", 1),
        ("the database has no environment of S (it has H, C)", 1),
    ]
    assert groups[0].sources == ["in.xyz@1", "in.xyz@3", "in.xyz@7"]
    (many,) = grouped((str(k), f"atom {k} is bad") for k in range(100))
    assert (many.count, len(many.sources)) == (100, 5)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (12.0, "12"), (0.012345, "0.0123"), (1234.5, "1,234"), (1.2e-5, "1.20e-05")],
)
def test_numbers_as_text(value, text):
    assert as_number(value) == text


# --- references


def ethanol_run():
    """Rows whose atoms are nearest to atoms of methanol and water of the small database."""
    methanol, water = (small_database.NAMES.index(name) for name in ("CH3OH", "H2O"))
    carbon = next(k for k, s in enumerate(g2["CH3OH"].symbols) if s == "C")
    oxygen = next(k for k, s in enumerate(g2["CH3OH"].symbols) if s == "O")
    rows = [
        row(0, nearest_structure=[methanol] * 3, nearest_atom=[carbon, carbon, oxygen]),
        failed(1, "it has no atoms"),
        row(2, nearest_structure=[water, methanol, -1], nearest_atom=[0, carbon, -1]),
    ]
    return table(rows), methanol, water


def test_usage():
    rows, methanol, water = ethanol_run()
    database = small_database.database()
    used = usage(rows, References.of(database))
    assert (used.atoms, used.structures, used.environments) == (5, 2, 3)
    assert used.available == (len(small_database.NAMES), len(database))
    first, second = used.most
    assert (first.structure, first.atoms, first.elements) == (methanol, 4, {"C": 3, "O": 1})
    assert (second.structure, second.atoms, second.elements) == (water, 1, {"O": 1})
    assert first.name == f"structure {methanol} (CH4O)"
    assert len(usage(rows, References.of(database), most=1).most) == 1
    assert used.line.startswith("5 atoms are nearest to 3 of ")


def test_every_environment_has_its_element():
    known = References.of(small_database.database())
    for number, name in enumerate(small_database.NAMES):
        places = np.arange(len(g2[name]))
        found = known.elements(np.full(len(places), number), places)
        assert (found == g2[name].numbers).all()
    assert known.elements(np.array([0, 999]), np.array([77, 0])).tolist() == [0, 0]
    assert known.environments(np.array([2, -1]), np.array([0, -1])) == [
        "O0 of structure 2 (H2O)",
        "none",
    ]


def test_database_of_a_run(tmp_path, monkeypatch):
    rows, methanol, _ = ethanol_run()
    path = tmp_path / "db.losiko"
    small_database.database().save(path)
    record = small_run.RECORD | {"database": str(path)}
    assert references_of(record, rows).name(methanol) == f"structure {methanol} (CH4O)"
    # Another database in its place would give wrong names.
    small_database.water_database().save(path, overwrite=True)
    other = references_of(record, rows)
    assert "no longer the database" in other.note
    assert other.name(methanol) == f"structure {methanol}"
    assert usage(rows, other).most[0].elements == {}
    assert usage(rows, other).available is None
    path.unlink()
    assert "db.losiko" in references_of(record, rows).note
    assert other.environments(np.array([3]), np.array([1])) == ["atom 1 of structure 3"]
    monkeypatch.setattr(references, "default_database", small_database.database)
    assert references_of(small_run.RECORD, rows).note == ""
    old = references_of(small_run.RECORD | {"version": "0.0.1"}, rows)
    assert "losiko 0.0.1" in old.note
    assert old.records is None


# --- histograms


def test_histograms_count_every_structure():
    rng = np.random.default_rng(0)
    rows = [
        row(
            k,
            n_steps=int(rng.integers(1, 200)),
            start_loss=float(10 ** rng.uniform(-2, 1)),
            loss=float(10 ** rng.uniform(-6, -2)) if k else 0.0,
            largest_distance=float(10 ** rng.uniform(-6, -2)),
            rmsd=float(rng.uniform(0, 1)) if k % 2 else None,
        )
        for k in range(300)
    ]
    made = {each.title: each for each in histograms(table([*rows, failed(300, "it is bad")]))}
    assert list(made) == ["Steps", "Loss", "Largest distance", "RMSD"]
    for title, each in made.items():
        assert (np.diff(each.edges) > 0).all()
        assert len(each.edges) - 1 <= BINS
        for counts in each.counts.values():
            assert len(counts) == len(each.edges) - 1
            assert sum(counts) == (150 if title == "RMSD" else 300)
    assert list(made["Loss"].counts) == ["before", "after"]
    # A loss of zero has no logarithm: it counts as the smallest that has one.
    assert made["Loss"].counts["after"][0] >= 2
    least = min(each["loss"] for each in rows[1:])
    assert made["Loss"].edges[0] == pytest.approx(np.log10(least))
    # Bins of steps hold whole numbers, as many each.
    assert {edge % 1 for edge in made["Steps"].edges} == {0.5}
    assert len(set(np.diff(made["Steps"].edges))) == 1


def test_values_that_are_all_the_same_make_one_bar():
    for each in histograms(table([row(k, rmsd=0.0) for k in range(5)])):
        for counts in each.counts.values():
            assert max(counts) == sum(counts) == 5
        assert (np.diff(each.edges) > 0).all()


# --- what is drawn


def entry(atoms, worst=0):
    n = len(atoms)
    atoms = atoms.copy()
    atoms.arrays["losiko_distance"] = np.linspace(1, 2, n)
    rows = row(0, n_atoms=n, worst_atom=worst, nearest_structure=[0] * n, nearest_atom=[0] * n)
    return structures.entry(atoms, rows, References.unknown("gone"))


def volumes(positions):
    """Signed volumes of all consecutive four atoms: mirror images differ in sign."""
    a, b, c, d = (positions[k : len(positions) - 3 + k] for k in range(4))
    return np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a)


@pytest.mark.parametrize("name", ["CH3CH2OH", "C6H6", "CO2", "CH4", "H2", "cyclobutane"])
def test_drawn_molecules_are_turned_but_not_mirrored(name):
    atoms = small_database.rattled(name)
    drawn = entry(atoms)
    positions = np.array(drawn["positions"])
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)
    np.testing.assert_allclose(apart, atoms.get_all_distances(), atol=3e-3)
    if len(atoms) > 3:
        np.testing.assert_allclose(volumes(positions), volumes(atoms.positions), atol=0.02)
    # They are seen from where they are widest, and thinnest in that direction.
    spread = positions.std(0)
    assert spread[0] > spread[1] - 1e-3 > spread[2] - 2e-3
    assert drawn["cell"] == []
    assert drawn["symbols"] == list(atoms.symbols)


def test_one_atom():
    assert entry(Atoms("H", [[5, 5, 5]]))["positions"] == [[0, 0, 0]]


def test_the_halves_of_a_bond_meet():
    drawn = entry(g2["CH3CH2OH"])
    ends = [np.array(drawn["positions"][k]) + half for k, *half in drawn["bonds"]]
    assert len(ends) == 2 * 8
    apart = np.linalg.norm(np.array(ends)[:, None] - np.array(ends), axis=2)
    assert ((apart < 3e-3).sum(1) == 2).all()


def test_crystals_have_their_cell_and_bonds_through_its_faces():
    silicon = bulk("Si", cubic=True)
    moved = silicon.copy()
    moved.positions += 3 * silicon.cell[0] - 2 * silicon.cell[2]
    for atoms in (silicon, moved):
        drawn = entry(atoms)
        assert len(drawn["bonds"]) == 4 * len(atoms)
        cell = np.array(drawn["cell"])
        np.testing.assert_allclose(
            cell @ cell.T, silicon.cell.array @ silicon.cell.array.T, atol=0.02
        )
        assert np.linalg.det(cell) > 0
        inside = (np.array(drawn["positions"]) - drawn["origin"]) @ np.linalg.inv(cell)
        assert inside.min() > -1e-3
        assert inside.max() < 1
    slab = silicon.copy()
    slab.pbc = [True, True, False]
    assert len(entry(slab)["cell"]) == 2


def test_of_many_atoms_those_around_the_worst_are_drawn(monkeypatch):
    monkeypatch.setattr(structures, "ATOMS", 50)
    monkeypatch.setattr(structures, "AROUND", 17)
    atoms = bulk("Si", cubic=True) * 2
    drawn = entry(atoms, worst=20)
    # An atom, its four neighbours and their other neighbours, through the cell's faces.
    assert len(drawn["symbols"]) == 17
    assert drawn["cell"] == []
    positions = np.array(drawn["positions"])
    middle = positions[drawn["indices"].index(20)]
    distances = np.sort(np.linalg.norm(positions - middle, axis=1))
    np.testing.assert_allclose(distances[1:5], 2.351, atol=2e-3)
    np.testing.assert_allclose(distances[5:], 3.84, atol=2e-3)
    np.testing.assert_allclose(
        drawn["distances"], np.linspace(1, 2, 64)[drawn["indices"]], atol=1e-3
    )


def test_the_ball_is_closed_and_round():
    made = structures.ball()
    points, triangles = np.array(made["points"]), np.array(made["triangles"])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-3)
    edges = {(a, b) for t in triangles for a, b in zip(t, np.roll(t, -1), strict=True)}
    # Every edge belongs to two triangles, which run along it in opposite directions.
    assert len(edges) == 3 * len(triangles)
    assert edges == {(b, a) for a, b in edges}
    assert len(points) - len(edges) / 2 + len(triangles) == 2
    a, b, c = (points[triangles[:, k]] for k in range(3))
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a) > 0).all()


# --- the page


class Page(HTMLParser):
    """Notes the tags left open, links to elsewhere, the text, and the data."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text, self.data = [], [], "", ""
        self.feed(text)
        self.close()
        self.data = json.loads(self.data)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "link", "br"):
            self.open.append((tag, dict(attributes).get("id")))
        self.links += [value for key, value in attributes if key in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == ("script", "data"):
            self.data += data
        elif self.open and self.open[-1][0] not in ("script", "style"):
            self.text += data


NAMES = ("H2O", "CH3CH2OH", "C6H6", "CH4", "H2")


def rows_of_molecules():
    rows = []
    for k, name in enumerate(NAMES):
        n = len(g2[name])
        nearest = {"nearest_structure": [k] * n, "nearest_atom": [0] * n}
        distance = {"largest_distance": 10.0**-k, "worst_atom": n - 1}
        formula = g2[name].get_chemical_formula()
        rows.append(row(k, n_atoms=n, formula=formula, rmsd=0.1, **nearest, **distance))
    rows[0]["source"] = NASTY
    rows.append(failed(len(NAMES), f"{NASTY} is bad", source=NASTY))
    return rows


@pytest.fixture
def night(tmp_path, monkeypatch):
    """A run's folder with five molecules and a failure, made with the small database."""
    small_database.database().save(tmp_path / "db.losiko")
    monkeypatch.chdir(tmp_path)
    frames = [g2[name] for name in NAMES] + [Atoms("H")]
    command = {"command": ["losiko", "relax", "a b.xyz"], "database": "db.losiko"}
    return small_run.write(tmp_path / "night", rows_of_molecules(), frames, **command)


def written(run, path="page.html"):
    rows = run.table()
    known = references_of(run.record, rows)
    page.write_page(run, rows, summarize(rows), usage(rows, known), known, path)
    with open(path, encoding="utf-8") as file:
        return file.read()


def test_page(night):
    text = written(night)
    found = Page(text)
    assert found.open == found.links == []
    # A browser that is told so loads nothing, whatever the program tries.
    assert re.search(r'Content-Security-Policy" content="default-src .none.;', text)
    assert page.is_page(night.path.parent / "page.html")
    for words in (
        "Run night",
        "losiko relax 'a b.xyz'",
        f"{NASTY} is bad",
        "structure 0 (CH4)",
        "0.02",
        "1.5",  # structures a second
    ):
        assert words in found.text
    assert "not finished" not in found.text
    assert "numbers only" not in found.text
    drawn = found.data["structures"]
    assert [each["formula"] for each in drawn] == ["H2O", "C2H6O", "C6H6", "CH4", "H2"]
    assert (found.data["worst"], drawn[0]["source"]) == (5, NASTY)
    assert drawn[1]["nearest"] == ["N0 of structure 1 (H3N)"] * 9
    assert drawn[1]["distances"][-1] == 0.1
    assert set(found.data["elements"]) == {"H", "C", "O"}
    assert found.data["scale"]["limits"] == [1e-3, 1.0]
    assert [each["title"] for each in found.data["histograms"]][-1] == "RMSD"


def test_data_cannot_end_the_script(night):
    text = written(night)
    start = text.index('id="data">')
    data = text[start : text.index("</script>", start)]
    assert "\\u003c/script\\u003e" in data
    assert json.loads(data.partition(">")[2])["structures"][0]["source"] == NASTY


def test_page_of_a_run_that_is_not_finished(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(references, "default_database", small_database.database)
    running = {"state": "running", "ended": None, "seconds": None}
    rows = [row(0, nearest_atom=[0, 1, 2], nearest_structure=[2, 2, 2])]
    text = written(small_run.write(tmp_path / "some", rows, [g2["H2O"]], **running), "some.html")
    assert "not finished" in Page(text).text
    assert len(Page(text).data["structures"]) == 1
    nothing = small_run.write(tmp_path / "none", [], [], **running)
    found = Page(written(nothing, "none.html"))
    assert "No structure has a result yet" in found.text
    assert found.data["structures"] == found.data["histograms"] == []


def test_page_does_not_grow_with_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(references, "default_database", small_database.database)
    sizes = []
    for n in (100, 2000):
        rng = np.random.default_rng(0)
        rows = [
            failed(k, f"atom {k} is bad")
            if k % 10 == 0
            else row(k, loss=rng.random(), largest_distance=rng.random(), rmsd=rng.random())
            for k in range(n)
        ]
        run = small_run.write(tmp_path / f"run{n}", rows, [g2["H2O"]] * n)
        sizes.append(len(written(run, f"{n}.html")))
    assert abs(sizes[1] - sizes[0]) < 2000
    assert sizes[1] < 8e6


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the page in")
def test_page_in_a_browser(night, tmp_path):
    written(night)
    # fmt: off
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-unsafe-swiftshader", f"--user-data-dir={tmp_path / 'profile'}",
        "--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom",
    ]
    # fmt: on
    ended = subprocess.run(
        [CHROMIUM, *options, (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    complaints = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
    assert not [line for line in complaints if re.search("Error|Uncaught|Refused", line)]
    # What the program made of the page, without the program.
    made = ended.stdout[: ended.stdout.index('<script type="application/json"')]
    assert made.count("barlayer") == 4
    gallery = made[made.index('id="gallery"') :]
    assert gallery.count("aria-pressed") == len(NAMES)
    assert gallery.count("<circle") == sum(len(g2[name]) for name in NAMES)
    assert "&lt;b&gt;in&lt;/b&gt; &amp; &lt;/script&gt;" in made[made.index('id="facts"') :]


# --- the command


@pytest.fixture
def losiko(night, monkeypatch, capsys):
    """Runs ``losiko report``; run folders are read by ``small_run``."""
    folder = types.ModuleType("losiko_torch.runs.folder")
    folder.RunFolder = small_run.RunFolder
    monkeypatch.setitem(sys.modules, "losiko_torch.runs", types.ModuleType("losiko_torch.runs"))
    monkeypatch.setitem(sys.modules, "losiko_torch.runs.folder", folder)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["report", *arguments])
        return end.value.code, *capsys.readouterr()

    return run


def test_command(losiko, night):
    status, out, err = losiko("night")
    assert (status, err) == (0, "")
    assert "6 structures: 5 converged, 0 at the step limit, 1 failed; 4.0 s, 1.5" in out
    assert "the page is night/report.html" in out
    for words in ("RMSD (Å)", "structure 0 (CH4)", f"{NASTY} is bad"):
        assert words in out
    assert Page((night.path / "report.html").read_text()).data["worst"] == 5
    # The page of an earlier report is replaced.
    assert losiko("night")[0] == 0
    assert losiko("night", "-o", "other.html")[0] == 0
    assert "exists already" in losiko("night", "-o", "other.html")[2]
    assert losiko("night", "-o", "other.html", "--force")[0] == 0


def test_command_for_a_run_that_is_not_finished(losiko, tmp_path):
    small_run.write(tmp_path / "half", [row(0)], [molecule("H2O")], state="running", database="no")
    status, out, err = losiko("half")
    assert (status, err) == (0, "")
    assert "not finished, 1 structure so far: 1 converged" in out
    assert "numbers only: no" in out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere",), "no folder of a run"),
        (("night",), "exists already"),
        (("night", "-o", "page.txt"), "name it .html"),
        (("night", "-o", "there.html"), "exists already"),
        (("night", "-o", "gone/page.html"), "there is no folder"),
        (("night", "-o", "link.html", "--force"), "no input is ever overwritten"),
        (("night", "-o", "database.html", "--force"), "no input is ever overwritten"),
        ((), "DIR"),
    ],
)
def test_refusals_write_nothing(losiko, tmp_path, arguments, reason):
    for name in ("there.html", "night/report.html"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "link.html").symlink_to("night/results.parquet")
    (tmp_path / "database.html").symlink_to("db.losiko")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    status, out, err = losiko(*arguments)
    assert (status, out) == (2, "")
    assert reason in err
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_without_plotly_the_numbers_are_printed(losiko, night, monkeypatch):
    # None in the place of a module is what Python takes for one that is not there.
    for name in [name for name in sys.modules if name.startswith("plotly.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    status, out, err = losiko("night")
    assert status == 2
    assert "6 structures: 5 converged" in out
    assert "pip install 'losiko-torch[map]'" in err
    assert not (night.path / "report.html").exists()
    with pytest.raises(InputError, match="needs plotly"):
        written(night)
