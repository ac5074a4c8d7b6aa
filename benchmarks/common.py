"""QM9 molecules for the benchmarks, and the paper's small-molecule database."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# Libraries read these when they are loaded (featomic when it first works), so they come first. A
# script that is to use more cores is started with OMP_NUM_THREADS set.
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
os.environ["MKL_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]

import numpy as np
from ase import Atoms

import losiko_torch
from losiko_torch import SOAP, EnvironmentDatabase, Result
from losiko_torch.database.environments import COMPONENTS

#: The descriptor of the embedded database, and that of the paper's QM9 case (its Table S1).
SHARP = {"r_cut": 3.0, "n_max": 8, "l_max": 6, "sigma": 0.3}
PAPER = {"r_cut": 4.0, "n_max": 6, "l_max": 6, "sigma": 0.5}
SPECIES = ["H", "C", "N", "O"]

#: Molecules on which defaults were chosen; results are reported on others.
CHOOSING_SEED, REPORTING_SEED = 77, 2026


def data_folder() -> Path:
    """``$LOSIKO_DATA``."""
    folder = os.environ.get("LOSIKO_DATA")
    if folder is None:
        sys.exit("set LOSIKO_DATA to the folder of reference data: see benchmarks/README.md")
    return Path(folder)


class QM9:
    """The molecules of ``$LOSIKO_DATA/qm9/qm9.npz``, split as the benchmarks use them."""

    def __init__(self) -> None:
        with np.load(data_folder() / "qm9" / "qm9.npz") as archive:
            self.ids, self.offsets = archive["id"], archive["offsets"]
            self.numbers, self.positions = archive["Z"], archive["R"]
        in_database = (self.ids <= 100) | (self.ids % 500 == 0)
        self.database_molecules = np.flatnonzero(in_database)
        self.others = np.flatnonzero(~in_database)

    def molecule(self, k: int) -> Atoms:
        atoms = slice(self.offsets[k], self.offsets[k + 1])
        return Atoms(self.numbers[atoms], self.positions[atoms].astype(float))

    def paper_database(
        self, components: int | None = COMPONENTS, **descriptor
    ) -> EnvironmentDatabase:
        """The first 100 ids and every 500th: 359 molecules without fluorine."""
        soap = SOAP(species=SPECIES, **descriptor)
        molecules = map(self.molecule, self.database_molecules)
        return EnvironmentDatabase.build(molecules, soap, components=components)

    def large_database(self, without: list[Atoms]) -> EnvironmentDatabase:
        """Every 35th id, some 3,650 molecules of H, C, N and O, but for those of a list."""
        left_out = {atoms.positions.tobytes() for atoms in without}
        molecules = map(self.molecule, np.flatnonzero(self.ids % 35 == 0))
        chosen = (m for m in molecules if m.positions.tobytes() not in left_out)
        return EnvironmentDatabase.build(chosen, SOAP(species=SPECIES, **SHARP))

    def choosing(self, count: int) -> list[Atoms]:
        """Molecules outside the database, for choosing parameters."""
        return [self.molecule(k) for k in self._choosing(count)]

    def reporting(self, count: int) -> list[Atoms]:
        """Molecules outside the database and outside the 1,000 first ones for choosing."""
        rest = np.setdiff1d(self.others, self._choosing(1000))
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


def relaxed(
    structures: Iterable[Atoms], database: EnvironmentDatabase, **options
) -> Iterator[Result]:
    """Results one by one: as they are ready where the package has `relax_iter`, else at the end."""
    relax = getattr(losiko_torch, "relax_iter", losiko_torch.relax)
    yield from relax(structures, database, **options)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_rounds(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds that each candidate takes in each round, after one run that does not count.

    Within a round the candidates follow each other: the machine's speed drifts, and ratios within
    a round do not see that.
    """
    for work in candidates.values():
        work()
    took: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, work in candidates.items():
            took[name].append(seconds(work))
    return {name: np.array(values) for name, values in took.items()}


def one_core() -> None:
    """Let torch, and the libraries below it, use a single core."""
    import torch

    torch.set_num_threads(1)
    try:
        import faiss

        faiss.omp_set_num_threads(1)
    except ImportError:
        print("faiss is not installed: torch searches the references")
