"""Effect of annealed noise on starts that hardly resemble their molecule.

    python benchmarks/noise.py

Ammonia, water and methanol of ASE's g2 set with N(0, w) on every coordinate, 20 starts each; the
built-in database, `nearest`, L-BFGS, float64, 300 steps after the noise.
"""

from __future__ import annotations

import common
import numpy as np
from ase.build import molecule

from losiko_torch import default_database, relax

MOLECULES = {"NH3": 0.6, "H2O": 0.8, "CH3OH": 0.5}
NOISES = (None, (0.2, 0.05), (0.04, 0.1), (0.04, 0.3, 10), (0.1, 0.3, 10), (0.1, 0.5, 20))
#: Loss above the lowest one, up to which a molecule counts as found.
FOUND = 0.01


def main() -> None:
    common.one_core()
    database = default_database()
    print("| molecule | w (A) | noise | median loss | loss within 0.01 of the best | steps |")
    print("|---|---|---|---|---|---|")
    for name, width in MOLECULES.items():
        options = {"targets": "nearest", "dtype": "float64", "max_steps": 300}
        (best,) = relax(molecule(name), database, **options)
        starts = common.with_noise([molecule(name)] * 20, width, seed=1)
        for noise in NOISES:
            results = relax(starts, database, noise=noise, **options)
            losses = np.array([result.loss for result in results])
            steps = np.median([result.n_steps for result in results])
            found = (losses < best.loss + FOUND).sum()
            print(
                f"| {name} | {width} | {noise or 'none'} | {np.nanmedian(losses):.3f} "
                f"| {found} of 20 | {steps:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
