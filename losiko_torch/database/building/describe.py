"""Structures of a database: checked before a build, described in it, and recorded after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import nn

from losiko_torch.descriptors.evaluation import unit_features
from losiko_torch.descriptors.interface import (
    device_of,
    is_periodic,
    name_of,
    species_of,
)
from losiko_torch.errors import InputError, StructureError
from losiko_torch.io.filters import Filter
from losiko_torch.systems.atom_weights import own_weights
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.names import SOURCE
from losiko_torch.systems.pymatgen import AnyStructure, as_atoms, check_type, one_by_one
from losiko_torch.systems.species import check_known
from losiko_torch.systems.validity import check_structure

#: Prefix of the keys of a structure's info that hold this package's results: no record keeps them.
OWN = "losiko_"
#: Longest text, in characters, that a record keeps of a structure's info.
LONGEST = 200


def check_describable(atoms: Atoms, descriptor: nn.Module) -> None:
    """Raise ``StructureError`` where a descriptor cannot describe a structure faithfully."""
    check_structure(atoms)
    species = species_of(descriptor)
    if species is not None:
        check_known(atoms.numbers, species)
    if atoms.pbc.any() and not is_periodic(descriptor):
        raise StructureError(
            "it is periodic but the descriptor is not: use a database of periodic structures "
            "(periodic=True), or take it for a molecule by --no-pbc (pbc=False on the structure)"
        )


def describable(
    structures: AnyStructure | Iterable[AnyStructure],
    descriptor: nn.Module,
    filters: list[Filter],
    done: Callable[[int], None],
) -> tuple[list[Atoms], list[str]]:
    """Structures that pass the filters and can be described, and the reasons why others cannot.

    ``done`` is called with 1 for each structure that is left out.

    Raises:
        InputError: If no structure is left, or one is of an unknown type.
    """
    chosen: list[Atoms] = []
    skipped: list[str] = []
    filtered = 0
    for place, given in enumerate(one_by_one(structures)):
        check_type(given, place)
        name: Any = place
        try:
            atoms = as_atoms(given)
            if all(passes(atoms) for passes in filters):
                name = atoms.info.get(SOURCE, place)
                check_describable(atoms, descriptor)
                own_weights(atoms)
                chosen.append(atoms)
                continue
            filtered += 1
        except StructureError as error:
            skipped.append(f"structure {name}: {error}")
        done(1)
    if not chosen:
        reason = f"{filtered} did not pass the filters" if filtered else "none was given"
        raise InputError(f"no structure for the database: {skipped[0] if skipped else reason}")
    return chosen, skipped


def describe(structures: list[Atoms], descriptor: nn.Module) -> torch.Tensor:
    """Unit descriptors of all atoms of a few structures, shape (n, F), float32.

    Raises:
        InputError: If the descriptor gives features that are not finite.
    """
    batch = Batch.from_atoms(structures, device=device_of(descriptor))
    vectors = unit_features(descriptor, batch).float()
    if not torch.isfinite(vectors).all():
        raise InputError(f"{name_of(descriptor)} gives features that are not finite")
    return vectors


def record_of(atoms: Atoms) -> dict[str, Any]:
    """The record of a structure: its formula, its source, and the short entries of its info.

    The entry "periodic" is true for periodic structures and absent for others.
    """
    record: dict[str, Any] = {"formula": atoms.get_chemical_formula()}
    if atoms.pbc.any():
        record["periodic"] = True
    for key, value in atoms.info.items():
        if key == "periodic":  # the structure's own pbc counts
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
