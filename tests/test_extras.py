"""An installation without extras does all but what they are for, and says what is missing."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import ase.io
import pytest
from small_database import database, rattled

from losiko_torch import InputError
from losiko_torch.cli import main
from losiko_torch.extras import EXTRAS, is_there, needs
from losiko_torch.io.formats.registry import format_of

FOLDER = Path(__file__).parent
#: Packages of extras, which are taken away.
WITHOUT = """
import sys
for name in ("pyarrow", "plotly", "matplotlib", "faiss", "ray", "rdkit", "pymatgen", "torch_sim"):
    sys.modules[name] = None
from losiko_torch.cli import main
main(sys.argv[1:])
"""


def losiko(folder, *arguments):
    """Run the command line without the extras, in a process of its own."""
    path = os.pathsep.join([str(FOLDER), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    database().save(tmp_path / "db.losiko")
    ase.io.write(tmp_path / "in.xyz", [rattled("H2O"), rattled("CH3OH")])
    return tmp_path


def test_relaxing_into_a_file_needs_no_extra(folder, capsys, monkeypatch):
    command = ["relax", "in.xyz", "-d", "db.losiko", "--max-steps", "3", "-f", "-o"]
    done = losiko(folder, *command, "out.extxyz")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    # What is printed and written is the same as with them, but for the time that it took.
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit):
        main([*command, "with.extxyz"])
    expected = capsys.readouterr().out

    def lines(text):
        return [line for line in text.splitlines() if " s in batches of" not in line][:-1]

    assert lines(done.stdout) == lines(expected)
    assert len(lines(expected)) > 4
    assert (folder / "out.extxyz").read_bytes() == (folder / "with.extxyz").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            "relax in.xyz -d db.losiko --run night",
            "a run needs pyarrow: pip install 'losiko-torch[runs]'",
        ),
        (
            "relax in.xyz -d db.losiko -o out.parquet",
            "out.parquet: a file of this kind needs pyarrow: pip install 'losiko-torch[runs]'",
        ),
        ("report night", "a run needs pyarrow: pip install 'losiko-torch[runs]'"),
        (
            "map in.xyz -d db.losiko -o map.png",
            "a map as a picture needs matplotlib: pip install 'losiko-torch[map]'",
        ),
        (
            "map in.xyz -d db.losiko -o map.html",
            "a map as a page needs plotly: pip install 'losiko-torch[map]', or write a .png",
        ),
    ],
)
def test_what_an_extra_is_for_names_it_and_writes_nothing(folder, arguments, sentence):
    before = sorted(path.name for path in folder.iterdir())
    done = losiko(folder, *arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"losiko: error: {sentence}\n"
    assert sorted(path.name for path in folder.iterdir()) == before


def test_extras_bring_what_they_are_said_to_bring():
    text = (FOLDER.parent / "pyproject.toml").read_text()
    declared = tomllib.loads(text)["project"]["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert any(each.replace("-", "_").startswith(package) for each in declared[extra])


def test_what_is_there_is_not_missed(monkeypatch, tmp_path):
    needs("pyarrow", "a run")
    assert format_of(tmp_path / "table.parquet").name == "parquet"
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert not is_there("pyarrow")
    with pytest.raises(
        InputError, match=r"a run needs pyarrow: pip install 'losiko-torch\[runs\]'"
    ):
        needs("pyarrow", "a run")
