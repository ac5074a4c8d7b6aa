"""The paper's way of relaxing against ours: DScribe, an exhaustive search and Nelder-Mead.

    python benchmarks/dscribe_nelder_mead.py [--limit 300] [--evaluations 20000] [--batch 200]

Three QM9 molecules (of 10, 12 and 15 atoms) from N(0, 0.1 A) on every coordinate, the paper's
descriptor (r_cut 4, n 6, l 6, sigma 0.5) and its 359 molecules. Nelder-Mead is SciPy's, on a loss
of DScribe's `create` and NumPy: the sum over atoms of the squared distance of unit vectors to the
nearest of all references of the element. Its first simplex steps 0.05 A along each coordinate
(--adaptive: with SciPy's parameters for many dimensions). Ours is `relax(..., targets="nearest",
dtype="float32")`, L-BFGS, with the same descriptor and molecules; the time is that of the whole
call, after another call that does not count. All losses in the table are those of the DScribe
function, in float64, at the structures found.

The loss to reach is 1.05 times the one that L-BFGS ends with (and 1.01 and 1.001 times, in further
rows). "seconds" of Nelder-Mead are those until it is first reached; where it is not within
--evaluations or --limit seconds, they are those until Nelder-Mead stopped, and the ratio is a lower
bound, marked >. The last column is the ratio to the time a molecule takes when --batch molecules
are relaxed in one call, which is what users get.
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from dataclasses import dataclass, field

import common
import numpy as np
from ase import Atoms
from dscribe.descriptors import SOAP as DScribeSOAP
from scipy.optimize import minimize

from losiko_torch import relax

SIZES = (10, 12, 15)
NOISE, FIRST_STEP = 0.1, 0.05
MARGINS = (1.05, 1.01, 1.001)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class PaperLoss:
    """Sum of squared distances to the nearest references, by DScribe and NumPy."""

    def __init__(self, molecules: list[Atoms]) -> None:
        self.soap = DScribeSOAP(species=common.SPECIES, **common.PAPER)
        vectors = unit(np.concatenate([self.soap.create(atoms) for atoms in molecules]))
        numbers = np.concatenate([atoms.numbers for atoms in molecules])
        self.references = {z: vectors[numbers == z] for z in np.unique(numbers)}

    def __call__(self, atoms: Atoms) -> float:
        p = unit(self.soap.create(atoms))
        loss = 0.0
        for number in np.unique(atoms.numbers):
            cosines = p[atoms.numbers == number] @ self.references[number].T
            loss += (2 - 2 * cosines.max(axis=1)).sum()
        return float(loss)


class Enough(Exception):
    """Nelder-Mead has reached all losses, or has used up its evaluations or seconds."""


@dataclass
class Watched:
    """Loss of coordinates that records when it first reaches each of its goals.

    A call raises ``Enough`` after the last goal, or beyond ``evaluations`` or ``limit`` seconds.
    ``reached`` holds evaluations and seconds of the goals so far.
    """

    loss: PaperLoss
    start: Atoms
    goals: list[float]
    evaluations: int
    limit: float
    count: int = 0
    best: float = np.inf
    reached: list[tuple[int, float]] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def __call__(self, coordinates: np.ndarray) -> float:
        value = self.loss(Atoms(self.start.numbers, coordinates.reshape(-1, 3)))
        self.count += 1
        self.best = min(self.best, value)
        seconds = time.perf_counter() - self.began
        while len(self.reached) < len(self.goals) and self.best <= self.goals[len(self.reached)]:
            self.reached.append((self.count, seconds))
        if len(self.reached) == len(self.goals):
            raise Enough
        if self.count >= self.evaluations or seconds > self.limit:
            raise Enough
        return value


def nelder_mead(watched: Watched, adaptive: bool) -> float:
    """Run Nelder-Mead until it stops and return the seconds."""
    x = watched.start.positions.ravel()
    simplex = np.vstack([x, x + FIRST_STEP * np.eye(len(x))])
    options = {
        "initial_simplex": simplex,
        "adaptive": adaptive,
        "maxfev": watched.evaluations,
        "maxiter": watched.evaluations,
        "xatol": 1e-6,
        "fatol": 1e-9,
    }
    watched.began = time.perf_counter()
    with suppress(Enough):
        minimize(watched, x, method="Nelder-Mead", options=options)
    return time.perf_counter() - watched.began


def of_size(molecules: list[Atoms], size: int) -> int:
    """Index of the first molecule with ``size`` atoms."""
    return next(k for k, atoms in enumerate(molecules) if len(atoms) == size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=float, default=300, help="seconds for each Nelder-Mead")
    parser.add_argument("--evaluations", type=int, default=20_000, help="for each Nelder-Mead")
    parser.add_argument("--batch", type=int, default=200, help="molecules relaxed in one call")
    parser.add_argument("--adaptive", action="store_true")
    arguments = parser.parse_args()
    common.one_core()
    qm9 = common.QM9()
    database = qm9.paper_database(**common.PAPER)
    loss = PaperLoss(list(map(qm9.molecule, qm9.database_molecules)))
    candidates = qm9.reporting(1000)
    chosen = [candidates[of_size(candidates, size)] for size in SIZES]
    starts = common.with_noise(chosen, NOISE)
    options = {"targets": "nearest", "dtype": "float32"}

    relax(starts[0], database, **options)
    batch = common.with_noise(candidates[: arguments.batch], NOISE)
    in_batch = common.seconds(lambda: relax(batch, database, **options)) / len(batch)
    print(
        f"{database}\nL-BFGS in one call on {len(batch)} molecules: {in_batch:.3f} s a molecule\n"
    )
    print(
        "| molecule | atoms | loss at start | L-BFGS: loss | evaluations | seconds "
        "| Nelder-Mead: loss to reach | evaluations | seconds | ratio | ratio to the batch "
        "| its best loss |\n" + "|---" * 12 + "|"
    )
    for start in starts:
        began = time.perf_counter()
        (result,) = relax(start, database, **options)
        ours = time.perf_counter() - began
        reached = loss(result.atoms)
        goals = [margin * reached for margin in MARGINS]
        watched = Watched(loss, start, goals, arguments.evaluations, arguments.limit)
        stopped = nelder_mead(watched, arguments.adaptive)
        for number, goal in enumerate(goals):
            found = number < len(watched.reached)
            count, theirs = watched.reached[number] if found else (watched.count, stopped)
            bound = "" if found else "> "
            print(
                f"| {start.get_chemical_formula()} | {len(start)} | {loss(start):.5f} "
                f"| {reached:.6f} | {result.n_steps} | {ours:.2f} "
                f"| {goal:.6f} | {bound}{count} | {bound}{theirs:.1f} "
                f"| {bound}{theirs / ours:.0f} | {bound}{theirs / in_batch:.0f} "
                f"| {watched.best:.6f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
