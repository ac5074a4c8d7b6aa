import hashlib
import importlib.metadata
import importlib.util
import os
import tempfile
from pathlib import Path

import losiko_kernels
import pytest
import torch
from filelock import FileLock
from hypothesis import settings

import losiko_torch.accelerators
import losiko_torch.compiling
from losiko_torch.cli import main

# A compiled kernel is kept until its own file changes; those that it is made of do not count.
_sources = sorted(Path(losiko_kernels.__file__).parent.rglob("*.py"))
_parts = [path.read_bytes() for path in _sources]
if importlib.util.find_spec("numba"):
    # One version of numba drops what another has kept.
    _parts.append(importlib.metadata.version("numba").encode())
_digest = hashlib.sha256(b"".join(_parts)).hexdigest()[:16]
os.environ["NUMBA_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / f"losiko_kernels_{_digest}")

# Which test compiles a kernel is chance, and what is said of it belongs to none of them.
losiko_torch.compiling.say = lambda text: None

# The tests judge kernels with few atoms, too: they count as loaded.
losiko_torch.accelerators._loaded.add("cpu")

# How long an example takes says how busy a machine is.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# The tensors of the tests are small: threads cost more than they gain.
torch.set_num_threads(1)

#: Checks of kernels need a process in which nothing else imported Triton: see test_kernels.py.
collect_ignore_glob = ["*kernel_checks.py", "gpu_kernel_compile.py", "pretended_gpu.py"]


@pytest.fixture(scope="session", autouse=True)
def one_compiles_for_all(request):
    """Let one of several processes compile the usual kernels, and the others read them."""
    if not hasattr(request.config, "workerinput"):
        return
    from small_database import rattled, water_database

    from losiko_torch import relax

    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        for dtype in ("float32", "float64"):
            for targets in ("nearest", "locally-linear"):
                relax(rattled("H2O"), water_database(), targets=targets, dtype=dtype, max_steps=2)


@pytest.fixture
def command(capsys):
    """Runs the command line, returns its status and keeps what it printed, ``out`` and ``err``."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(each) for each in arguments])
        run.out, run.err = capsys.readouterr()
        assert "Traceback" not in run.out + run.err
        return end.value.code

    return run
