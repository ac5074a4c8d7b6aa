import hashlib
import os
import tempfile
from pathlib import Path

import losiko_kernels
import torch

# A compiled kernel is kept until its own file changes; those that it is made of do not count.
_sources = sorted(Path(losiko_kernels.__file__).parent.rglob("*.py"))
_digest = hashlib.sha256(b"".join(path.read_bytes() for path in _sources)).hexdigest()[:16]
os.environ["NUMBA_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / f"losiko_kernels_{_digest}")

# The tensors of the tests are small: threads cost more than they gain.
torch.set_num_threads(1)

#: Checks of kernels need a process in which nothing else imported Triton: see test_kernels.py.
collect_ignore = ["kernel_checks.py", "gpu_kernel_compile.py"]
