"""Learned targets: time to fit, accuracy of QM9's molecules, and what the expected error is worth.

    python benchmarks/learned.py 359|3800|38000|NAME [--molecules 200] [--steps N] [--keep FILE]

Databases: the paper's 359 molecules; every 35th id of QM9; 38,000 random ones; a built-in one, by
its name. Molecules for reporting are in none of them, and took no part in any choice. Starts: the
DFT geometry, N(0, 0.1 A) and N(0, 0.2 A) on every coordinate, RDKit's MMFF94 geometry of the same
conformer (relaxed from the DFT geometry, with bonds perceived from it). Printed for `learned` with
the default `fmax` and a tenth of it, and for `locally-linear` with the same database: RMSD after
superposition, bonds, evaluations, processor time, and the rank correlation of expected and true
RMSD. `--keep` saves the fitted database, and takes it from there if it is there.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import common
import numpy as np
from ase import Atoms
from cases.energies import ForceField
from scipy.stats import spearmanr

from losiko_torch import SOAP, EnvironmentDatabase, relax
from losiko_torch.database.builtin import builtin_database, builtin_names
from losiko_torch.database.defaults import LEARNED_FMAX

HEADER = (
    "| start | targets, fmax | molecules | start RMSD (A) | mean RMSD | median | 95th percentile "
    "| bonds | evaluations | ms | expected RMSD | rank correlation |\n" + "|---" * 12 + "|"
)


def database_of(qm9, size: str, without: list[Atoms]) -> EnvironmentDatabase:
    """Database without learned targets, or a built-in one."""
    if size in builtin_names():
        return builtin_database(size)
    if size == "359":
        return qm9.paper_database(**common.SHARP)
    if size == "3800":
        return qm9.large_database(without)
    rest = np.setdiff1d(np.arange(len(qm9.ids)), qm9._places(without))
    chosen = np.sort(np.random.default_rng(5).choice(rest, int(size), replace=False))
    soap = SOAP(species=common.SPECIES, **common.SHARP)
    return EnvironmentDatabase.build(map(qm9.molecule, chosen), soap)


def row(name: str, starts: list[Atoms], molecules: list[Atoms], database, targets, fmax) -> str:
    began = time.process_time()
    results = relax(starts, database, targets=targets, fmax=fmax)
    took = (time.process_time() - began) / len(starts)
    found, bonds = common.deviations((one.atoms for one in results), molecules)
    before, _ = common.deviations(starts, molecules)
    expected = "- | -"
    if results[0].expected_rmsd is not None:
        told = np.array([one.expected_rmsd for one in results])
        expected = f"{told.mean():.3f} | {spearmanr(told, found).statistic:.2f}"
    return (
        f"| {name} | {targets}, {'default' if fmax is None else fmax} | {len(starts)} "
        f"| {before.mean():.3f} | {found.mean():.4f} | {np.median(found):.4f} "
        f"| {np.quantile(found, 0.95):.3f} | {bonds.mean():.4f} "
        f"| {np.median([one.n_steps for one in results]):.0f} | {1000 * took:.1f} | {expected} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("size", choices=("359", "3800", "38000", *builtin_names()))
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--steps", type=int, help="steps of the fit")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    common.one_core()
    qm9 = common.QM9()
    molecules = qm9.reporting(arguments.molecules)
    kept = arguments.keep
    if kept is not None and kept.exists():
        database = EnvironmentDatabase.load(kept)
    else:
        database = database_of(qm9, arguments.size, molecules)
        if database.learned is None:
            began, used = time.perf_counter(), time.process_time()
            database = database.fit(seed=0, steps=arguments.steps)
            wall, processor = time.perf_counter() - began, time.process_time() - used
            print(f"fitted in {wall / 60:.1f} min, {processor / 60:.1f} min of processor time")
        if kept is not None:
            database.save(kept)
    assert database.learned is not None
    info = {key: each for key, each in database.learned.info.items() if key != "calibration"}
    print(f"{database}\n{info}\n\n{HEADER}")
    field = ForceField(molecules)
    usable = np.flatnonzero(field.usable)
    truth = [molecules[k] for k in usable]
    mmff = [one.atoms for one in field.run(truth)]
    cases = {
        "DFT geometry": (molecules, molecules),
        "N(0, 0.1 A)": (common.with_noise(molecules, 0.1), molecules),
        "N(0, 0.2 A)": (common.with_noise(molecules, 0.2), molecules),
        "MMFF94": (mmff, truth),
    }
    for name, (starts, good) in cases.items():
        for targets, fmax in (
            ("learned", None),
            ("learned", LEARNED_FMAX / 10),
            ("locally-linear", None),
        ):
            print(row(name, starts, good, database, targets, fmax), flush=True)


if __name__ == "__main__":
    main()
