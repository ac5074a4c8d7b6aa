"""The page of a run's report, and the command that makes it."""

import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import small_database
import small_run
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from small_run import failed, row

from losiko_torch.cli import main
from losiko_torch.report import names as references
from losiko_torch.report import page
from losiko_torch.report.names import references_of
from losiko_torch.report.summary import summarize
from losiko_torch.report.usage import usage

NASTY = "<b>in</b> & </script>'\".xyz@0"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


# --- the page


class Page(HTMLParser):
    """Parser of a page: tags left open, links to elsewhere, the text, and the data."""

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
    # The policy of the page lets a browser load nothing, whatever its scripts try.
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
    monkeypatch.setattr(references, "builtin_database", lambda name: small_database.database())
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
    monkeypatch.setattr(references, "builtin_database", lambda name: small_database.database())
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
    assert not [line for line in complaints if re.search("Error|Uncaught|violates", line)]
    # The page after its scripts have run, without the scripts.
    made = ended.stdout[: ended.stdout.index('<script type="application/json"')]
    assert made.count("barlayer") == 4
    gallery = made[made.index('id="gallery"') :]
    assert gallery.count("aria-pressed") == len(NAMES)
    assert gallery.count("<circle") == sum(len(g2[name]) for name in NAMES)
    assert "&lt;b&gt;in&lt;/b&gt; &amp; &lt;/script&gt;" in made[made.index('id="facts"') :]


# --- the command


@pytest.fixture
def losiko(night, monkeypatch, capsys):
    """Runs ``losiko report``."""

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
    assert re.search(r"in.xyz@3 +CH4 +10 +1.00e-01 +1.00e-02 +1.00e-03 +4", out)
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
        (("nowhere",), "not the folder of a run"),
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


@pytest.mark.parametrize("package", ["plotly", "matplotlib"])
def test_a_page_without_charts_is_a_page(losiko, night, monkeypatch, package):
    # Python takes None in the place of a module for a module that is not installed.
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    status, out, err = losiko("night")
    assert status == 0
    assert "6 structures: 5 converged" in out
    why = f"charts and structures need {package}: pip install 'losiko-torch[map]'"
    assert err == f"losiko: left out of the page: {why}\n"
    page = (night.path / "report.html").read_text()
    assert html.escape(why, quote=True).replace("&#x27;", "&#39;") in page
    assert "<script" not in page
    for text in ("Distributions", "References used most", "Failures by reason", "The run"):
        assert text in page
    assert "Worst and best structures" not in page


def test_help_teaches(losiko):
    status, out, _ = losiko("--help")
    assert status == 0
    assert "Example" in out
    assert "losiko-torch[map]" in out
