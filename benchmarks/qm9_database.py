"""Database of all of QM9: time to build, recall and speed of searches, accuracy of relaxations.

    python benchmarks/qm9_database.py [--database qm9.losiko] [--molecules 200]

Without --database it is built first, by `losiko build` in a process of its own, whose time and peak
memory are printed. Then environments of random molecules are searched for the 64 references that a
relaxation needs, through lists and through all references, and random molecules are relaxed from
N(0, 0.1 A). The environments of all the molecules that are searched or relaxed are left out at
once, not those of each one alone: a copy of the database for each is too much. One core.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch import EnvironmentDatabase
from losiko_torch.database.building.describe import describe

NOISE = 0.1
#: References that a relaxation needs; molecules described at once.
K, AT_ONCE = 64, 50


def build(path: Path, r_cut: float) -> None:
    """Build the database by the command line; print time and peak memory."""
    command = "from losiko_torch.cli.app import main; main()"
    source = str(common.data_folder() / "qm9" / "qm9.npz")
    began = time.perf_counter()
    arguments = ["build", source, "-o", str(path), "--title", "QM9", "--r-cut", str(r_cut)]
    subprocess.run([sys.executable, "-c", command, *arguments], check=True)
    minutes = (time.perf_counter() - began) / 60
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"built in {minutes:.1f} minutes, peak memory {peak:.1f} GB")


def search(database: EnvironmentDatabase, molecules: list[Atoms], count: int, noise: float) -> str:
    """Recall and speed of the lists for ``count`` environments of these molecules."""
    structures = common.with_noise(molecules, noise)
    numbers = np.concatenate([atoms.numbers for atoms in structures])[:count]
    parts = [
        describe(structures[begin : begin + AT_ONCE], database.descriptor)
        for begin in range(0, len(structures), AT_ONCE)
    ]
    features = torch.cat(parts)[:count]
    seconds, first, all_ = np.zeros(2), 0, 0
    by_element = []
    for z, part in database.environments.items():
        rows = torch.from_numpy(np.flatnonzero(numbers == z))
        if not len(rows):
            continue
        components, rest = part.project(features[rows])
        took, found = [], []
        for searched in (part, part.undivided()):
            searched.nearest(components[:2], rest[:2], K)  # made ready, kernels compiled
            began = time.perf_counter()
            found.append(searched.nearest(components, rest, K)[1])
            took.append(time.perf_counter() - began)
        seconds += took
        same = (found[1][:, :, None] == found[0][:, None, :]).any(2)
        nearest = (found[0][:, 0] == found[1][:, 0]).sum()
        first, all_ = first + int(nearest), all_ + int(same.sum())
        by_element.append(
            f"{chemical_symbols[z]} {nearest / len(rows):.4f}, {took[1] / took[0]:.1f} x"
        )
    n = len(features)
    return (
        f"| {noise} | {n:,} | {first / n:.4f} | {all_ / n / K:.4f} | {seconds[0]:.3f} "
        f"| {seconds[1]:.3f} | {seconds[1] / seconds[0]:.1f} | {'; '.join(by_element)} |"
    )


def relaxation(database: EnvironmentDatabase, molecules: list[Atoms], fmax: float | None) -> str:
    starts = common.with_noise(molecules, NOISE)
    found = common.relaxation(starts, molecules, database, fmax=fmax)
    rmsd = found.distances
    return (
        f"| {len(molecules)} | {fmax or f'{database.defaults.fmax} (default)'} | {rmsd.mean():.4f} "
        f"| {np.median(rmsd):.4f} | {rmsd.max():.3f} | {found.bonds.mean():.4f} "
        f"| {found.converged:.1%} | {found.steps:.0f} "
        f"| {1000 * found.seconds / len(molecules):.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--database", type=Path, help="of all of QM9, built before")
    parser.add_argument("--r-cut", type=float, default=3.0, help="of the database built here")
    parser.add_argument("--fmax", type=float, nargs="+", default=[0.005], help="beside the default")
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--environments", type=int, default=1000)
    arguments = parser.parse_args()
    common.one_core()
    qm9 = common.QM9()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.database
        if path is None:
            path = Path(folder) / "qm9.losiko"
            build(path, arguments.r_cut)
        began = time.perf_counter()
        database = EnvironmentDatabase.load(path)
        seconds = time.perf_counter() - began
        print(f"{path.stat().st_size / 1e9:.2f} GB, loaded in {seconds:.1f} s: {database}")
    print(f"recall of the 16 nearest others when it was built: {database.metadata}\n")
    molecules = qm9.reporting(arguments.molecules)
    numbers = {atoms.info["id"] for atoms in molecules}
    out = [k for k, record in enumerate(database.structures) if record["id"] in numbers]
    assert len(out) == len(molecules)
    database = database.without(out)
    print(
        f"| noise (A) | environments | recall@1 | recall@{K} | lists (s) | all references (s) "
        "| times as fast | recall@1 and times as fast by element |\n" + "|---" * 8 + "|"
    )
    for noise in (0.0, NOISE):
        print(search(database, molecules, arguments.environments, noise), flush=True)
    print(
        "\n| molecules | fmax (1/A) | mean RMSD (A) | median | largest | mean bond error (A) "
        "| converged | median steps | ms a molecule |\n" + "|---" * 9 + "|"
    )
    for fmax in (None, *arguments.fmax):
        print(relaxation(database, molecules, fmax), flush=True)


if __name__ == "__main__":
    main()
