"""Accuracy and time with smaller databases: QM9 molecules relaxed with thinned and sampled ones.

    python benchmarks/curation.py [--database 1500] [--molecules 50]
    python benchmarks/curation.py --speed 10000 100000

A database of QM9 molecules, spread over QM9's order, without those that are relaxed; thinned,
sampled, and, of the same sizes, at random. From N(0, 0.1 A) on every coordinate; RMSD after
superposition on the DFT geometry, mean error of the bonds. With ``--speed`` the time of curation
itself, for so many references of one element: the hydrogens of the same database with N(0, 0.005)
on each of their components, all at separations above 0.05.
"""

from __future__ import annotations

import argparse
import resource
import time

import common
import numpy as np
import torch

from losiko_torch import SOAP, EnvironmentDatabase, relax
from losiko_torch.database.curate.spacing import farthest_points, thinned_out

DISTANCES = (0.02, 0.05, 0.1, 0.2)
SHARES = (1 / 2, 1 / 4, 1 / 8)
HEADER = (
    "| references | how many | mean RMSD (A) | largest | mean bond error (A) | ms a molecule |\n"
    "|---|---|---|---|---|---|"
)
#: Separation and count to which ``--speed`` reduces references, and the noise on their components.
DISTANCE, COUNT, NOISE = 0.05, 10_000, 0.005


def sample_size(database: EnvironmentDatabase, share: float) -> int:
    """Number of references to keep of each element at most, so that a share of all is left."""
    counts = np.array([len(part) for part in database.environments.values()])
    sizes = np.arange(1, counts.max() + 1)
    totals = np.minimum(sizes[:, None], counts).sum(1)
    return int(sizes[np.abs(totals - share * counts.sum()).argmin()])


def at_random(
    database: EnvironmentDatabase, like: EnvironmentDatabase, seed: int
) -> EnvironmentDatabase:
    """Database of random references, as many of each element as another database has."""
    generator = np.random.default_rng(seed)
    environments = {}
    for number, part in database.environments.items():
        rows = generator.choice(len(part), len(like.environments[number]), replace=False)
        environments[number] = part.kept(torch.as_tensor(np.sort(rows)))
    return EnvironmentDatabase(database.descriptor, environments, database.structures)


def row(name: str, database: EnvironmentDatabase, molecules: list, starts: list) -> str:
    began = time.process_time()
    results = relax(starts, database)
    milliseconds = 1000 * (time.process_time() - began) / len(starts)
    distances, bonds = common.deviations((one.atoms for one in results), molecules)
    return (
        f"| {name} | {len(database):,} | {distances.mean():.3f} | {distances.max():.3f} "
        f"| {bonds.mean():.4f} | {milliseconds:.0f} |"
    )


def accuracy(whole: EnvironmentDatabase, molecules: list) -> None:
    starts = common.with_noise(molecules, 0.1)
    relax(starts[:3], whole)  # kernels are compiled before anything is timed
    print(HEADER)
    print(row("all", whole, molecules, starts), flush=True)
    smaller = [(f"thinned to {d}", whole.thinned(d)) for d in DISTANCES]
    for share in SHARES:
        size = sample_size(whole, share)
        smaller.append((f"farthest points, {size:,} an element", whole.farthest(size)))
    for name, database in smaller:
        print(row(name, database, molecules, starts), flush=True)
        random = at_random(whole, database, seed=0)
        print(row("as many at random", random, molecules, starts), flush=True)


def speed(whole: EnvironmentDatabase, counts: list[int]) -> None:
    vectors = whole.environments[1].vectors
    print(f"| references of {vectors.shape[1]} components | what | left | seconds | peak GB |")
    print("|---|---|---|---|---|")
    generator = torch.Generator().manual_seed(0)
    for count in counts:
        rows = torch.randint(len(vectors), (count,), generator=generator)
        many = vectors[rows] + NOISE * torch.randn(count, vectors.shape[1], generator=generator)
        many /= many.norm(dim=1, keepdim=True)
        for name, work in (
            (f"thinned to {DISTANCE}", lambda m=many: int(thinned_out(m, DISTANCE).sum())),
            ("farthest points", lambda m=many: len(farthest_points(m, COUNT)[0])),
        ):
            began = time.process_time()
            left = work()
            seconds = time.process_time() - began
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"| {count:,} | {name} | {left:,} | {seconds:.1f} | {peak:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--database", type=int, default=1500)
    parser.add_argument("--molecules", type=int, default=50)
    parser.add_argument("--speed", type=int, nargs="+", metavar="REFERENCES")
    arguments = parser.parse_args()
    common.one_core()
    qm9 = common.QM9()
    molecules = qm9.reporting(arguments.molecules)
    known = qm9.spaced(arguments.database, molecules)
    whole = EnvironmentDatabase.build(known, SOAP(species=common.SPECIES, **common.SHARP))
    print(f"{whole}\n{len(molecules)} molecules, float32, one core\n")
    if arguments.speed:
        speed(whole, arguments.speed)
    else:
        accuracy(whole, molecules)


if __name__ == "__main__":
    main()
