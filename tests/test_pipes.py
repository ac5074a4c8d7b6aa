"""Pipes: structures from the standard input to the standard output, with nothing else in it."""

import os
import re
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from small_database import database, rattled

from losiko_torch.io.formats import extxyz

LOSIKO = f"{sys.executable} -c 'from losiko_torch.cli import main; main()'"


@pytest.fixture
def folder(tmp_path):
    database().save(tmp_path / "db.losiko")
    ase.io.write(tmp_path / "a.xyz", [rattled("H2O"), rattled("CH4"), rattled("CH3OH")])
    return tmp_path


def shell(folder, command):
    path = os.pathsep.join(sys.path)
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", re.sub(r"(?<!\.)losiko ", f"{LOSIKO} ", command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands_in_a_pipe(folder):
    few = "-d db.losiko --max-steps 3 --targets nearest"
    done = shell(
        folder,
        f"cat a.xyz | losiko relax - {few} -o - 2> relaxed.log | tee b.xyz "
        "| losiko score - -d db.losiko",
    )
    assert done.returncode == 0, done.stderr
    assert "3 of 3 structures judged" in done.stdout
    assert done.stderr == ""
    frames = ase.io.read(folder / "b.xyz", ":", format="extxyz")
    assert [each.get_chemical_formula() for each in frames] == ["H2O", "CH4", "CH4O"]
    assert all(extxyz.LABELS[0] in each.info for each in frames)
    log = (folder / "relaxed.log").read_text()
    assert "3 of 3 structures relaxed" in log
    assert "written to the standard output" in log
    plain = shell(folder, f"losiko relax a.xyz {few} -o c.xyz")
    assert plain.returncode == 0
    for one, other in zip(frames, ase.io.read(folder / "c.xyz", ":"), strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)


def test_failures_in_a_pipe(folder):
    (folder / "bad.xyz").write_text("1\n\nH 0 0 nan\n")
    done = shell(folder, "cat bad.xyz a.xyz | losiko relax - -d db.losiko --max-steps 2 -o -")
    assert done.returncode == 1
    assert "not a finite number" in done.stderr
    (folder / "b.xyz").write_text(done.stdout)
    assert len(ase.io.read(folder / "b.xyz", ":", format="extxyz")) == 4
    none = shell(folder, "losiko relax - -d db.losiko -o - < /dev/null")
    assert none.returncode == 2
    assert none.stdout == ""
    assert "the file is empty" in none.stderr


def test_a_run_goes_to_a_pipe_too(folder):
    pytest.importorskip("pyarrow")
    few = "-d db.losiko --max-steps 2"
    done = shell(folder, f"losiko relax a.xyz {few} --run run -o - --trajectory paths")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (folder / "run" / "relaxed.extxyz").read_text()
    assert len(list((folder / "run" / "paths").iterdir())) == 3
