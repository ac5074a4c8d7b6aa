"""The benchmark of the processor's work around a run, with a few molecules."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.build import molecule
from small_archive import write_archive

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PARTS = (
    *(
        "read",
        "check ahead",
        "check",
        "batch",
        "leave",
        "stand-ins",
        "results",
        "verdict",
        "symmetry",
    ),
    *("write Parquet", "write extxyz", "join shards", "tensor operations", "rest"),
)


#: Calls of functions, of Python and of others, that a molecule more in arrays may cost.
CALLS = 9, 9


def run(script, folder, copies, *arguments):
    """Run a benchmark on copies of a few molecules; return its output and their atoms."""
    some = [molecule(name) for name in ("H2O", "CH4", "CH3OH", "C6H6", "HCN", "CH3CHO")] * copies
    write_archive(folder / "qm9" / "qm9.npz", some, id=np.arange(len(some)))
    environment = {**os.environ, "LOSIKO_DATA": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, sum(map(len, some))


def test_it_knows_the_package(tmp_path):
    printed, n_atoms = run("host.py", tmp_path, 1, "--keep", str(tmp_path / "run"))
    assert f"6 molecules, {n_atoms} atoms" in printed
    assert "not in this version" not in printed
    for part in PARTS:
        assert f"| {part} |" in printed
    lines = (tmp_path / "run" / "relaxed.extxyz").read_text().splitlines()
    assert len(lines) == n_atoms + 2 * 6


def test_a_molecule_more_costs_few_calls_of_functions(tmp_path):
    """What the processor does for thousands of molecules it does for all of them at once."""
    printed, _ = run("host_calls.py", tmp_path, 700, "--molecules", "4200")
    found = re.search(r"more: ([0-9.]+) of Python's functions, ([0-9.]+) of others", printed)
    assert found, printed
    assert all(0 < float(count) <= most for count, most in zip(found.groups(), CALLS, strict=True))
