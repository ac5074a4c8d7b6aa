"""Nelder-Mead against L-BFGS on the same loss from the same start.

    python benchmarks/nelder_mead.py

Five small molecules of ASE's g2 set with N(0, 0.1 A) noise on every coordinate, the built-in
database, `nearest` targets (the paper's) and `locally-linear`.
"""

from __future__ import annotations

import time

import common
from ase.build import molecule

from losiko_torch import default_database, relax

MOLECULES = ["H2O", "NH3", "CH3OH", "HCOOH", "CH3CHO"]


def main() -> None:
    common.one_core()
    database = default_database()
    starts = common.with_noise([molecule(name) for name in MOLECULES], 0.1, seed=5)
    print(
        "| molecule | targets | optimizer | evaluations | seconds | loss at start | final loss "
        "| reason |\n|---|---|---|---|---|---|---|---|"
    )
    for targets in ("nearest", "locally-linear"):
        for name, start in zip(MOLECULES, starts, strict=True):
            for optimizer, options in (
                ("lbfgs", {"fmax": 0.02}),
                ("lbfgs", {"fmax": 0.001}),
                ("nelder-mead", {"max_steps": 20_000}),
            ):
                began = time.perf_counter()
                (result,) = relax(
                    start,
                    database,
                    optimizer=optimizer,
                    targets=targets,
                    dtype="float64",
                    **options,
                )
                seconds = time.perf_counter() - began
                label = optimizer + (f", fmax {options['fmax']}" if "fmax" in options else "")
                print(
                    f"| {name} | {targets} | {label} | {result.n_steps} | {seconds:.2f} "
                    f"| {result.start_loss:.5f} | {result.loss:.6f} | {result.reason} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
