"""Choice of the compiled kernels of ``losiko_kernels`` that serve a device, if any.

Without kernels plain torch computes the same, slower. Kernels first solve a small problem of known
solution. If they fail, or if their compiler is missing, a warning is given once and torch takes
over.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch

from losiko_torch.compiling import tell_of_compiling
from losiko_torch.known_problems import solves

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
        problem = None if solves(kernels, device) else "they give wrong numbers"
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


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory ran out, on a CPU or a GPU."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        sign in str(error) for sign in OUT_OF_MEMORY
    )
