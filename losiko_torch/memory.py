"""How many atoms fit into a batch: an estimate made before anything is allocated."""

from __future__ import annotations

from pathlib import Path

import torch

from losiko_torch.database.environments import EnvironmentDatabase

#: Largest share of the free memory that a batch may take.
SHARE = 0.25
#: On a CPU a batch beyond this size (bytes) gains no speed.
CPU_LIMIT = 2**30
#: Neighbours of an atom within the cutoff, for the estimate: those of a dense solid.
NEIGHBORS_PER_VOLUME = 0.1


def bytes_per_atom(database: EnvironmentDatabase, n_neighbors: int, dtype: torch.dtype) -> int:
    """Memory that an atom takes at the peak of one evaluation.

    Counted are the features and their products (about eight copies), the pairs' outer products of
    radial and angular functions (about three), and the scalar products among the references.
    """
    descriptor = database.descriptor
    item = torch.finfo(dtype).bits // 8
    volume = 4.19 * descriptor.cutoff**3
    pairs = max(8.0, NEIGHBORS_PER_VOLUME * volume)
    products = descriptor.n_max * (2 * descriptor.l_max + 1)
    harmonics = (descriptor.l_max + 1) ** 2 + descriptor.n_max * (descriptor.l_max + 1)
    features = 8 * descriptor.get_number_of_features() * item
    densities = pairs * (3 * products + 6 * harmonics) * item
    references = n_neighbors**2 * (8 + 2 * item)
    return int(features + densities + references)


def atoms_that_fit(database: EnvironmentDatabase, n_neighbors: int, dtype: torch.dtype) -> int:
    """Atoms of a batch, at least one, on the device of the database."""
    device = database.device
    if device.type == "cuda":
        budget = SHARE * torch.cuda.mem_get_info(device)[0]
    else:
        budget = min(SHARE * _free_memory(), CPU_LIMIT)
    return max(1, int(budget / bytes_per_atom(database, n_neighbors, dtype)))


def _free_memory() -> float:
    """Memory of this machine that programs can have, in bytes, or 4 GiB where it does not tell.

    What Linux calls available includes the files it caches, which are most of a busy machine.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return 4.0 * 2**30
