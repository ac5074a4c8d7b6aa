"""Cost of relaxing a part of a structure, and a mixed batch against its members one by one.

    python benchmarks/partial.py

1. Cells of 1,000 atoms of which 100 may move, against the same with all movable: the top layer of a
   slab of aluminium of ten layers, and a ball of atoms within silicon. `relax` from N(0, 0.1 A) on
   the movable atoms, float32, one core, both in one run, alternating, medians of three.
2. 64 structures, half of them molecules, half crystals with their cells, in one batch and one at a
   time.
"""

from __future__ import annotations

import time

import common
import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111
from ase.collections import g2

from losiko_torch import SOAP, EnvironmentDatabase, read_structures, relax

ROUNDS = 3


def part_against_all(name: str, atoms: Atoms, part: np.ndarray, reference: Atoms) -> None:
    soap = SOAP(
        species=sorted(set(atoms.symbols)),
        r_cut=3.0,
        n_max=8,
        l_max=6,
        sigma=0.3,
        periodic=True,
        smooth_width=0.5,
    )
    rng = np.random.default_rng(0)
    references = [reference.copy() for _ in range(3)]
    for copy in references:
        copy.positions += rng.normal(0, 0.03, copy.positions.shape)
    database = EnvironmentDatabase.build(references, soap)
    noise = np.random.default_rng(1).normal(0, 0.1, atoms.positions.shape)
    masks = {"part": part, "all": np.ones(len(atoms), dtype=bool)}
    times: dict[str, list[float]] = {which: [] for which in masks}
    found = {}
    for _ in range(ROUNDS):
        for which, mask in masks.items():
            start = atoms.copy()
            start.positions += noise * mask[:, None]
            began = time.perf_counter()
            (found[which],) = relax(start, database, movable=mask)
            times[which].append(time.perf_counter() - began)
    ratios = np.array(times["part"]) / np.array(times["all"])
    told = ", ".join(
        f"{which} movable {np.median(times[which]):.2f} s ({result.n_steps} steps, {result.reason})"
        for which, result in found.items()
    )
    print(f"{name}, {part.sum()} of {len(atoms)} atoms: {told}; ratio {np.median(ratios):.2f}")


def top_of_a_slab() -> None:
    slab = fcc111("Al", (10, 10, 10), a=4.05, vacuum=8.0)
    reference = fcc111("Al", (4, 4, 8), a=4.05, vacuum=8.0)
    slab.pbc = reference.pbc = True
    top = slab.positions[:, 2] > slab.positions[:, 2].max() - 0.5
    part_against_all("top layer of Al(111)", slab, top, reference)


def ball_in_a_solid() -> None:
    solid = bulk("Si", "diamond", a=5.43, cubic=True) * 5
    away = np.linalg.norm(solid.positions - solid.cell.sum(0) / 2, axis=1)
    ball = np.zeros(len(solid), dtype=bool)
    ball[np.argsort(away)[:100]] = True
    reference = bulk("Si", "diamond", a=5.43, cubic=True) * 3
    part_against_all("ball within Si", solid, ball, reference)


def batch_against_singles() -> None:
    path = common.data_folder() / "mp" / "Si-O.extxyz"
    crystals = [
        atoms
        for atoms in read_structures(path)
        if atoms.info.get("e_above_hull", np.inf) <= 0.1 and len(atoms) <= 24
    ][:32]
    molecules = [g2[name] for name in g2.names if set(g2[name].symbols) <= {"H", "C", "O"}][:32]
    soap = SOAP(
        species=["H", "C", "O", "Si"],
        r_cut=3.0,
        n_max=8,
        l_max=6,
        sigma=0.3,
        periodic=True,
        smooth_width=0.5,
    )
    database = EnvironmentDatabase.build([*crystals, *molecules], soap)
    rng = np.random.default_rng(0)
    starts = [atoms.copy() for pair in zip(crystals, molecules, strict=True) for atoms in pair]
    for atoms in starts:
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
    options = {"cell": True, "dtype": "float64", "targets": "nearest"}
    relax(starts[:2], database, **options)
    began = time.perf_counter()
    together = relax(starts, database, **options)
    middle = time.perf_counter()
    alone = [relax(atoms, database, **options)[0] for atoms in starts]
    end = time.perf_counter()
    farthest = max(
        max(
            np.abs(one.atoms.positions - other.atoms.positions).max(),
            np.abs(one.atoms.cell.array - other.atoms.cell.array).max(),
        )
        for one, other in zip(together, alone, strict=True)
    )
    print(
        f"{len(starts)} structures, {sum(map(len, starts))} atoms: in one batch "
        f"{middle - began:.1f} s, one at a time {end - middle:.1f} s; largest difference of a "
        f"position or cell vector {farthest:.1e} A; steps alike: "
        f"{all(o.n_steps == a.n_steps for o, a in zip(together, alone, strict=True))}"
    )


def main() -> None:
    common.one_core()
    top_of_a_slab()
    ball_in_a_solid()
    batch_against_singles()


if __name__ == "__main__":
    main()
