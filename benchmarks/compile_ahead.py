"""Seconds to compile the kernels of a first relaxation on a GPU, one after the other and at once.

    python benchmarks/compile_ahead.py

Compiled is, from nothing and for an H100 that need not be there, all that a relaxation of molecules
of H, C, N, O and F on the built-in learned targets launches, and the known problems before it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

#: Elements, and numbers of atoms whose powers of two structures have.
ELEMENTS, COUNTS = (1, 6, 7, 8, 9), (16, 32)


def seconds(how: str) -> float:
    """Return how long it takes in this process, where nothing is compiled yet."""
    import pretended_gpu
    import torch
    from losiko_kernels import gpu

    from losiko_torch import accelerators
    from losiko_torch.batching.evaluator import Evaluator
    from losiko_torch.known_problems import problems_for
    from losiko_torch.relaxation.ahead import relaxation_calls
    from losiko_torch.relaxation.settings import Settings

    pretended_gpu.pretend()
    # What kernels serve is asked on the processor, which here has those of the GPU.
    accelerators._loaded.add("cpu")
    accelerators._kernels = lambda device: gpu
    settings = Settings(device="cpu")
    evaluator = Evaluator.make(None, settings)
    objective = evaluator.objective.restricted(torch.tensor(ELEMENTS))
    evaluator = Evaluator(objective, {}, torch.float32, 1000, True)
    problems: list[Callable] = [partial(problem, "meta") for problem in problems_for(gpu)]
    calls = list(relaxation_calls(evaluator, settings, COUNTS, gpu.ahead))
    began = time.perf_counter()
    for some in (problems, calls):
        if how == "at once":
            gpu.ahead.compile_ahead(some)
        else:
            for call in some:
                call()
    return time.perf_counter() - began


def main() -> None:
    if len(sys.argv) > 1:
        print(seconds(sys.argv[1]))
        return
    for how in ("one after the other", "at once"):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, how]
            environment = {**os.environ, "TRITON_CACHE_DIR": folder}
            printed = subprocess.check_output(command, env=environment, text=True)
        print(f"kernels compiled {how}: {float(printed):.1f} s, {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    main()
