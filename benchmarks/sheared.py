"""Sheared crystals relaxed against a database that holds them: do their cells come back?

    python benchmarks/sheared.py [--polymorphs] [--targets nearest] [--fmax F] [--reg RHO]

Each crystal is sheared by 3 % in three directions (stretched along x and compressed along y; the xy
plane sheared; a random symmetric strain without change of volume whose largest stretch is 3 %), its
atoms shaken by N(0, 0.05 A), with five seeds each: positions and cell are relaxed with the defaults
of `losiko build` and `losiko relax`, against a database of the crystal alone or, with
`--polymorphs`, of it and other phases of its elements. Printed are the shares of cells whose
largest principal strain against the original, which bounds the error of all lengths and angles, is
within 0.3 and 0.5 %.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import common
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from crystals import distance

from losiko_torch import SOAP, EnvironmentDatabase, relax
from losiko_torch.cli.build import PERIODIC

STRAIN, NOISE, SEEDS = 0.03, 0.05, 5


def phases(symbol: str, volume: float) -> list[Atoms]:
    """Return other simple phases of an element with a volume (A^3) an atom."""
    edges = {"fcc": 4.0, "bcc": 2.0, "sc": 1.0, "diamond": 8.0}
    return [
        bulk(symbol, structure, a=(count * volume) ** (1 / 3), cubic=True)
        for structure, count in edges.items()
    ]


def perovskite(a: float) -> Atoms:
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)]
    return crystal(["Sr", "Ti", "O"], places, spacegroup=221, cellpar=[a] * 3 + [90] * 3)


def crystals() -> dict[str, tuple[Atoms, list[Atoms]]]:
    """Return crystals with other phases of their elements."""
    rutile = crystal(
        ["Ti", "O"],
        [(0, 0, 0), (0.305, 0.305, 0)],
        spacegroup=136,
        cellpar=[4.594, 4.594, 2.959, 90, 90, 90],
    )
    return {
        "Cu fcc": (bulk("Cu", "fcc", a=3.61, cubic=True), phases("Cu", 11.8)[1:]),
        "Cu primitive": (bulk("Cu", "fcc", a=3.61), phases("Cu", 11.8)[1:]),
        "Al fcc": (bulk("Al", "fcc", a=4.05, cubic=True), phases("Al", 16.6)[1:]),
        "Fe bcc": (bulk("Fe", "bcc", a=2.87, cubic=True), [phases("Fe", 11.8)[0]]),
        "W bcc": (bulk("W", "bcc", a=3.165, cubic=True), phases("W", 15.9)[:1]),
        "Mg hcp": (bulk("Mg", "hcp", a=3.21, c=5.21), phases("Mg", 23.2)),
        "Si diamond": (bulk("Si", "diamond", a=5.43, cubic=True), phases("Si", 15.0)[:3]),
        "C diamond": (bulk("C", "diamond", a=3.567, cubic=True), phases("C", 5.5)[:3]),
        "NaCl": (
            bulk("NaCl", "rocksalt", a=5.64, cubic=True),
            [bulk("NaCl", "cesiumchloride", a=3.4), bulk("NaCl", "zincblende", a=6.1)],
        ),
        "CsCl": (
            bulk("CsCl", "cesiumchloride", a=4.12),
            [bulk("CsCl", "rocksalt", a=7.0), bulk("CsCl", "zincblende", a=7.5)],
        ),
        "GaAs": (
            bulk("GaAs", "zincblende", a=5.65, cubic=True),
            [bulk("GaAs", "rocksalt", a=5.3), bulk("GaAs", "wurtzite", a=4.0, c=6.5)],
        ),
        "SrTiO3": (perovskite(3.905), [perovskite(4.05), bulk("TiO", "rocksalt", a=4.2)]),
        "TiO2 rutile": (rutile, [bulk("TiO", "rocksalt", a=4.2)]),
    }


def shears(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield strains: two of single components, and a random one."""
    yield STRAIN * np.diag([1.0, -1.0, 0.0])
    yield STRAIN * np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    strain = rng.normal(size=(3, 3))
    strain = (strain + strain.T) / 2 - np.trace(strain) / 3 * np.eye(3)
    yield STRAIN * strain / np.abs(np.linalg.eigvalsh(strain)).max()


def sheared(atoms: Atoms) -> Iterator[Atoms]:
    """Yield copies of a crystal, sheared and shaken."""
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        for strain in shears(rng):
            copy = atoms.copy()
            copy.set_cell(copy.cell @ (np.eye(3) + strain), scale_atoms=True)
            copy.positions += rng.normal(0, NOISE, copy.positions.shape)
            yield copy


def largest_strain(atoms: Atoms, reference: Atoms) -> float:
    """Largest principal strain of a cell, whichever way it is turned."""
    deformation = np.linalg.solve(reference.cell.array, atoms.cell.array)
    return float(np.abs(np.linalg.svd(deformation, compute_uv=False) - 1).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--polymorphs", action="store_true")
    parser.add_argument("--targets", default="locally-linear")
    parser.add_argument("--fmax", type=float, default=None)
    parser.add_argument("--reg", type=float, default=None)
    parser.add_argument("--only", default="", help="crystals whose name begins so")
    arguments = parser.parse_args()
    common.one_core()
    print(vars(arguments))
    print(
        f"{'':14s} {'0.3 %':>6s} {'0.5 %':>6s} {'median':>7s} {'worst':>7s} {'RMSD':>7s} ", end=""
    )
    print("largest  steps  converged  s each")
    everything, seconds = [], []
    for name, (atoms, others) in crystals().items():
        if not name.startswith(arguments.only):
            continue
        known = [atoms, *others] if arguments.polymorphs else [atoms]
        species = sorted({symbol for each in known for symbol in each.symbols})
        soap = SOAP(species=species, n_max=8, l_max=6, periodic=True, **PERIODIC)
        database = EnvironmentDatabase.build(known, soap)
        starts = list(sheared(atoms))
        began = time.perf_counter()
        options = {"targets": arguments.targets, "fmax": arguments.fmax, "reg": arguments.reg}
        results = relax(starts, database, cell=True, **options)
        took = (time.perf_counter() - began) / len(starts)
        rows = [
            (
                largest_strain(result.atoms, atoms),
                distance(result.atoms, atoms),
                result.n_steps,
                result.converged,
            )
            for result in results
        ]
        everything += rows
        seconds.append(took)
        report(name, rows, took)
    report("all", everything, float(np.mean(seconds)))


def report(name: str, rows: list, took: float) -> None:
    strains, distances, steps, converged = np.array(rows).T
    print(
        f"{name:14s} {np.mean(strains < 0.003):6.0%} {np.mean(strains < 0.005):6.0%} "
        f"{np.median(strains):7.2%} {strains.max():7.2%} {np.median(distances):7.4f} "
        f"{distances.max():7.4f} {np.median(steps):6.0f} {np.mean(converged):10.0%} {took:7.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
