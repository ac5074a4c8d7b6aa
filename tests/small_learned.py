"""Databases with learned targets small enough for tests, each fitted once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.collections import g2

from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.learned import expected_error, fitting
from losiko_torch.systems.neighbors import find_pairs

TINY = {"r_cut": 3.0, "n_max": 3, "l_max": 2, "sigma": 0.3}
# fmt: off
NAMES = [
    "CH4", "NH3", "H2O", "C2H6", "C2H4", "CH3OH", "CH3CH2OH", "CH3OCH3", "H2CO", "CH3CHO", "HCOOH",
    "C2H2", "CO2", "N2H4",
]
# fmt: on
#: Atoms of a step of a fit, and steps of structures led back, in place of the usual many.
ATOMS, STEPS = 60, 2


class Shells(torch.nn.Module):
    """Descriptor of distances alone: a plain module that nothing else knows."""

    cutoff = 3.0

    def forward(self, batch):
        pairs = find_pairs(batch, self.cutoff, True)
        r = pairs.vectors(batch).norm(dim=1)
        shells = torch.exp(-4 * (r[:, None] - torch.linspace(0.5, 3, 12).to(r)) ** 2)
        faded = shells * ((1 + torch.cos(torch.pi * r / self.cutoff)) / 2)[:, None]
        return faded.new_zeros(batch.n_atoms, 12).index_add(0, pairs.center, faded)


def soap(*species: str, **changes) -> SOAP:
    return SOAP(species=species or ("H", "C", "N", "O"), **{**TINY, **changes})


def molecules() -> list[Atoms]:
    return [g2[name].copy() for name in NAMES]


def crystals() -> list[Atoms]:
    """Return cells of one size and another of four crystals: sodium chloride, oxides, silicon."""
    salt, oxide = bulk("NaCl", "rocksalt", a=5.64), bulk("MgO", "rocksalt", a=4.21)
    silicon, other = bulk("Si", "diamond", a=5.43), bulk("SiO", "rocksalt", a=4.6)
    sizes = ((1, 1, 1), (2, 1, 1), (1, 1, 2))
    return [each * size for size in sizes for each in (salt, oxide, silicon, other)]


def perturbed(atoms: Atoms, seed: int = 0, width: float = 0.05, strain: float = 0.0) -> Atoms:
    """Return a rattled copy, strained by a matrix that is not symmetric."""
    rng = np.random.default_rng(seed)
    atoms = atoms.copy()
    if strain:
        cell = atoms.cell @ (np.eye(3) + rng.normal(0, strain, (3, 3)))
        atoms.set_cell(cell, scale_atoms=True)
    atoms.positions += rng.normal(0, width, atoms.positions.shape)
    return atoms


def molecule(name: str, seed: int = 0, width: float = 0.05) -> Atoms:
    return perturbed(g2[name], seed, width)


def fitted(database: EnvironmentDatabase, seed: int = 0, **options) -> EnvironmentDatabase:
    """Fit with few atoms a step and few steps of the structures that are led back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "ATOMS", ATOMS)
        patch.setattr(expected_error, "STEPS", STEPS)
        return database.fit(seed, **{"steps": 10, "width": 16, **options})


@cache
def plain_molecules() -> EnvironmentDatabase:
    return EnvironmentDatabase.build(molecules(), soap())


@cache
def plain_crystals() -> EnvironmentDatabase:
    descriptor = soap("O", "Na", "Mg", "Si", "Cl", periodic=True, smooth_width=0.5, r_cut=3.5)
    return EnvironmentDatabase.build(crystals(), descriptor)


@cache
def of_molecules() -> EnvironmentDatabase:
    """Fourteen molecules, with learned targets that lead back in a few steps.

    A shorter fit leads some molecules astray, for so many steps that roundings grow to what the
    laws of relaxations would see; which molecules, versions of the libraries decide.
    """
    return fitted(plain_molecules(), steps=300)


@cache
def of_crystals() -> EnvironmentDatabase:
    return fitted(plain_crystals(), steps=40)


@cache
def of_shells() -> EnvironmentDatabase:
    return fitted(EnvironmentDatabase.build(molecules(), Shells()), steps=10)


def networks_of(database: EnvironmentDatabase) -> dict[str, torch.Tensor]:
    """All tensors of the learned targets of a database, by name."""
    assert database.learned is not None
    return {
        f"{number}/{name}": getattr(own, name)
        for number, own in database.learned.networks.items()
        for name in own.__dataclass_fields__
    }


def same_networks(one: EnvironmentDatabase, other: EnvironmentDatabase) -> bool:
    """Return whether two databases carry the same networks, bit by bit."""
    first, second = networks_of(one), networks_of(other)
    return first.keys() == second.keys() and all(
        torch.equal(tensor, second[name]) for name, tensor in first.items()
    )


def saved_and_loaded(database: EnvironmentDatabase, folder: Path, **options) -> EnvironmentDatabase:
    path = folder / "learned.losiko"
    database.save(path)
    return EnvironmentDatabase.load(path, **options)
