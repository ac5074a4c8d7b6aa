"""QM9's molecules, the paper's database of them, and a split into choosing and reporting."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms

from cases.data import qm9_arrays
from cases.size import sized
from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.database.components import COMPONENTS
from losiko_torch.systems.geometry import bond_errors, rmsd

#: The descriptor of the built-in database, and that of the paper's QM9 case (its Table S1).
SHARP = {"r_cut": 3.0, "n_max": sized(8, 4), "l_max": sized(6, 3), "sigma": 0.3}
PAPER = {"r_cut": 4.0, "n_max": 6, "l_max": 6, "sigma": 0.5}
SPECIES = ["H", "C", "N", "O"]

#: Molecules on which defaults were chosen; results are reported on others.
CHOOSING_SEED, REPORTING_SEED = 77, 2026


class QM9:
    """QM9's molecules of H, C, N and O, split as the benchmarks use them."""

    def __init__(self) -> None:
        arrays = qm9_arrays()
        self.ids, self.offsets = arrays["id"], arrays["offsets"]
        self.numbers, self.positions = arrays["Z"], arrays["R"]
        in_database = (self.ids <= 100) | (self.ids % 500 == 0)
        self.database_molecules = np.flatnonzero(in_database)
        self.others = np.flatnonzero(~in_database)

    def molecule(self, k: int) -> Atoms:
        """Molecule k, with QM9's own number in ``info["id"]``."""
        atoms = slice(self.offsets[k], self.offsets[k + 1])
        positions = self.positions[atoms].astype(float)
        return Atoms(self.numbers[atoms], positions, info={"id": int(self.ids[k])})

    def paper_database(
        self, components: int | None = COMPONENTS, **descriptor
    ) -> EnvironmentDatabase:
        """Database of the first 100 ids and every 500th: 359 molecules without fluorine."""
        soap = SOAP(species=SPECIES, **descriptor)
        molecules = map(self.molecule, self.database_molecules)
        return EnvironmentDatabase.build(molecules, soap, components=components)

    def large_database(self, without: list[Atoms]) -> EnvironmentDatabase:
        """Database of every 35th id, some 3,650 molecules of H, C, N, O, but for those listed."""
        chosen = np.setdiff1d(np.flatnonzero(self.ids % 35 == 0), self._places(without))
        return EnvironmentDatabase.build(map(self.molecule, chosen), SOAP(species=SPECIES, **SHARP))

    def spaced(self, count: int, without: list[Atoms]) -> list[Atoms]:
        """Molecules evenly spaced over QM9's order, ``count`` of them, but for those listed."""
        rest = np.setdiff1d(np.arange(len(self.ids)), self._places(without))
        places = np.linspace(0, len(rest) - 1, min(count, len(rest))).astype(int)
        return [self.molecule(k) for k in rest[places]]

    def _places(self, molecules: list[Atoms]) -> np.ndarray:
        return np.flatnonzero(np.isin(self.ids, [atoms.info["id"] for atoms in molecules]))

    def choosing(self, count: int) -> list[Atoms]:
        """Molecules outside the database, for choosing parameters."""
        return [self.molecule(k) for k in self._choosing(count)]

    def reporting(self, count: int) -> list[Atoms]:
        """Molecules outside the database and not among the first 1,000 for choosing."""
        rest = np.setdiff1d(self.others, self._choosing(min(1000, len(self.others) // 2)))
        count = min(count, len(rest))
        chosen = np.random.default_rng(REPORTING_SEED).choice(rest, count, replace=False)
        return [self.molecule(k) for k in chosen]

    def _choosing(self, count: int) -> np.ndarray:
        return np.random.default_rng(CHOOSING_SEED).permutation(self.others)[:count]


def with_noise(molecules: list[Atoms], noise: float, seed: int = 0) -> list[Atoms]:
    """Copies with N(0, noise) Angstrom added to every coordinate."""
    rng = np.random.default_rng(seed)
    copies = [atoms.copy() for atoms in molecules]
    for atoms in copies:
        atoms.positions += rng.normal(0, 1, atoms.positions.shape) * noise
    return copies


def deviations(relaxed: Iterable[Atoms], molecules: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """RMSD of each molecule after superposition, and the error of every bond, Angstrom."""
    pairs = list(zip(relaxed, molecules, strict=True))
    bonds = np.concatenate([bond_errors(*pair) for pair in pairs])
    return np.array([rmsd(*pair) for pair in pairs]), bonds
