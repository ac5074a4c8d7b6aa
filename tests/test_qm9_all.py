"""The benchmark of all of QM9, with a few molecules on a processor."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from small_archive import write_archive

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "qm9_all.py"
NAMES = ("H2O", "CH4", "CH3OH", "HCN", "C2H6", "NH3", "HCOOH", "C2H4", "C2H2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of reference data whose QM9 has a few molecules, all of them in the database."""
    folder = tmp_path_factory.mktemp("data")
    some = [molecule(name) for name in NAMES]
    write_archive(folder / "qm9" / "qm9.npz", some, id=np.arange(len(some)) + 1)
    return folder


def table_of(data, *arguments):
    """Run the benchmark; return the rows of its table, and the names of its columns."""
    environment = {**os.environ, "LOSIKO_DATA": str(data), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(SCRIPT), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert "nan" not in ended.stdout
    lines = [line for line in ended.stdout.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row: values for row, *values in cells[2:]}, cells[0][1:]


def test_learned_targets_twice_and_killed(data):
    rows, columns = table_of(data, "--targets", "learned")
    n_atoms = sum(len(molecule(name)) for name in NAMES)
    assert columns == ["learned"]
    assert rows["molecules, atoms"] == [f"{len(NAMES)}, {n_atoms}"]
    assert rows["converged, reliable"][0].startswith("100.00%")
    mean, median, largest = map(
        float, rows[f"RMSD of {len(NAMES)}: mean, median, largest (A)"][0].split(",")
    )
    assert 0.005 < median <= largest < 0.3
    assert mean < 0.1
    assert rows["atoms of a batch, shards"] == [f"{n_atoms}, 1"]
    assert rows["the same byte by byte as the first"] == ["yes"]
    [written] = rows["killed after so many were written, and resumed"]
    assert 0 < int(written) < len(NAMES)
    assert rows["the same byte by byte as the one not killed"] == ["yes"]


def test_both_targets_once(data):
    rows, columns = table_of(data, "--once", "--molecules", "5")
    assert columns == ["learned", "locally-linear"]
    assert all(len(values) == 2 and all(values) for values in rows.values())
    assert rows["molecules, atoms"][0] == rows["molecules, atoms"][1]
    assert not any("killed" in row or "same" in row for row in rows)


def test_fit(data):
    rows, _ = table_of(data, "--fit", "3")
    assert rows["molecules"] == [str(len(NAMES))]
    assert rows["steps, ms a step"][0].startswith("3, ")
