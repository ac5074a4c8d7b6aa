"""The check of a GPU runs, in a tiny size, where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "device_check.py"
TABLES = (
    *("Ceilings", "An evaluation, learned targets", "An evaluation, locally-linear targets"),
    *("Beside the evaluation", "Steps of", "Compilation of kernels", "Whole relaxations"),
)


def run(*arguments):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_all_parts_run_dry():
    ended = run("--dry")
    assert ended.returncode == 0, ended.stderr
    for title in TABLES:
        assert f"### {title}" in ended.stdout
    rows = [line for line in ended.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) > 40
    assert "reasons the same" in ended.stdout
    assert "nan" not in ended.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_so():
    ended = run()
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.strip().splitlines()[-1].startswith("no CUDA device: run this where")
