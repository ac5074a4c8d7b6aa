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

RELAX = """
import sys
from small_database import rattled
from losiko_torch import EnvironmentDatabase, relax
database = EnvironmentDatabase.load(sys.argv[1])
print(repr(relax(rattled("H2O"), database, max_steps=4, targets="nearest", dtype="float64")[0].loss))
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
COMPILING = "losiko: compiling kernels for this processor, "


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("first_use") / "db.losiko"
    database().save(path)
    return path


def used(file, before="", **environment):
    """Relax a molecule in a process of its own; return the loss and what stands on stderr."""
    path = os.pathsep.join([str(FOLDER), *sys.path])
    kept = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", f"{before}\n{RELAX}", str(file)],
        env={**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout), done.stderr


@with_numba
def test_kernels_are_compiled_aloud_and_once(file, tmp_path):
    loss, said = used(file, NUMBA_CACHE_DIR=str(tmp_path / "kernels"))
    lines = [line for line in said.splitlines() if line.startswith("losiko")]
    (line,) = lines
    assert line.startswith(f"{COMPILING}once: they are kept in {tmp_path / 'kernels'}")
    assert list((tmp_path / "kernels").rglob("*.nbc"))
    again, said = used(file, NUMBA_CACHE_DIR=str(tmp_path / "kernels"))
    assert (again, COMPILING in said) == (loss, False)


@with_numba
@pytest.mark.parametrize("place", ["below a file", "/proc/none"])
def test_no_folder_for_kernels_is_no_failure(file, tmp_path, place):
    # A path below a file cannot be made by anyone, the superuser included.
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "kernels") if place == "below a file" else place
    # The package's own folder must not serve either.
    unwritable = """
import tempfile
make = tempfile.TemporaryFile
def refuse(*arguments, dir=None, **options):
    if dir is not None:
        raise PermissionError(13, "Permission denied", str(dir))
    return make(*arguments, dir=dir, **options)
tempfile.TemporaryFile = refuse
"""
    homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "LOSIKO_CACHE"), nowhere)
    loss, said = used(file, unwritable, **homes)
    lines = [line for line in said.splitlines() if line.startswith("losiko")]
    assert lines == [f"{COMPILING}anew in each process, as no folder can be written to "
                     "(NUMBA_CACHE_DIR may name one)"]
    assert "cannot be used" not in said
    kept, _ = used(file, NUMBA_CACHE_DIR=str(tmp_path / "kernels"))
    assert loss == kept


@with_numba
def test_another_folder_serves_where_the_one_asked_for_cannot(file, tmp_path):
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "kernels")
    _, said = used(file, NUMBA_CACHE_DIR=nowhere, HOME=nowhere)
    assert "cannot be used" not in said


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (MISSING, "numba is not installed: pip install numba"),
        (BROKEN, "ImportError: libLLVM.so is broken"),
    ],
)
def test_without_numba_plain_torch_serves_and_it_is_said_once(file, tmp_path, before, why):
    loss, said = used(file, before)
    (line,) = [line for line in said.splitlines() if "compiled kernels" in line and "Warn" in line]
    assert f"the compiled kernels for cpu cannot be used ({why}): plain torch computes" in line
    compiled, _ = used(file, NUMBA_CACHE_DIR=str(tmp_path / "kernels"))
    assert loss == pytest.approx(compiled, rel=1e-9)
