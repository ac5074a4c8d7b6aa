"""Time of a relaxation by its parts, and how far each part is from what the machine allows.

    python benchmarks/profile_step.py [--molecules 200] [--database 359|3800] [--targets nearest]

The reporting molecules of QM9 from N(0, 0.1 A), the sharp descriptor (r_cut 3, n 8, l 6, sigma
0.3), defaults, float32, one core, after a short call that does not count; the paper's database of
359 molecules, or every 35th id of QM9 (some 3,650 molecules; none of them is relaxed).

Printed are the time of the call without and with timers, the evaluations and searches an atom
takes, what the machine does in a product of matrices and a copy, and a table: seconds of each part
(without the parts inside of it) and its share, its operations and bytes as `floor.py` counts them,
the time that these take at the machine's rates (the larger of the two), and how many times that the
part took. Last, how often the nearest reference that the relaxation's search finds is that of an
exhaustive search in float64, for the atoms of up to 100 molecules at the start, after 8 steps and
at the end.
"""

from __future__ import annotations

import argparse

import common
import floor
import numpy as np
import timers
import torch
from ase import Atoms

from losiko_torch import Batch, EnvironmentDatabase, relax
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.settings import make_target

NOISE = 0.1
MIDDLE, COMPARED, AT_ONCE = 8, 100, 512


def shares(watch: timers.Timers, whole: float, costs: dict, machine: floor.Machine) -> str:
    seconds = {part: watch.seconds.get(part, 0.0) for part in costs}
    seconds[timers.REST] = whole - sum(watch.seconds.values())
    lines = [
        "| part | seconds | share | Gflop | GB | floor (s) | times the floor |\n" + "|---" * 7 + "|"
    ]
    total = 0.0
    for part, took in seconds.items():
        head = f"| {part} | {took:.2f} | {took / whole:.1%} "
        if part not in costs:
            lines.append(head + "| | | | |")
            continue
        cost, least = costs[part], costs[part].seconds(machine)
        total += least
        lines.append(
            head + f"| {cost.flops / 1e9:.1f} | {cost.bytes / 1e9:.2f} | {least:.3f} "
            f"| {took / least if least else np.nan:.1f} |"
        )
    lines.append(f"| all | {whole:.2f} | 100% | | | {total:.3f} | {whole / total:.1f} |")
    return "\n".join(lines)


@torch.no_grad()
def agreement(structures: list[Atoms], database: EnvironmentDatabase, targets: str) -> tuple:
    """Compare the search with an exhaustive one in float64.

    Returns the number of atoms, the shares of atoms with the same nearest reference and with the
    same set of references, and the largest excess of a squared distance: that of the nearest
    reference found over that of the true one.
    """
    batch = Batch.from_atoms(structures, torch.float32)
    objective = Objective(database, make_target(targets)).restricted(batch.numbers)
    found = objective.search_at(batch).matching.indices
    # Positions are the same, rounded to float32; everything else is in float64.
    features = objective.features(Batch.from_atoms(structures, torch.float64))
    first, whole, excess = [], [], 0.0
    for number in batch.numbers.unique().tolist():
        part = objective.database.references_of(number)
        basis, vectors = part.basis.double(), part.vectors.double()
        k = min(found.shape[1], len(vectors))
        for rows in (batch.numbers == number).nonzero().squeeze(1).split(AT_ONCE):
            apart = torch.cdist(
                features[rows] @ basis, vectors, compute_mode="donot_use_mm_for_euclid_dist"
            ).square()
            exact, mine = apart.topk(k, largest=False).indices, found[rows, :k]
            first += (exact[:, 0] == mine[:, 0]).tolist()
            whole += (exact.sort(1).values == mine.sort(1).values).all(1).tolist()
            worse = apart.gather(1, mine[:, :1]) - apart.gather(1, exact[:, :1])
            excess = max(excess, float(worse.max()))
    return len(first), np.mean(first), np.mean(whole), excess


def agreements(starts: list[Atoms], ends: list[Atoms], database, targets: str) -> str:
    steps = relax(starts, database, targets=targets, max_steps=MIDDLE)
    places = {"start": starts, f"after {MIDDLE} steps": [r.atoms for r in steps], "end": ends}
    lines = [
        "| along the relaxation | atoms | same nearest | same set of references "
        "| largest excess of a squared distance |\n|---|---|---|---|---|"
    ]
    for place, structures in places.items():
        atoms, nearest, everyone, excess = agreement(structures, database, targets)
        lines.append(f"| {place} | {atoms} | {nearest:.4%} | {everyone:.4%} | {excess:.1e} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--database", choices=("359", "3800"), default="359")
    parser.add_argument(
        "--targets", choices=("locally-linear", "nearest"), default="locally-linear"
    )
    arguments = parser.parse_args()
    common.one_core()
    qm9, large = common.QM9(), arguments.database == "3800"
    molecules = qm9.reporting(arguments.molecules)
    database = qm9.large_database(molecules) if large else qm9.paper_database(**common.SHARP)
    starts = common.with_noise(molecules, NOISE)
    options = {"targets": arguments.targets}
    relax(starts[:5], database, **options)

    plain = common.seconds(lambda: relax(starts, database, **options))
    results = []
    with timers.watching() as watch:
        whole = common.seconds(lambda: results.extend(relax(starts, database, **options)))
    for name in watch.missing:
        print(f"not found, so not timed: {name}")
    sizes = np.array([len(atoms) for atoms in molecules])
    evaluations = int(sizes @ [result.n_steps for result in results])
    searches = watch.atoms["Environments.nearest"]
    machine = floor.Machine.measure()
    n_neighbors = make_target(arguments.targets).n_neighbors
    costs = floor.floor(database, starts, n_neighbors, evaluations, searches)
    print(
        f"{database}\n{len(starts)} molecules, {sizes.sum()} atoms, {arguments.targets}, one core"
    )
    print(f"{plain:.2f} s without timers, {whole:.2f} s with; {machine}")
    print(
        f"an atom: {evaluations / sizes.sum():.1f} evaluations, {searches / sizes.sum():.1f} "
        f"searches (those at start and end among them)\n"
    )
    print(shares(watch, whole, costs, machine) + "\n")
    ends = [result.atoms for result in results[:COMPARED]]
    print(agreements(starts[:COMPARED], ends, database, arguments.targets))


if __name__ == "__main__":
    main()
