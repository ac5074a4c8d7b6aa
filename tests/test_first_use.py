"""The first use of an installation: kernels are compiled aloud, kept, and not needed."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from small_database import database

FOLDER = Path(__file__).parent
with_numba = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
COMPILING = "compiling kernels for this processor, "

#: Kernels solve their small problem, for which some of them are compiled.
SOLVE = """
import torch
from losiko_torch.accelerators import kernels_for
print(kernels_for(torch.device("cpu")) is not None)
"""
RELAX = """
from small_database import rattled
from losiko_torch import EnvironmentDatabase, relax
database = EnvironmentDatabase.load("db.losiko")
(result,) = relax(rattled("H2O"), database, max_steps=4, targets="nearest", dtype="float64")
print(result.loss)
"""
#: Takes the place of numba: there is none, or one that cannot be imported.
MISSING = """
import sys
sys.modules["numba"] = None
"""
BROKEN = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "numba.core":
            raise ImportError("libLLVM.so is broken")
sys.meta_path.insert(0, Broken())
"""
#: No folder can be written to, those of the package included.
REFUSED = """
import tempfile
def refuse(*arguments, **options):
    raise PermissionError(13, "Permission denied")
tempfile.TemporaryFile = refuse
"""


def run(code, folder, **environment):
    """Run code in a process of its own; return what it prints and what stands on stderr."""
    path = os.pathsep.join([str(FOLDER), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


@with_numba
def test_kernels_are_compiled_aloud_and_once(tmp_path):
    kernels = tmp_path / "kernels"
    solved, said = run(SOLVE, tmp_path, NUMBA_CACHE_DIR=str(kernels))
    assert solved == "True"
    (line,) = said.splitlines()
    assert line.startswith(f"{COMPILING}once: they are kept in {kernels}")
    assert list(kernels.rglob("*.nbc"))
    assert run(SOLVE, tmp_path, NUMBA_CACHE_DIR=str(kernels)) == ("True", "")


@with_numba
def test_no_folder_for_kernels_is_no_failure(tmp_path):
    solved, said = run(REFUSED + SOLVE, tmp_path)
    assert solved == "True"
    why = "as no folder can be written to (NUMBA_CACHE_DIR may name one)"
    assert said == f"{COMPILING}anew in each process, {why}\n"


@with_numba
@pytest.mark.parametrize("place", ["file/kernels", "/proc/none", "gone/below"])
def test_kernels_are_declared_wherever_the_folder_is(tmp_path, place):
    # A path below a file, or in /proc, cannot be made by anyone, the superuser included.
    (tmp_path / "file").write_text("")
    environment = dict.fromkeys(("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME"), place)
    code = "import losiko_kernels.cpu as kernels; print(callable(kernels.distance))"
    assert run(code, tmp_path, **environment) == ("True", "")


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (MISSING, "numba is not installed: pip install numba"),
        (BROKEN, "ImportError: libLLVM.so is broken"),
    ],
)
def test_without_numba_plain_torch_serves_and_it_is_said_once(tmp_path, before, why):
    database().save(tmp_path / "db.losiko")
    loss, said = run(before + RELAX, tmp_path)
    warned = f"UserWarning: the compiled kernels for cpu cannot be used ({why}): plain torch"
    assert said.count("compiled kernels") == said.count(warned) == 1
    compiled, _ = run(RELAX, tmp_path)
    assert float(loss) == pytest.approx(float(compiled), rel=1e-9)


@with_numba
@pytest.mark.parametrize(("copies", "loaded"), [(2, "False"), (700, "True")])
def test_few_molecules_wait_for_no_kernels(tmp_path, copies, loaded):
    code = f"""
import sys
from ase.build import molecule
from losiko_torch import relax
relax([molecule("H2O")] * {copies}, max_steps=1)
print("losiko_kernels.cpu" in sys.modules)
"""
    assert run(code, tmp_path)[0] == loaded
