"""From structures to reference environments: what ``EnvironmentDatabase.build`` does with a few."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from torch import nn

from losiko_torch.database.components import projected
from losiko_torch.database.references import Environments
from losiko_torch.database.sources import SOURCE
from losiko_torch.database.weighting import as_weight
from losiko_torch.descriptors.protocol import (
    device_of,
    is_periodic,
    name_of,
    species_of,
)
from losiko_torch.descriptors.species import check_known
from losiko_torch.errors import InputError, StructureError
from losiko_torch.structures import Batch, check_structure
from losiko_torch.surroundings import unit_features
from losiko_torch.weights import own_weights

#: Keys of a structure's info that start like this are results, not what it is.
OWN = "losiko_"
#: Characters of a text in a structure's info that is kept.
LONGEST = 200


class Described(NamedTuple):
    """Environments of one element in a few structures: vectors are (n, F), the others (n,)."""

    vectors: torch.Tensor
    structure: torch.Tensor
    atom: torch.Tensor
    weight: torch.Tensor


def check_describable(atoms: Atoms, descriptor: nn.Module) -> None:
    """Raise ``StructureError`` where a descriptor cannot describe a structure faithfully."""
    check_structure(atoms)
    species = species_of(descriptor)
    if species is not None:
        check_known(atoms.numbers, species)
    if atoms.pbc.any() and not is_periodic(descriptor):
        raise StructureError(
            "it is periodic but the descriptor is not: use a database of periodic structures "
            "(periodic=True), or set pbc=False on the structure"
        )


@torch.no_grad()
def describe(structures: list[Atoms], descriptor: nn.Module, first: int) -> dict[int, Described]:
    """Environments by element of a few structures, numbered from ``first``."""
    if not structures:
        return {}
    batch = Batch.from_atoms(structures, device=device_of(descriptor))
    vectors = unit_features(descriptor, batch).float()
    if not torch.isfinite(vectors).all():
        raise InputError(f"{name_of(descriptor)} gives features that are not finite")
    counts = batch.counts
    starts = torch.cumsum(counts, 0) - counts
    atom = torch.arange(batch.n_atoms, device=starts.device) - starts[batch.system_idx]
    weights = [own_weights(atoms) for atoms in structures]
    parts = [np.ones(len(a)) if w is None else w for a, w in zip(structures, weights, strict=True)]
    weight = torch.as_tensor(np.concatenate(parts)).float().to(atom.device)
    described = {}
    for number in batch.numbers.unique().tolist():
        rows = batch.numbers == number
        described[number] = Described(
            vectors[rows],
            (batch.system_idx[rows] + first).int(),
            atom[rows].int(),
            weight[rows],
        )
    return described


def joined(parts: list[Described], components: int | None) -> Environments:
    vectors = torch.cat([part.vectors for part in parts])
    return Environments(
        *projected(vectors, components),
        torch.cat([part.structure for part in parts]),
        torch.cat([part.atom for part in parts]),
        as_weight(torch.cat([part.weight for part in parts])),
    )


def record_of(atoms: Atoms) -> dict[str, Any]:
    """What is kept of a structure: its formula, its source, and what its info says in short.

    Of a periodic one also that it is.
    """
    record: dict[str, Any] = {"formula": atoms.get_chemical_formula()}
    if atoms.pbc.any():
        record["periodic"] = True
    for key, value in atoms.info.items():
        if key == "periodic":  # what the cell says counts
            continue
        if isinstance(value, np.generic):
            value = value.item()
        if key == SOURCE:
            record["source"] = value
        elif isinstance(key, str) and not key.startswith(OWN) and key not in record:
            short = isinstance(value, str) and len(value) <= LONGEST
            if short or isinstance(value, (int, float)):
                record[key] = value
    return record
