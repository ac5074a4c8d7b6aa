"""Compiled kernels, each set of checks in a process of its own.

Triton decides when it is imported whether it compiles or interprets its kernels, and other tests
may import it. Without a GPU its interpreter runs the kernels on a CPU, which is slow and exact.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from small_database import database

with_numba = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
with_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")

FOLDER = Path(__file__).parent


def run(*arguments: str, **environment: str) -> None:
    """Run Python in the project's folder; a failure shows its output."""
    kept = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    kept["PYTHONPATH"] = os.pathsep.join(sys.path)
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=FOLDER.parent,
        env={**kept, **environment},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def check(*files: str, **environment: str) -> None:
    paths = [str(FOLDER / name) for name in files]
    run("-m", "pytest", *paths, "-p", "no:cacheprovider", **environment)


@with_numba
def test_processor_kernels_equal_plain_torch():
    check("kernel_checks.py", LOSIKO_KERNELS="losiko_kernels.cpu")


@with_triton
@pytest.mark.parametrize("of", ["", "pair_", "structure_", "whole_"])
def test_gpu_kernels_equal_plain_torch(of):
    check(
        f"{of}kernel_checks.py", **({} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"})
    )


@with_numba
@with_triton
def test_what_is_launched_was_compiled_ahead():
    check("ahead_kernel_checks.py")


@with_triton
def test_kernels_compile_for_an_h100_without_spills():
    run(str(FOLDER / "gpu_kernel_compile.py"))


#: Relaxes with a database that is there, so that nothing is compiled in double precision.
FIRST_AND_LATER = """
import hashlib, sys, torch
torch.set_num_threads(1)
from losiko_torch import EnvironmentDatabase, relax
from small_database import rattled
database = EnvironmentDatabase.load(sys.argv[1])
results = relax([rattled(name) for name in ("C6H6", "CH3CONH2")], database, max_steps=5)
print(hashlib.sha256(b"".join(each.atoms.positions.tobytes() for each in results)).hexdigest())
"""


@with_numba
def test_what_compiles_kernels_gives_the_results_of_what_reads_them_from_disk(tmp_path):
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
        "PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path]),
    }
    database().save(tmp_path / "db.losiko")
    command = [sys.executable, "-c", FIRST_AND_LATER, str(tmp_path / "db.losiko")]
    first, later = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == later
