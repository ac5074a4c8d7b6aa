"""Files of an earlier version are read, or refused by a sentence that says what to do."""

import shutil
from pathlib import Path

import pytest
from small_database import database

from losiko_torch.cli import main
from losiko_torch.runs.folder import RunFolder

DATA = Path(__file__).parent / "data"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run of version 0.1.0: four structures, the last of which failed."""
    shutil.copytree(DATA / "run_0_1", tmp_path / "run")
    shutil.copy(DATA / "run_0_1_in.extxyz", tmp_path / "in.extxyz")
    monkeypatch.chdir(tmp_path)
    return RunFolder.open("run")


def losiko(*arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def test_a_run_of_before_is_read(run):
    table = run.table()
    assert table["reason"].to_pylist()[:3] == ["converged"] * 3
    assert table["reason"][3].as_py().startswith("failed: ")
    structures = run.atoms([0, 3])
    assert structures[0].get_chemical_formula() == "CH4O"
    assert structures[0].info["losiko_loss"] == pytest.approx(table["loss"][0].as_py())


def test_a_run_of_before_is_reported(run, capsys):
    assert losiko("report", "run") == 0
    out = capsys.readouterr().out
    assert "4 structures: 3 converged, 0 at the step limit, 1 failed" in out
    assert (run.path / "report.html").exists()


def test_a_run_of_before_is_not_gone_on_with(run, capsys):
    database().save("tiny.losiko")
    assert losiko("relax", "in.extxyz", "-d", "tiny.losiko", "--run", "run") == 2
    error = capsys.readouterr().err
    assert "was begun by losiko 0.1.0" in error
    assert "go on with that version, or choose another folder" in error
