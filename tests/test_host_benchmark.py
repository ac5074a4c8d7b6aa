"""The benchmark of the processor's work around a run, with a few molecules."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.build import molecule

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "host.py"
PARTS = (
    *("read", "check", "batch", "leave", "stand-ins", "results", "verdict", "symmetry"),
    *("write Parquet", "write extxyz", "join shards", "tensor operations", "rest"),
)


def test_it_knows_the_package(tmp_path):
    some = [molecule(name) for name in ("H2O", "CH4", "CH3OH", "C6H6", "HCN", "CH3CHO")]
    sizes = [len(each) for each in some]
    (tmp_path / "qm9").mkdir()
    np.savez(
        tmp_path / "qm9" / "qm9.npz",
        Z=np.concatenate([each.numbers for each in some]),
        R=np.concatenate([each.positions for each in some]),
        offsets=np.cumsum([0, *sizes]),
        id=np.arange(len(some)),
    )
    environment = {**os.environ, "LOSIKO_DATA": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), "--keep", str(tmp_path / "run")]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert f"6 molecules, {sum(sizes)} atoms" in ended.stdout
    assert "not in this version" not in ended.stdout
    for part in PARTS:
        assert f"| {part} |" in ended.stdout
    lines = (tmp_path / "run" / "relaxed.extxyz").read_text().splitlines()
    assert len(lines) == sum(sizes) + 2 * len(some)
