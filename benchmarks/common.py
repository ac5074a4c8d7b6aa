"""Code of all benchmarks: one core, QM9's molecules (``notebooks/cases``), timing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Libraries read these when they are loaded (featomic when it first works), so they come first. A
# script that is to use more cores is started with OMP_NUM_THREADS set.
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
os.environ["MKL_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]

# The notebooks' structures are the benchmarks' too.
sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))

import numpy as np
from ase import Atoms
from cases import molecules
from cases.molecules import (  # noqa: F401
    PAPER,
    REPORTING_SEED,
    SHARP,
    SPECIES,
    deviations,
    with_noise,
)

import losiko_torch
from losiko_torch import EnvironmentDatabase, Result


def data_folder() -> Path:
    """Folder of reference data, ``$LOSIKO_DATA``."""
    folder = os.environ.get("LOSIKO_DATA")
    if folder is None:
        sys.exit("set LOSIKO_DATA to the folder of reference data: see benchmarks/README.md")
    return Path(folder)


def QM9() -> molecules.QM9:
    """QM9 itself: no stand-in is measured."""
    data_folder()
    return molecules.QM9()


def relaxed(
    structures: Iterable[Atoms], database: EnvironmentDatabase, **options
) -> Iterator[Result]:
    """Yield results as they are ready where the package has `relax_iter`, else at the end."""
    relax = getattr(losiko_torch, "relax_iter", losiko_torch.relax)
    yield from relax(structures, database, **options)


@dataclass(frozen=True)
class Relaxation:
    """Relaxed molecules, and their errors.

    Attributes:
        results: Result of each molecule.
        seconds: Time of all molecules together.
        distances: RMSD of each molecule, Angstrom.
        bonds: Error of every bond, Angstrom.
    """

    results: list[Result]
    seconds: float
    distances: np.ndarray
    bonds: np.ndarray

    @property
    def converged(self) -> float:
        """Share of converged molecules."""
        return float(np.mean([result.converged for result in self.results]))

    @property
    def steps(self) -> float:
        """Median number of steps."""
        return float(np.median([result.n_steps for result in self.results]))


def relaxation(
    starts: list[Atoms], molecules: list[Atoms], database: EnvironmentDatabase, **options
) -> Relaxation:
    """Relax ``starts`` and compare them with the ``molecules`` that they should become."""
    began = time.perf_counter()
    results = losiko_torch.relax(starts, database, **options)
    took = time.perf_counter() - began
    return Relaxation(results, took, *deviations((one.atoms for one in results), molecules))


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call, seconds."""
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
