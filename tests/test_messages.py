"""Messages of the library are logged, commands show them, and -d means one thing."""

import ast
import logging
from pathlib import Path

import pytest
from small_database import database, rattled

import losiko_torch
from losiko_torch import relax
from losiko_torch.cli import main
from losiko_torch.cli.app import _logged
from losiko_torch.cli.faces import read_faces

PACKAGE = Path(losiko_torch.__file__).parent


def test_the_library_prints_nothing_itself():
    calls = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if PACKAGE / "cli" not in path.parents
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert calls == []


def test_whoever_asks_is_told_of_the_relaxation(caplog):
    few = {"targets": "nearest", "max_steps": 1}
    relax(rattled("H2O"), database(), **few)
    assert caplog.messages == []
    with caplog.at_level(logging.INFO, "losiko_torch"):
        relax([rattled("H2O"), rattled("CH4")], database(), batch_atoms=50, **few)
    assert caplog.messages == ["structures 0 to 1 are relaxed, in batches of 50 atoms"]


def test_commands_show_messages_and_clean_up(capsys, caplog):
    logger = logging.getLogger("losiko_torch")
    before = list(logger.handlers), logger.propagate
    with _logged():
        logging.getLogger("losiko_torch.somewhere").warning("this takes %d minutes", 3)
        logging.getLogger("losiko_torch.somewhere").info("nobody asked")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "losiko: this takes 3 minutes\n")
    assert caplog.messages == []
    assert (list(logger.handlers), logger.propagate) == before


def test_d_is_the_database_in_every_command():
    short = {
        name: option["names"]
        for name, face in read_faces().items()
        for option in face["parameters"]
        if "-d" in option["names"]
    }
    assert set(short) == {"relax", "score", "map", "info"}
    assert all("--database" in names for names in short.values())


def test_info_takes_a_database_either_way(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    database().save("db.losiko")

    def told(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["info", *arguments])
        return end.value.code, *capsys.readouterr()

    assert told("db.losiko") == told("-d", "db.losiko")
    status, out, err = told("db.losiko", "-d", "db.losiko")
    assert (status, out) == (2, "")
    assert "named twice" in err
