"""Molecules and databases small enough for tests, each made once."""

from functools import cache

import numpy as np
from ase import Atoms
from ase.collections import g2

from losiko_torch import SOAP, EnvironmentDatabase

PARAMETERS = {"species": ["H", "C", "N", "O"], "r_cut": 3.0, "n_max": 6, "l_max": 4, "sigma": 0.3}
# fmt: off
NAMES = [
    "CH4", "NH3", "H2O", "C2H6", "C2H4", "C2H2", "CH3OH", "CH3CH2OH", "CH3OCH3", "H2CO",
    "CH3CHO", "HCOOH", "CH3COOH", "CH3NO2", "HCN", "CH3CN", "C6H6", "C5H5N", "C4H4O", "C4H4NH",
    "C3H8", "isobutane", "trans-butane", "cyclobutane", "butadiene", "2-butyne", "C3H9N",
    "CH3CONH2", "CO2", "CO", "N2", "N2H4", "H2O2", "C2H6CHOH", "CH3COCH3", "HCOOCH3", "C3H6_Cs",
    "CH3CH2NH2", "O2", "H2",
]
# fmt: on


@cache
def soap(**changes) -> SOAP:
    return SOAP(**{**PARAMETERS, **changes})


@cache
def database(**changes) -> EnvironmentDatabase:
    """Forty molecules; ``changes`` are those of the descriptor."""
    return EnvironmentDatabase.build([g2[name] for name in NAMES], soap(**changes))


@cache
def water_database() -> EnvironmentDatabase:
    return EnvironmentDatabase.build([g2["H2O"]], soap())


def rattled(name: str, seed: int = 0, width: float = 0.1) -> Atoms:
    atoms = g2[name].copy()
    atoms.positions += np.random.default_rng(seed).normal(0, width, atoms.positions.shape)
    return atoms
