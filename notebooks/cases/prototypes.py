"""Textbook structures: small stand-ins for the Materials Project where there is no network."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.lattice.hexagonal import Graphite
from ase.spacegroup import crystal


def crystals(system: str) -> list[Atoms]:
    """Textbook crystals of "C", "Si-O" or "Li-Co-O-H", with ``e_above_hull`` 0 in ``info``."""
    made = {"C": _carbon, "Si-O": _silicon_oxygen, "Li-Co-O-H": _lithium_cobalt_oxide}[system]()
    for name, atoms in made.items():
        atoms.info = {"material_id": name, "e_above_hull": 0.0}
        atoms.calc = None
    return list(made.values())


def disordered_silica() -> list[Atoms]:
    """Cristobalite with N(0, 0.25 A) on every coordinate: no glass, but without order."""
    cells = []
    for seed in range(2):
        atoms = _silicon_oxygen()["cristobalite"] * (2, 2, 1)
        atoms.positions += np.random.default_rng(seed).normal(0, 0.25, atoms.positions.shape)
        atoms.info = {"material_id": f"shaken cristobalite {seed}"}
        cells.append(atoms)
    return cells


def _carbon() -> dict[str, Atoms]:
    return {
        "graphite": Graphite("C", latticeconstant={"a": 2.461, "c": 6.708}),
        "diamond": bulk("C", "diamond", a=3.567, cubic=True),
        "lonsdaleite": crystal(
            "C", [(1 / 3, 2 / 3, 0.0625)], spacegroup=194, cellpar=[2.52, 2.52, 4.12, 90, 90, 120]
        ),
    }


def _silicon_oxygen() -> dict[str, Atoms]:
    return {
        "silicon": bulk("Si", "diamond", a=5.431, cubic=True),
        "quartz": crystal(
            ["Si", "O"],
            [(0.4697, 0, 2 / 3), (0.4135, 0.2669, 0.7858)],
            spacegroup=154,
            cellpar=[4.916, 4.916, 5.405, 90, 90, 120],
        ),
        "cristobalite": crystal(
            ["Si", "O"],
            [(0.3003, 0.3003, 0), (0.2392, 0.1044, 0.1787)],
            spacegroup=92,
            cellpar=[4.972, 4.972, 6.922, 90, 90, 90],
        ),
    }


def _lithium_cobalt_oxide() -> dict[str, Atoms]:
    return {
        "LiCoO2": crystal(
            ["Li", "Co", "O"],
            [(0, 0, 0.5), (0, 0, 0), (0, 0, 0.2605)],
            spacegroup=166,
            cellpar=[2.816, 2.816, 14.05, 90, 90, 120],
        ),
        "CoOOH": crystal(
            ["Co", "O", "O", "H"],
            [(0, 0, 0), (0, 0, 0.4051), (0, 0, 0.5949), (0, 0, 0.4801)],
            spacegroup=160,
            cellpar=[2.855, 2.855, 13.156, 90, 90, 120],
        ),
        "LiOH": crystal(
            ["Li", "O", "H"],
            [(0, 0, 0), (0, 0.5, 0.1951), (0, 0.5, 0.4075)],
            spacegroup=129,
            cellpar=[3.546, 3.546, 4.334, 90, 90, 90],
        ),
    }
