"""The page of a run's report, and the command that makes it."""

import gzip
import json
import re
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
from losiko_torch.report.content import content
from losiko_torch.report.names import references_of
from losiko_torch.report.packing import unpacked
from losiko_torch.report.summary import summarize
from losiko_torch.report.usage import usage

NASTY = "<b>in</b> & </script>'\".xyz@0"


# --- the page


class Page(HTMLParser):
    """Parser of a page: tags left open, links to elsewhere, the text, and the unpacked list."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text, self.data = [], [], "", ""
        self.feed(text)
        self.close()
        self.data = json.loads(unpacked(self.data))

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "link", "br", "input"):
            self.open.append((tag, dict(attributes).get("id")))
        self.links += [value for key, value in attributes if key in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == ("script", "listing"):
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
    held = content(run, rows, known)
    page.write_page(run, summarize(rows), usage(rows, known), held, path)
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
        "structure 0 (CH4)",
        "0.02",
        "1.5",  # structures a second
    ):
        assert words in found.text
    assert "not finished" not in found.text
    assert "numbers only" not in found.text
    assert found.data["formula"] == ["H2O", "C2H6O", "C6H6", "CH4", "H2", "H2O"]
    assert found.data["source"][0] == NASTY
    assert found.data["sentences"] == ["", f"{NASTY} is bad"]
    # The inputs of this run are not there.
    assert found.data["geometries"]["started"] == [0] * 6
    assert "in.xyz) are not there any more" in found.text or "does not tell" in found.text
    assert found.data["geometries"]["references"][1] == "structure 1 (H3N)"


def test_data_cannot_end_a_script(night):
    text = written(night)
    for name in ("listing", "geometries"):
        start = text.index(f'id="{name}">') + len(f'id="{name}">')
        assert re.fullmatch("[A-Za-z0-9+/=]+", text[start : text.index("</script>", start)])
    assert Page(text).data["source"][0] == NASTY


def test_page_of_a_run_that_is_not_finished(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(references, "builtin_database", lambda name: small_database.database())
    running = {"state": "running", "ended": None, "seconds": None}
    rows = [row(0, nearest_atom=[0, 1, 2], nearest_structure=[2, 2, 2])]
    text = written(small_run.write(tmp_path / "some", rows, [g2["H2O"]], **running), "some.html")
    assert "not finished" in Page(text).text
    assert Page(text).data["number"] == [0]
    nothing = small_run.write(tmp_path / "none", [], [], **running)
    found = Page(written(nothing, "none.html"))
    assert "No structure has a result yet" in found.text
    assert found.data["number"] == found.data["quantities"] == []


def test_ten_thousand_structures_fit_into_15_megabytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(references, "builtin_database", lambda name: small_database.database())
    sizes, rng = [], np.random.default_rng(0)
    for n in (20, 120):
        rows = [
            row(
                k,
                name=f"molecule {k}",
                n_atoms=20,
                formula="C9H8N2O",
                loss=rng.random(),
                largest_distance=rng.random(),
                expected_rmsd=rng.random(),
                nearest_structure=rng.integers(0, 3000, 20).tolist(),
                nearest_atom=rng.integers(0, 20, 20).tolist(),
            )
            for k in range(n)
        ]
        structures = [Atoms("C9N2OH8", rng.normal(0, 3, (20, 3))) for _ in rows]
        sizes.append(
            len(written(small_run.write(tmp_path / f"run{n}", rows, structures), "a.html"))
        )
        (tmp_path / "a.html").unlink()
    each = (sizes[1] - sizes[0]) / 100
    # With as much again for the structures before.
    assert sizes[0] + 10_000 * 2 * each < 15e6


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
    assert status == 0
    assert err.startswith("losiko: The run does not tell what its inputs were")
    assert "6 structures: 5 converged, 0 at the step limit, 1 failed; 4.0 s, 1.5" in out
    assert "the page is night/report.html" in out
    assert re.search(r"in.xyz@3 +CH4 +10 +1.00e-01 +1.00e-02 +1.00e-03 +4", out)
    for words in ("RMSD (Å)", "structure 0 (CH4)", f"{NASTY} is bad"):
        assert words in out
    assert len(Page((night.path / "report.html").read_text()).data["number"]) == 6
    # The page of an earlier report is replaced.
    assert losiko("night")[0] == 0
    assert losiko("night", "-o", "other.html")[0] == 0
    assert "exists already" in losiko("night", "-o", "other.html")[2]
    assert losiko("night", "-o", "other.html", "--force")[0] == 0


def test_command_for_a_run_that_is_not_finished(losiko, tmp_path):
    small_run.write(tmp_path / "half", [row(0)], [molecule("H2O")], state="running", database="no")
    status, out, _ = losiko("half")
    assert status == 0
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


def test_names_are_told(losiko, night, tmp_path):
    rows = [row(0, name="water", doubt="it is odd", reliable=False), failed(1, "bad", name="ice")]
    small_run.write(tmp_path / "named", rows, [g2["H2O"]] * 2, database="no")
    status, out, _ = losiko("named")
    assert status == 0
    assert "water, in.xyz@0" in out
    assert "ice, in.xyz@1: bad" in out
    found = Page((tmp_path / "named" / "report.html").read_text())
    assert found.data["name"] == ["water", "ice"]


# --- for chemiscope


@pytest.mark.parametrize("name", ["night.json", "night.json.gz"])
def test_for_chemiscope(losiko, night, tmp_path, name):
    status, out, err = losiko("night", "--chemiscope", name)
    assert status == 0
    assert f"for chemiscope: {name}" in out
    assert f"{name}: without 1 structure that failed" in err
    data = (tmp_path / name).read_bytes()
    found = json.loads(gzip.decompress(data) if name.endswith("gz") else data)
    sizes = [len(g2[each]) for each in NAMES]
    assert [each["size"] for each in found["structures"]] == sizes
    assert found["structures"][0]["names"] == list(g2["H2O"].symbols)
    assert found["structures"][0]["z"] == pytest.approx(g2["H2O"].positions[:, 2], abs=1e-5)
    assert "cell" not in found["structures"][0]
    assert len(found["environments"]) == sum(sizes)
    assert found["environments"][-1] == {"structure": 4, "center": 1, "cutoff": 4.0}
    for each in found["properties"].values():
        assert len(each["values"]) == {"structure": 5, "atom": sum(sizes)}[each["target"]]
    assert found["properties"]["RMSD"]["units"] == "Å"
    assert found["properties"]["RMSD"]["values"] == [0.1] * 5
    assert found["properties"]["distance"]["values"][2] == pytest.approx(1.0)
    assert found["properties"]["structure"]["values"][1] == "in.xyz@1"
    assert set(found["settings"]["map"]) == {"x", "y", "color"}
    assert {each["property"] for each in found["settings"]["map"].values()} <= set(
        found["properties"]
    )
    # It is never written over without being asked to.
    assert losiko("night", "--chemiscope", name)[0] == 2
    assert losiko("night", "--chemiscope", name, "--force")[0] == 0


def test_chemiscope_is_refused_before_anything_is_written(losiko, night):
    for name, reason in [("a.txt", "name it .json"), ("gone/a.json", "there is no folder")]:
        status, _, err = losiko("night", "--chemiscope", name)
        assert status == 2
        assert reason in err
        assert not (night.path / "report.html").exists()


def test_what_some_lack_is_left_out_of_chemiscope(losiko, tmp_path, night):
    rows = [row(0, rmsd=0.1), row(1)]
    small_run.write(tmp_path / "some", rows, [g2["H2O"]] * 2, database="no")
    status, _, err = losiko("some", "--chemiscope", "some.json")
    assert status == 0
    assert "without RMSD, which not all structures have" in err
    assert "RMSD" not in json.loads((tmp_path / "some.json").read_text())["properties"]


def test_help_teaches(losiko):
    status, out, _ = losiko("--help")
    assert status == 0
    assert "Example" in out
    assert "--chemiscope" in out
