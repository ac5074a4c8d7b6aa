"""Features and derivatives beside DScribe's: ``python benchmarks/create.py [--quick]``.

DScribe and LOSIKO-torch take turns; times are of the processor, medians of the rounds, after one
round that does not count. A ratio is DScribe's time over ours, the median of the rounds' ratios.
DScribe's derivatives are by its method "auto", which takes the fastest that it has: analytical ones
of molecules, central differences of crystals.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from common import one_core
from dscribe.descriptors import SOAP as DScribe
from gradient_speed import (
    SoapPowerSpectrum,
    dense_features,
    featomic_calculator,
    systems_to_torch,
)

from losiko_torch import SOAP, Batch

BASIS = {"r_cut": 4.0, "n_max": 6, "l_max": 6}
ORGANIC = ["H", "C", "O"]


def cristobalite() -> Atoms:
    """2,016 atoms of SiO2: oxygen between silicon atoms at diamond's places, moved by 0.05 A."""
    cell = bulk("Si", cubic=True, a=7.16)
    first, vectors = neighbor_list("iD", cell, 3.3)
    # Each bond is listed from both ends; those that point up are taken.
    once = vectors[:, 2] > 0
    cell += Atoms(f"O{once.sum()}", cell.positions[first[once]] + vectors[once] / 2)
    atoms = cell * (3, 4, 7)
    atoms.rattle(0.05, seed=0)
    return atoms


def both(species: list[str], periodic: bool, **options) -> tuple[SOAP, DScribe]:
    parameters = {**BASIS, "species": species, "periodic": periodic, **options}
    return SOAP(**parameters), DScribe(**parameters)


def process_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def turns(ours: Callable, theirs: Callable, rounds: int) -> np.ndarray:
    """Seconds of ours and theirs, shape (2, rounds)."""
    for work in (ours, theirs):
        work()
    took = [[process_seconds(work) for work in (ours, theirs)] for _ in range(rounds)]
    return np.array(took).T


def row(name: str, ours: Callable, theirs: Callable, rounds: int) -> float:
    took = turns(ours, theirs, rounds)
    ratio = float(np.median(took[1] / took[0]))
    here, there = np.median(took, 1) * 1e3
    print(f"| {name} | {here:.2f} | {there:.2f} | {ratio:.1f} |", flush=True)
    return ratio


def create_rows(scale: int) -> list[float]:
    ethanol, silicon = molecule("CH3CH2OH"), bulk("Si", cubic=True) * (5, 5, 5)
    glass = cristobalite()
    many = [ethanol.copy() for _ in range(200)]
    crystal = partial(both, ["Si"], True)
    organic = partial(both, ORGANIC, False)
    average = [f"{average} average" for average in ("inner", "outer")]
    cases: list[tuple[str, tuple, tuple, int]] = [
        ("Si, 1,000 atoms, all centers", crystal(), (silicon,), 9),
        ("Si, 1,000 atoms, 1 center", crystal(), (silicon, [0]), 25),
        ("ethanol", organic(), (ethanol,), 101),
        ("ethanol, n_max 8", organic(n_max=8), (ethanol,), 101),
        ("200 ethanols in one call, n_max 8", organic(n_max=8), (many,), 9),
        ("Si, polynomial basis", crystal(rbf="polynomial", sigma=0.5), (silicon,), 5),
        ("ethanol, polynomial basis", organic(rbf="polynomial", sigma=0.5), (ethanol,), 25),
        *((f"Si, {a}", crystal(average=a.split()[0]), (silicon,), 9) for a in average),
        *((f"ethanol, {a}", organic(average=a.split()[0]), (ethanol,), 101) for a in average),
        ("Si, mu1nu1", crystal(compression={"mode": "mu1nu1"}), (silicon,), 9),
        ("ethanol, mu1nu1", organic(compression={"mode": "mu1nu1"}), (ethanol,), 101),
        (f"SiO2, {len(glass):,} atoms", both(["Si", "O"], True), (glass,), 5),
    ]
    ratios = []
    for name, pair, given, rounds in cases:
        calls = [partial(one.create, *given) for one in pair]
        ratios.append(row(f"create: {name}", *calls, max(rounds // scale, 1)))
    return ratios


def derivative_rows(scale: int) -> list[float]:
    ethanol, silicon = molecule("CH3CH2OH"), bulk("Si", cubic=True) * (2, 2, 2)
    ratios = []
    for attach in (False, True):
        for name, pair, given, rounds in (
            ("ethanol", both(ORGANIC, False), (ethanol,), 25),
            ("Si, 64 atoms", both(["Si"], True), (silicon,), 3),
            ("Si, 64 atoms, 1 center", both(["Si"], True), (silicon, [0]), 9),
        ):
            calls = [partial(one.derivatives, *given, attach=attach) for one in pair]
            title = f"derivatives: {name}, attach={attach}"
            ratios.append(row(title, *calls, max(rounds // scale, 1)))
    return ratios


def call_rows(scale: int) -> None:
    """Calls with a batch, values and the gradient of a scalar, beside plain torch and featomic."""
    cases = {
        "ethanol": (ORGANIC, False, [molecule("CH3CH2OH")], 51),
        "200 ethanols": (ORGANIC, False, [molecule("CH3CH2OH")] * 200, 5),
        "Si, 1,000 atoms": (["Si"], True, [bulk("Si", cubic=True) * (5, 5, 5)], 5),
    }
    against = ["plain torch"] + ["featomic-torch"] * (SoapPowerSpectrum is not None)
    for other in against:
        print(f"\n| call with a batch | kernels (ms) | {other} (ms) | ratio |\n|---|---|---|---|")
        for name, (species, periodic, structures, rounds) in cases.items():
            soap = both(species, periodic)[0]
            ours = batch_calls(soap, structures)
            plain = other == "plain torch"
            theirs = (
                batch_calls(soap.plain, structures) if plain else featomic_calls(soap, structures)
            )
            for what, here, there in zip(("values", "gradient"), ours, theirs, strict=True):
                row(f"{what}: {name}", here, there, max(rounds // scale, 1))


def batch_calls(features: Callable, structures: list[Atoms]) -> tuple:
    """Values, and the gradient by positions of a scalar."""
    batch = Batch.from_atoms(structures)

    def gradient() -> None:
        positions = batch.positions.clone().requires_grad_()
        features(batch.with_positions(positions)).square().sum().backward()

    return partial(features, batch), gradient


def featomic_calls(soap: SOAP, structures: list[Atoms]) -> tuple:
    """Values and gradient as ``batch_calls``; the making of its systems is not timed."""
    calculator = featomic_calculator(soap)
    fixed = systems_to_torch(structures)
    moving = systems_to_torch(structures, positions_requires_grad=True)
    positions = [system.positions for system in moving]

    def gradient() -> None:
        torch.autograd.grad(dense_features(calculator(moving)).square().sum(), positions)

    return lambda: dense_features(calculator(fixed)), gradient


def main() -> None:
    one_core()
    torch.manual_seed(0)
    scale = 5 if "--quick" in sys.argv[1:] else 1
    print("| case | LOSIKO-torch (ms) | DScribe (ms) | DScribe / LOSIKO-torch |\n|---|---|---|---|")
    created = create_rows(scale)
    derived = derivative_rows(scale)
    print(f"\nmedian of create {np.median(created):.1f}, smallest {min(created):.1f}")
    print(f"median of derivatives {np.median(derived):.1f}, smallest {min(derived):.1f}")
    call_rows(scale)


if __name__ == "__main__":
    main()
