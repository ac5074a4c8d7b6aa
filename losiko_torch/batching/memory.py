"""Number of atoms that fit into a batch: an estimate made before anything is allocated."""

from __future__ import annotations

from pathlib import Path

import torch

from losiko_torch.descriptors.interface import bytes_of
from losiko_torch.descriptors.soap import compiled as compiled_soap
from losiko_torch.descriptors.soap.compiled import serves
from losiko_torch.errors import InputError
from losiko_torch.loss.objective import Objective

#: Largest share of the free memory that a batch may take.
SHARE = 0.25
#: Size of a batch (bytes) beyond which a CPU gains no speed.
CPU_LIMIT = 2**27
#: Numbers for each atom beside its evaluation: L-BFGS's history of 20 steps, before and after a
#: step, positions, gradients and ends.
STATE = 300
#: Atoms of a molecule that must fit, or references are too many.
SMALL_MOLECULE = 20


def bytes_per_atom(objective: Objective, dtype: torch.dtype) -> int:
    """Return the memory that an atom takes at the peak of a step, in bytes.

    Counted are the state of the relaxation, the descriptor, and what the target keeps of the
    references, or the networks of a learned model.
    """
    item = torch.finfo(dtype).bits // 8
    if objective.by_model:
        return objective.model.bytes_per_atom(item) + STATE * item
    database, descriptor = objective.database, objective.database.descriptor
    like = torch.empty(0, dtype=dtype, device=database.device)
    if serves(descriptor, like):
        described = compiled_soap.bytes_per_atom(descriptor, item)  # type: ignore[arg-type]
    else:
        described = bytes_of(descriptor, database.n_features, item)
    return described + _bytes_of_references(objective, dtype) + STATE * item


def atoms_that_fit(objective: Objective, dtype: torch.dtype) -> int:
    """Return the atoms of a batch, at least one, on the device of the database."""
    device = objective.database.device
    budget = SHARE * _free_on(device)
    if device.type == "cpu":
        budget = min(budget, CPU_LIMIT)
    return max(1, int(budget / bytes_per_atom(objective, dtype)))


def check_neighbors(objective: Objective, dtype: torch.dtype) -> None:
    """Raise ``InputError`` where the references of a small molecule would not fit."""
    needed = SMALL_MOLECULE * _bytes_of_references(objective, dtype)
    if needed > SHARE * _free_on(objective.database.device):
        raise InputError(
            f"{objective.most_neighbors:,} references an atom take {needed / 2**30:,.1f} GiB for a "
            f"molecule of {SMALL_MOLECULE} atoms: use a smaller n_neighbors"
        )


def _bytes_of_references(objective: Objective, dtype: torch.dtype) -> int:
    count, device = objective.most_neighbors, objective.database.device
    return objective.target.bytes_per_atom(count, dtype, device)


def _free_on(device: torch.device) -> float:
    if device.type != "cuda":
        return _free_memory()
    # What torch keeps for later is free for it, and the same in a second run as in the first.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _free_memory() -> float:
    """Return the memory of this machine that programs can have, in bytes; 4 GiB if unknown.

    The memory that Linux calls available includes the files it caches, most of a busy machine's.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return 4.0 * 2**30
