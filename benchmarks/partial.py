"""What relaxing only a part costs, and whether a mixed batch gives what its members give alone.

    python benchmarks/partial.py

1. A 1,000-atom cell of amorphous silicon with the 100 atoms nearest to its centre movable, against
   the same with all movable: `relax` from N(0, 0.1 A) on the movable atoms, float32, one core, both
   in one run, alternating, medians of three.
2. 64 structures, half of them molecules, half crystals with their cells, in one batch and one at a
   time.
"""

from __future__ import annotations

import time

import common
import numpy as np
from ase.build import bulk
from ase.collections import g2

from losiko_torch import SOAP, EnvironmentDatabase, relax

ROUNDS = 3


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def part_against_all() -> None:
    soap = SOAP(
        species=["Si"], r_cut=3.0, n_max=8, l_max=6, sigma=0.3, periodic=True, smooth_width=0.5
    )
    crystal = bulk("Si", "diamond", a=5.43, cubic=True) * 5
    rng = np.random.default_rng(0)
    references = []
    for _ in range(3):
        reference = bulk("Si", "diamond", a=5.43, cubic=True) * 3
        reference.positions += rng.normal(0, 0.03, reference.positions.shape)
        references.append(reference)
    database = EnvironmentDatabase.build(references, soap)
    centre = crystal.cell.sum(0) / 2
    nearest = np.argsort(np.linalg.norm(crystal.positions - centre, axis=1))[:100]
    part = np.zeros(len(crystal), dtype=bool)
    part[nearest] = True
    everything = np.ones(len(crystal), dtype=bool)
    print(f"{len(crystal)} atoms, {database}")
    starts = {}
    for name, mask in (("100 movable", part), ("all movable", everything)):
        start = crystal.copy()
        noise = np.random.default_rng(1).normal(0, 0.1, crystal.positions.shape)
        start.positions += noise * mask[:, None]
        starts[name] = (start, mask)
    times: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(ROUNDS):
        for name, (start, mask) in starts.items():
            found = []
            times[name].append(
                seconds(lambda s=start, m=mask, f=found: f.extend(relax(s, database, movable=m)))
            )
            result = found[0]
    for name, (start, mask) in starts.items():
        (result,) = relax(start, database, movable=mask)
        print(
            f"{name}: {np.median(times[name]):.2f} s, {result.reason}, {result.n_steps} steps, "
            f"loss {result.start_loss:.3f} -> {result.loss:.4f}"
        )
    ratio = np.median(np.array(times["100 movable"]) / np.array(times["all movable"]))
    print(f"ratio of times {ratio:.2f}")


def batch_against_singles() -> None:
    path = common.data_folder() / "mp" / "Si-O.extxyz"
    from losiko_torch import read_structures

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
    part_against_all()
    batch_against_singles()


if __name__ == "__main__":
    main()
