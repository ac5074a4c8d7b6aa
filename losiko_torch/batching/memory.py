"""How many atoms fit into a batch: an estimate made before anything is allocated."""

from __future__ import annotations

from pathlib import Path

import torch

from losiko_torch.accelerators import kernels_for
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.descriptors.interface import bytes_of
from losiko_torch.descriptors.soap import compiled as compiled_soap
from losiko_torch.descriptors.soap.compiled import serves
from losiko_torch.errors import InputError

#: Largest share of the free memory that a batch may take.
SHARE = 0.25
#: On a CPU a batch beyond this size (bytes) gains no speed.
CPU_LIMIT = 2**27
#: A molecule of this many atoms must fit, or references are too many.
SMALL_MOLECULE = 20


def bytes_per_atom(database: EnvironmentDatabase, n_neighbors: int, dtype: torch.dtype) -> int:
    """Memory that an atom takes at the peak of one evaluation.

    What the descriptor takes, and the scalar products among the references.
    """
    item, soap = torch.finfo(dtype).bits // 8, database.descriptor
    like = torch.empty(0, dtype=dtype, device=database.device)
    if kernels_for(database.device) is not None and serves(soap, like):
        described = compiled_soap.bytes_per_atom(soap, item)  # type: ignore[arg-type]
    else:
        described = bytes_of(soap, database.n_features, item)
    return described + _bytes_of_references(n_neighbors, dtype, database.device)


def atoms_that_fit(database: EnvironmentDatabase, n_neighbors: int, dtype: torch.dtype) -> int:
    """Atoms of a batch, at least one, on the device of the database."""
    budget = SHARE * _free_on(database.device)
    if database.device.type == "cpu":
        budget = min(budget, CPU_LIMIT)
    return max(1, int(budget / bytes_per_atom(database, n_neighbors, dtype)))


def check_neighbors(n_neighbors: int, dtype: torch.dtype, device: torch.device) -> None:
    """Raise ``InputError`` where the references of a small molecule would not fit."""
    needed = SMALL_MOLECULE * _bytes_of_references(n_neighbors, dtype, device)
    if needed > SHARE * _free_on(device):
        raise InputError(
            f"{n_neighbors:,} references an atom take {needed / 2**30:,.1f} GiB for a molecule of "
            f"{SMALL_MOLECULE} atoms: use a smaller n_neighbors"
        )


def _bytes_of_references(n_neighbors: int, dtype: torch.dtype, device: torch.device) -> int:
    """For an atom: distances among its references, those at the start and those now.

    Without a kernel that combines references also three matrices made of them.
    """
    item = torch.finfo(dtype).bits // 8
    combined = hasattr(kernels_for(device), "combine")
    return n_neighbors**2 * (2 * item + (0 if combined else 8 + 2 * item))


def _free_on(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _free_memory()


def _free_memory() -> float:
    """Memory of this machine that programs can have, in bytes, or 4 GiB where it does not tell.

    What Linux calls available includes the files it caches, which are most of a busy machine.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return 4.0 * 2**30
