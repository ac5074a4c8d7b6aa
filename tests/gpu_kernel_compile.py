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
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
import triton
from losiko_kernels import TILE
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

# `from losiko_kernels.gpu import density` would import the function of this name, not the module.
(
    *(combination, density, distance, lbfgs, mixing, networks, pairs, power_spectrum, rows, tiles),
    trials,
) = (
    import_module(f"losiko_kernels.gpu.{name}")
    for name in (
        *("combination", "density", "distance", "lbfgs", "mixing", "networks", "pairs"),
        *("power_spectrum", "rows", "tiles", "trials"),
    )
)

#: Local memory, in bytes a thread, that the assembler may trade for more threads at once.
FREE_SPILLS = 32
#: Elements, n_max and l_max that are compiled.
FEW = {"fp32": [(5, 6, 6)], "fp64": [(5, 6, 3)]}
MANY = [(n, 6, 6) for n in (3, 4, 5)] + [(n, 8, 6) for n in (1, 2, 3, 4, 5)] + [(2, 4, 9)]
INTEGERS = {"first": "*i64", "element": "*i64", "next_center": "*i32", "features": "*i32"}
INTEGERS |= {
    **dict.fromkeys(("center", "neighbor", "channel", "incoming", "first_incoming"), "*i64"),
    "indices": "*i64",
    "rows": "*i64",
    "rows_of": "*i64",
    "tiles": "*i32",
    "place": "*i32",
    "count": "i32",
    "numbers": "i32",
    "size": "i32",
    "largest": "i32",
    "max_steps": "i32",
}
INTEGERS |= dict.fromkeys(("number", "atom", "taken", "new_taken", "end_steps"), "*i64")
INTEGERS |= dict.fromkeys(
    ("fresh", "accepted", "ended", "new_ended", "end_converged", "end_broken"), "*i1"
)
#: Mixed channels.
MIXED = 12
#: References that an atom's target combines.
N_NEIGHBORS = 64
#: Rows of structures that programs hold: those of small molecules, and as many as they hold at all.
ROWS = (32, 1024)


def compiled(kernel, dtype: str, constants: dict[str, int], warps: int):
    """Compile a kernel; pointers that ``INTEGERS`` does not list are to numbers of ``dtype``."""
    names = kernel.arg_names
    types = {**dict.fromkeys(names, f"*{dtype}"), **INTEGERS}
    signature = {name: "constexpr" if name in constants else types[name] for name in names}
    # Torch's memory is aligned. A launch detects this by itself; a mere compilation does not.
    aligned = [i for i, name in enumerate(names) if signature[name].startswith("*")]
    attributes = {(i,): [["tt.divisibility", 16]] for i in aligned}
    source = ASTSource(kernel, signature=signature, constexprs=constants, attrs=attributes)
    options = {"num_warps": warps, "num_stages": 1, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def kernels(dtype: str, n_elements: int, n_max: int, l_max: int):
    """Yield every kernel with the constants and warps of its launch."""
    n_pad, channels = -(-n_max // 8) * 8, n_elements * n_max
    shared = {"INTERVALS": 256, "N_PAD": n_pad, "N_MAX": n_max, "CHANNELS": channels}
    shared["DEGREES"] = l_max + 1
    for low, high in density.degree_ranges(l_max):
        block = density.power_of_two(channels)
        sizes = {**shared, "LOW": low, "HIGH": high, "WEIGHTED": True, "BLOCK": block}
        yield compiled(density.expand_kernel, dtype, sizes, max(1, min(block // 32, 8)))
    lanes = density.power_of_two(n_pad)
    sizes = {**shared, "FACTORED": True, "WEIGHTED": True, "PAIRS": 512 // lanes, "LANES": lanes}
    yield compiled(density.backward_kernel, dtype, sizes, 4)
    precision = {"fp32": torch.float32, "fp64": torch.float64}[dtype]
    c = torch.empty(1, (l_max + 1) ** 2, channels, dtype=precision)
    sizes = tiles.tiling(c, n_max).sizes
    yield compiled(distance.distance_kernel, dtype, sizes, 1)
    for kernel in (power_spectrum.unit_kernel, power_spectrum.unit_backward_kernel):
        for some in (False, True):
            yield compiled(kernel, dtype, {**sizes, "SOME": some}, 1)
    for fading in (True, False):
        sizes = {"FADING": fading, "BLOCK": pairs.PAIRS}
        yield compiled(pairs.geometry_kernel, dtype, sizes, 4)
    yield compiled(pairs.atoms_kernel, dtype, {"BLOCK": pairs.LANES}, 1)
    for sizes in (mixing.sizes(channels, MIXED, False), mixing.sizes(channels, MIXED, True)):
        constants = {**sizes, "DEGREES": l_max + 1, "ATOMS": TILE}
        yield compiled(mixing.mix_kernel, dtype, constants, 4)
    some = {"SOME": combination.REFERENCES, "BLOCK": combination.COMPONENTS}
    yield compiled(combination.apart_kernel, dtype, some, 4)
    yield compiled(combination.gradient_kernel, dtype, {**some, "SOME": 4 * some["SOME"]}, 4)
    launch = combination.solve_launch(N_NEIGHBORS, precision)
    sizes = {"SMALLEST": combination.SMALLEST, "WIDTH": launch["WIDTH"], "EACH": False}
    yield compiled(combination.solve_kernel, dtype, sizes, launch["num_warps"])
    for width in (192, 256):
        yield compiled(networks.inner_kernel, dtype, networks.sizes(2, width, precision), 4)
    yield from of_structures(dtype, precision)


def of_structures(dtype: str, precision: torch.dtype):
    """Yield the kernels that give each structure a program, likewise."""
    numbers = torch.finfo(precision)
    search = {"ARMIJO": 1e-4, "USUAL": 0.02, "SHORTEST": 1e-3, "COSINE": 1e-8, "LONGEST": 0.15}
    search |= {"EPS": numbers.eps, "TINY": numbers.tiny, "MEMORY": 20, "WIDTH": 32}
    for kernel, sizes in (
        (trials.measure_kernel, {"HOLD": 0.03, "STIFFNESS": 40.0}),
        (lbfgs.lbfgs_kernel, search),
        (trials.conclude_kernel, {"FMAX": 0.01}),
    ):
        for count in ROWS if dtype == "fp32" else ROWS[:1]:
            launch = rows.launch_of(count)
            yield compiled(kernel, dtype, {**sizes, "BLOCK": launch["BLOCK"]}, launch["num_warps"])


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
    print(f"Triton {triton.__version__}, sm_90; bytes a thread (local) and a program (shared)")
    print(f"      elements n l {'kernel':>20} warps registers local shared")
    spilled = False
    for dtype in ("fp32", "fp64"):
        for size in MANY if "--all" in sys.argv else FEW[dtype]:
            for kernel in kernels(dtype, *size):
                registers, local = usage(kernel)
                data = kernel.metadata
                if data.name == "unit_kernel" and "st.global.v" in kernel.asm["ptx"]:
                    sys.exit("features are stored several at once")
                if dtype == "fp64" and (lost := rounded_constants(kernel)):
                    sys.exit(f"{data.name} has constants of single precision: {', '.join(lost)}")
                print(
                    f"{dtype:5} {size!s:12} {data.name:>20} {data.num_warps:5} {registers:9} "
                    f"{local:5} {data.shared:6}",
                    flush=True,
                )
                spilled |= dtype == "fp32" and local > FREE_SPILLS
    if spilled:
        sys.exit("a kernel in single precision spills registers")


if __name__ == "__main__":
    main()
