"""Carbon led to a density: `relax` with the term `Density` against ASE's SumCalculator.

    python benchmarks/density.py [--starts 300] [--alone 30] [--target 2.8]

Random carbon cells (the case's), relaxed once against the graphite database, are led to a target
density, positions and cells together, with `targets="nearest"`: all of them by one call of `relax`
with `terms=[Density(target, 10)]` (float32, L-BFGS, at most 300 steps, fmax 0.01); the first of
them (`--alone`) one at a time by ASE's FIRE on FrechetCellFilter, fmax 0.01, at most 300 steps, on
the sum of `LosikoCalculator` (float64 and float32) and a penalty calculator. One core, one process.

Printed are the milliseconds a structure, their ratio, the densities reached (mean, and the mean and
largest difference from those of `relax`, structure by structure), and the final sum of loss and
penalty, which says which of two minima is the lower one.
"""

from __future__ import annotations

import argparse
import time

import common
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.mixing import SumCalculator
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from cases import carbon
from cases.polymorphs import descriptor, known_carbon, named

from losiko_torch import Density, EnvironmentDatabase, LosikoCalculator, relax, score

STEPS, FMAX = 300, 0.01


class DensityPenalty(Calculator):
    """ASE calculator of k (rho - target)^2, in the units of the loss; it acts on the cell alone."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, target: float, stiffness: float) -> None:
        super().__init__()
        self.target, self.stiffness = target, stiffness

    def calculate(
        self, atoms: Atoms, properties: list[str], system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        rho = carbon.density(atoms)
        energy = self.stiffness * (rho - self.target) ** 2
        # A strain e changes the volume by trace(e), the density by -rho trace(e).
        pressure = 2 * self.stiffness * (rho - self.target) * rho / atoms.get_volume()
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": np.zeros((len(atoms), 3)),
            "stress": np.array([-pressure] * 3 + [0.0] * 3),
        }


def alone(
    start: Atoms, database: EnvironmentDatabase, target: float, dtype: str
) -> tuple[Atoms, int]:
    """Return a structure led to the density by ASE, and the number of its steps."""
    atoms = start.copy()
    loss = LosikoCalculator(database, targets="nearest", dtype=dtype)
    atoms.calc = SumCalculator([loss, DensityPenalty(target, carbon.STIFFNESS)])
    optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
    optimizer.run(fmax=FMAX, steps=STEPS)
    atoms.calc = None
    return atoms, optimizer.nsteps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--starts", type=int, default=carbon.STARTS)
    parser.add_argument("--alone", type=int, default=30)
    parser.add_argument("--target", type=float, default=2.8)
    arguments = parser.parse_args()
    common.one_core()
    database = EnvironmentDatabase.build([named(known_carbon(), "graphite")], descriptor())
    cells = carbon.random_cells(arguments.starts)
    first = relax(cells, database, cell=True, targets="nearest")
    starts, term = [each.atoms for each in first], Density(arguments.target, carbon.STIFFNESS)

    def led(some: list[Atoms]):
        return relax(
            some,
            database,
            targets="nearest",
            cell=True,
            terms=[term],
            fmax=FMAX,
            max_steps=STEPS,
        )

    led(starts[:3])
    began = time.perf_counter()
    results = led(starts)
    batch = 1000 * (time.perf_counter() - began) / len(starts)
    reached = np.array([carbon.density(each.atoms) for each in results])
    losses = np.array([each.loss for each in results])
    steps = np.median([each.n_steps for each in results])
    converged = np.mean([each.converged for each in results])
    before = np.mean([carbon.density(atoms) for atoms in starts])
    print(
        f"target {arguments.target} g/cm3; before {before:.2f}\n"
        f"relax, {len(starts)} in a call: {batch:.1f} ms a structure, density "
        f"{reached.mean():.3f} ({reached.min():.2f} to {reached.max():.2f}), loss "
        f"{losses.mean():.3f}, median {steps:.0f} steps, {converged:.0%} converged"
    )
    count = min(arguments.alone, len(starts))
    for dtype in ("float64", "float32"):
        alone(starts[0], database, arguments.target, dtype)
        began = time.perf_counter()
        moved = [alone(start, database, arguments.target, dtype) for start in starts[:count]]
        each = 1000 * (time.perf_counter() - began) / count
        densities = np.array([carbon.density(atoms) for atoms, _ in moved])
        apart = np.abs(densities - reached[:count])
        judged = score([atoms for atoms, _ in moved], database, targets="nearest", terms=[term])
        print(
            f"ASE, {dtype}, {count} one at a time: {each:.1f} ms a structure, "
            f"{each / batch:.1f} times as long; density {densities.mean():.3f}, apart "
            f"{apart.mean():.3f} on average, {apart.max():.3f} at most; loss "
            f"{np.mean([one.loss for one in judged]):.3f} against {losses[:count].mean():.3f}; "
            f"median {np.median([n for _, n in moved]):.0f} steps"
        )


if __name__ == "__main__":
    main()
