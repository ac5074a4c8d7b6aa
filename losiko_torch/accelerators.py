"""Choice of the compiled kernels of ``losiko_kernels`` that serve a device, if any.

Without kernels plain torch computes the same, slower. Kernels first solve a small problem of known
solution. If they fail, or if their compiler is missing, a warning is given once and torch takes
over.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from losiko_kernels.radial_table import LANES, TERMS, RadialTable

from losiko_torch.compiling import tell_of_compiling

#: Compiler of the kernels for each kind of device, and the package that holds them.
COMPILERS = {"cpu": ("numba", "losiko_kernels.cpu"), "cuda": ("triton", "losiko_kernels.gpu")}

#: Atoms to relax or judge by learned targets for which loading kernels pays.
MANY_ATOMS = 2000
#: Kinds of devices whose kernels a process has asked for.
_loaded: set[str] = set()

#: Texts of torch's errors for lack of memory that are of no type of their own.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def kernels_for(device: torch.device) -> ModuleType | None:
    """Return ``losiko_kernels.cpu`` or ``losiko_kernels.gpu``. None if they cannot be used."""
    return _kernels(device.type)


def gpu_kernel(device: torch.device, name: str) -> Callable[..., Any] | None:
    """Return a kernel that GPUs alone have; None where plain torch does its work."""
    return getattr(kernels_for(device), name, None) if device.type == "cuda" else None


def kernels_pay(device: torch.device) -> bool:
    """Return whether kernels serve a device, those for processors only if they are loaded already.

    Loading them takes a second, and compiling them, once, a quarter of a minute: plain torch is
    done with few atoms by then. See ``expect_atoms``.
    """
    if device.type == "cpu" and device.type not in _loaded:
        return False
    return kernels_for(device) is not None


def expect_atoms(device: torch.device, count: int) -> None:
    """Load the kernels for a device if so many atoms are to be worked on that they pay."""
    if count >= MANY_ATOMS:
        kernels_for(device)


@lru_cache
def _kernels(device: str) -> ModuleType | None:
    if device not in COMPILERS:
        return None
    _loaded.add(device)
    compiler, name = COMPILERS[device]
    try:
        if find_spec(compiler) is None:
            raise ModuleNotFoundError(f"{compiler} is not installed: pip install {compiler}")
        kernels = import_module(name)
        if compiler == "numba":
            tell_of_compiling()
        solved = _solve(kernels, device) and _solve_pairs(kernels, device)
        problem = None if solved else "they give wrong numbers"
    except ModuleNotFoundError as error:
        problem = str(error)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        problem = f"{type(error).__name__}: {lines[-1]}"
    if problem is None:
        return kernels
    warnings.warn(
        f"the compiled kernels for {device} cannot be used ({problem}): plain torch computes "
        "instead, slower",
        stacklevel=4,
    )
    return None


def _solve(kernels: ModuleType, device: str) -> bool:
    """Return whether kernels solve the case of a center with one neighbour 1 Angstrom above it.

    The radial function is 1 up to degree 1, so c is the sum of the harmonics: 2 Y_00 and Y_10.
    """
    coefficients = torch.zeros(1, TERMS, 2, LANES, device=device)
    coefficients[:, 0, :, 0] = 1
    table = RadialTable(coefficients, inverse_width=0.25, n_max=1, l_max=1, scale=1.0)
    vectors = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], device=device)
    first, element = (torch.tensor(each, device=device) for each in ([0, 2], [0, 0]))
    shape = (vectors, None, first, element, 1, table)
    c = kernels.expand_density(*shape)
    p, length = kernels.unit_power_spectrum(c, 1)
    apart, by_c = kernels.distance(c, torch.zeros_like(p), 1)
    along, _ = kernels.expand_density_backward(c, None, *shape)
    back = kernels.power_spectrum_backward(c, length, p, 1)
    s, z = math.sqrt(1 / math.pi), math.sqrt(3 / (4 * math.pi))
    known = (
        (c.flatten(), [s, 0.0, z, 0.0]),
        (length, [math.hypot(s * s, z * z)]),
        (p.flatten(), [s * s / math.hypot(s * s, z * z), z * z / math.hypot(s * s, z * z)]),
        (apart, [1.0]),
        (along[1], [0.0, 0.0, z * z]),
        (by_c.flatten(), [0.0] * 4),
        (back.flatten(), [0.0] * 4),
    )
    return _all_close(known)


def _solve_pairs(kernels: ModuleType, device: str) -> bool:
    """Return whether kernels solve the case of two atoms 1 Angstrom apart that see each other.

    At half the width in which neighbours fade, w is 1/2 and dw/d(r^2) is -15/16 per Angstrom^2.
    Kernels for processors leave pairs and mixing to plain torch, and solve nothing.
    """
    if not hasattr(kernels, "pair_geometry"):
        return True
    positions, ones = torch.zeros(2, 3, device=device), torch.ones(4, device=device)
    positions[1, 2] = 1
    center, neighbor, incoming, first, tile, zero = (
        torch.tensor(each, device=device)
        for each in ([0, 0, 1, 1], [0, 1, 0, 1], [0, 2, 1, 3], [0, 2, 4], [[0] + 15 * [-1]], [0])
    )
    channel = torch.zeros_like(incoming[:2])
    vectors, weights, slopes, _ = kernels.pair_geometry(
        positions, center, neighbor, channel, 1.5, 1.0
    )
    gradient = kernels.gradient_of_atoms(vectors, ones, vectors, slopes, first, incoming, first)
    mixed = kernels.mix(ones[:1].view(1, 1, 1), tile, zero, 3 * ones[:1].view(1, 1, 1, 1), False)
    known = (
        (vectors[:, 2], [0.0, 1.0, -1.0, 0.0]),
        (weights, [1.0, 0.5, 0.5, 1.0]),
        (slopes, [0.0, -0.9375, -0.9375, 0.0]),
        (gradient.flatten(), [0.0, 0.0, 1.75, 0.0, 0.0, -1.75]),
        (mixed.flatten(), [3.0]),
    )
    return _all_close(known)


def _all_close(known: Iterable[tuple[torch.Tensor, list[float]]]) -> bool:
    """Return whether results are what is known of them."""
    return all(
        torch.allclose(found.cpu(), torch.tensor(expected), atol=1e-5) for found, expected in known
    )


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory ran out, on a CPU or a GPU."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        sign in str(error) for sign in OUT_OF_MEMORY
    )
