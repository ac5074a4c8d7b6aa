"""How-to pages of ways in and out: their Python runs, and their commands are such."""

import re
import shlex
from pathlib import Path

import ase.io
import pytest
from small_database import rattled

from losiko_torch.cli import main

PAGES = Path(__file__).parent.parent / "docs" / "how_to"
NAMES = ("trajectories", "smiles", "config")


def blocks(name, kind):
    text = (PAGES / f"{name}.md").read_text()
    return re.findall(rf"```{kind}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", [name for name in NAMES if blocks(name, "python")])
def test_the_python_of_a_page_runs(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib" if name == "trajectories" else "rdkit")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    page = {"__name__": "document"}
    for block in blocks(name, "python"):
        exec(compile(block, f"a block of {name}.md", "exec"), page)
    printed = capsys.readouterr().out
    for told in blocks(name, "text"):
        assert told.strip() in printed


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_a_page_run(name, tmp_path, monkeypatch, capsys):
    if name == "smiles":
        pytest.importorskip("rdkit")
    monkeypatch.chdir(tmp_path)
    ase.io.write("guesses.xyz", [rattled("CH4"), rattled("H2O")])
    Path("some.smi").write_text("C methane\n")
    commands = [line for block in blocks(name, "console") for line in block.splitlines()]
    assert len(commands) >= 2
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "losiko"
        few = ["--max-steps", "2", "--force"]
        with pytest.raises(SystemExit) as end:
            main([*arguments, *few])
        assert end.value.code == 0, capsys.readouterr().err


def test_the_file_of_the_page_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (text,) = blocks("config", "toml")
    Path("run.toml").write_text(text)
    ase.io.write("guesses.xyz", rattled("CH4"))
    few = ("-o", "out.xyz", "--max-steps", "1")
    with pytest.raises(SystemExit) as end:
        main(["relax", "guesses.xyz", "--config", "run.toml", *few])
    assert end.value.code == 0, capsys.readouterr().err
    (sentence,) = blocks("config", "text")
    Path("run.toml").write_text("max_step = 3\n")
    with pytest.raises(SystemExit):
        main(["relax", "guesses.xyz", "--config", "run.toml", *few])
    assert capsys.readouterr().err == sentence
