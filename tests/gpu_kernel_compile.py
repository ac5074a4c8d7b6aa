"""Compile Triton's kernels for an H100, which takes no GPU; registers and memory of each.

    python tests/gpu_kernel_compile.py [--all]

Fails if a kernel in single precision spills registers, but for a few that cost nothing; if one in
double precision multiplies with a number that was rounded to single; or if features, which are
scattered, are taken for neighbours in memory.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pretended_gpu
import pytest
import torch
import triton
from losiko_kernels.gpu import ahead
from triton.runtime.jit import JITFunction

#: Local memory, in bytes a thread, that the assembler may trade for more threads at once.
FREE_SPILLS = 32
#: Elements, n_max and l_max that are compiled.
FEW = {torch.float32: [(5, 6, 6)], torch.float64: [(5, 6, 3)]}
MANY = [(n, 6, 6) for n in (3, 4, 5)] + [(n, 8, 6) for n in (1, 2, 3, 4, 5)] + [(2, 4, 9)]
#: Intervals of a table of radial functions.
INTERVALS = 256
#: Mixed channels.
MIXED = 12
#: References that an atom's target combines, and their components.
N_NEIGHBORS, COMPONENTS = 64, 512
#: Rows of structures that programs hold: those of small molecules, and as many as they hold at all.
ROWS = (32, 1024)
#: Numbers of a search by L-BFGS.
SEARCH = {"armijo": 1e-4, "usual": 0.02, "shortest": 1e-3, "cosine": 1e-8, "longest": 0.15}


def calls(dtype: torch.dtype, n_elements: int, n_max: int, l_max: int) -> Iterator[ahead.Call]:
    """Yield calls that launch every kernel."""
    sizes = ahead.Density(dtype, n_elements, n_max, l_max, INTERVALS)
    shape = sizes, sizes.channels, n_max
    yield from ahead.of_density(sizes, factored=True, faded=True)
    yield from ahead.of_distances(*shape)
    for some in (False, True):
        yield from ahead.of_features(*shape, some)
        yield from ahead.of_slopes(*shape, some)
    for fading in (True, False):
        yield from ahead.of_pairs(dtype, fading)
    yield from ahead.of_mixing(sizes, MIXED)
    yield from ahead.of_candidates(dtype, COMPONENTS)
    yield from ahead.of_references(dtype, N_NEIGHBORS, N_NEIGHBORS, COMPONENTS, weighted=False)
    for width in (192, 256):
        yield from ahead.of_networks(dtype, 2, width)
    for count in ROWS if dtype == torch.float32 else ROWS[:1]:
        yield from ahead.of_measures(dtype, count, hold=0.03, stiffness=40.0)
        yield from ahead.of_lbfgs(dtype, count, memory=20, **SEARCH)
        yield from ahead.of_ends(dtype, count, fmax=0.01)


def compiled(dtype: torch.dtype, *size: int) -> list[Any]:
    """Return every kernel, compiled, by its name."""
    found, run = [], JITFunction.run

    def noted(kernel: JITFunction, *given: Any, **named: Any) -> None:
        found.append(run(kernel, *given, **named))

    with (
        ThreadPoolExecutor() as threads,
        triton.AsyncCompileMode(threads),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(JITFunction, "run", noted)
        for call in calls(dtype, *size):
            call()
    # Those of an earlier size are there, others were still to come.
    results = [each.result() if hasattr(each, "result") else each for each in found]
    return sorted({each.hash: each for each in results}.values(), key=lambda each: each.name)


def usage(kernel) -> tuple[int, int]:
    """Registers, and bytes of local memory, of a thread."""
    cuobjdump = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [str(cuobjdump), "-res-usage", file.name]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", printed)
    assert found, printed
    return int(found[1]), int(found[2])


def rounded_constants(kernel) -> list[str]:
    """Numbers of a kernel in double precision that have but the digits of single precision."""
    found = re.findall(r"(?:dense<|constant )([0-9.eE+-]+)[^\n]*f64", kernel.asm["ttir"])
    # Numbers of few binary digits, such as 0.5 or ten times the rounding error, lose nothing by it.
    return [
        text
        for text in found
        if float(np.float32(text)) == float(text)
        and not (math.frexp(float(text))[0] * 2**12).is_integer()
    ]


def main() -> None:
    pretended_gpu.pretend()
    print(f"Triton {triton.__version__}, sm_90; bytes a thread (local) and a program (shared)")
    print(f"      elements n l {'kernel':>20} warps registers local shared")
    spilled = False
    for dtype, few in FEW.items():
        double = dtype == torch.float64
        for size in MANY if "--all" in sys.argv else few:
            for kernel in compiled(dtype, *size):
                registers, local = usage(kernel)
                data = kernel.metadata
                if data.name == "unit_kernel" and "st.global.v" in kernel.asm["ptx"]:
                    sys.exit("features are stored several at once")
                if double and (lost := rounded_constants(kernel)):
                    sys.exit(f"{data.name} has constants of single precision: {', '.join(lost)}")
                print(
                    f"{'fp64' if double else 'fp32'} {size!s:12} {data.name:>20} "
                    f"{data.num_warps:5} {registers:9} {local:5} {data.shared:6}",
                    flush=True,
                )
                spilled |= not double and local > FREE_SPILLS
    if spilled:
        sys.exit("a kernel in single precision spills registers")


if __name__ == "__main__":
    main()
