"""Loss and gradient against DScribe's values and derivatives, on one core in one run.

    python benchmarks/gradient_speed.py

QM9 setting of the paper (r_cut 4, n 6, l 6, sigma 0.5; five elements, 3,255 features), a batch of
64 molecules; references are given, so that matching is left out. The rounds alternate between the
candidates, and ratios are medians over the rounds, since the machine's speed drifts.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import common
import numpy as np
import torch
from dscribe.descriptors import SOAP as DScribeSOAP

from losiko_torch import SOAP, Batch, EnvironmentDatabase
from losiko_torch.objective import Objective
from losiko_torch.targets import LocallyLinear, Nearest

SPECIES = ["H", "C", "N", "O", "F"]
ROUNDS = 7


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    common.one_core()
    qm9 = common.QM9()
    molecules = qm9.reporting(64)
    few = molecules[:4]
    soap = SOAP(species=SPECIES, **common.PAPER)
    reference = DScribeSOAP(species=SPECIES, **common.PAPER)
    database = EnvironmentDatabase.build(map(qm9.molecule, qm9.database_molecules), soap)
    n_atoms, n_few = sum(map(len, molecules)), sum(map(len, few))

    def analytical() -> None:
        for atoms in few:
            reference.derivatives(atoms, attach=True, method="analytical")

    candidates: dict[str, tuple[Callable[[], object], int]] = {
        "DScribe `create`": (lambda: reference.create(molecules), n_atoms),
        "DScribe `derivatives` (analytical, attach=True)": (analytical, n_few),
    }
    for dtype in (torch.float32, torch.float64):
        batch = Batch.from_atoms(molecules, dtype)
        name = str(dtype).removeprefix("torch.")
        candidates[f"SOAP values, {name}"] = (torch.no_grad()(lambda b=batch: soap(b)), n_atoms)
        for target in (Nearest(), LocallyLinear()):
            objective = Objective(database, target).restricted(batch.numbers)
            matching = objective.match(objective.features(batch), batch.numbers)
            label = "nearest" if target.n_neighbors == 1 else "locally-linear, 64 references"
            candidates[f"loss and gradient, {name}, {label}"] = (
                lambda o=objective, b=batch, m=matching: o.evaluate(b, m),
                n_atoms,
            )
    for work, _ in candidates.values():
        work()
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, (work, atoms) in candidates.items():
            rates[name].append(atoms / seconds(work))
    create, derivatives = (np.array(rates[name]) for name in list(candidates)[:2])
    print(f"{n_atoms} atoms in {len(molecules)} molecules, {database}")
    print("| | atoms/s | / `create` | / `derivatives` |\n|---|---|---|---|")
    for name, values in rates.items():
        rate = np.array(values)
        print(
            f"| {name} | {np.median(rate):,.0f} | {np.median(rate / create):.2f} "
            f"| {np.median(rate / derivatives):.1f} |"
        )


if __name__ == "__main__":
    main()
