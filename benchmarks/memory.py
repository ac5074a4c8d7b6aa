"""Peak memory of one call on many molecules: does it grow with their number?

    python benchmarks/memory.py [--counts 1000 4000 16000] [--all] [--max-steps 2]

N molecules of QM9 from N(0, 0.1 A), made one by one by a generator, relaxed in one call with the
paper's 359-molecule database (loaded from a file) and defaults but for --max-steps, which keeps it
short and leaves the memory of a step as it is. Each N has a process of its own. Results are counted
and dropped one by one where the package has `relax_iter`; else `relax` returns them all.

Printed is a table: the peak of resident memory before the call and after it (ru_maxrss, MB of 10^6
bytes), and what each further 1,000 molecules add, from row to row.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np
from ase import Atoms

import losiko_torch
from losiko_torch import EnvironmentDatabase

NOISE = 0.1


def noisy(qm9: common.QM9, count: int) -> Iterator[Atoms]:
    """Yield the first noisy molecules of a random order, one by one."""
    rng = np.random.default_rng(common.REPORTING_SEED)
    for k in rng.permutation(len(qm9.ids))[:count]:
        yield from common.with_noise([qm9.molecule(k)], NOISE, seed=int(k))


def peak() -> float:
    """Peak memory of this process so far, MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def build(path: Path) -> None:
    """Write the paper's database to a file."""
    common.QM9().paper_database(**common.SHARP).save(path)


def measure(path: Path, count: int, max_steps: int) -> None:
    """Relax and print number of molecules, memory (MB) and seconds as JSON."""
    common.one_core()
    qm9 = common.QM9()
    database = EnvironmentDatabase.load(path)
    before, began, finished = peak(), time.perf_counter(), 0
    for _ in common.relaxed(noisy(qm9, count), database, max_steps=max_steps):
        finished += 1
    took = time.perf_counter() - began
    print(json.dumps({"count": finished, "before": before, "peak": peak(), "seconds": took}))


def apart(*arguments: object) -> str:
    """Run this script in a process of its own and return the last line that it prints."""
    command = [sys.executable, __file__, *map(str, arguments)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return output.splitlines()[-1] if output else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 4000, 16000])
    parser.add_argument("--all", action="store_true", help="all of QM9 as well")
    parser.add_argument("--max-steps", type=int, default=2)
    parser.add_argument("--database", type=Path, help="a file; this script calls itself with it")
    parser.add_argument("--measure", type=int, help="with --database: relax so many molecules")
    arguments = parser.parse_args()
    if arguments.database is not None and arguments.measure is None:
        build(arguments.database)
    elif arguments.database is not None:
        measure(arguments.database, arguments.measure, arguments.max_steps)
    else:
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    # A process inherits the peak of its parent, so that this one must stay small.
    qm9 = common.QM9()
    counts = [*arguments.counts, *([len(qm9.ids)] if arguments.all else [])]
    call = "relax_iter" if hasattr(losiko_torch, "relax_iter") else "relax"
    print(f"`{call}`, {arguments.max_steps} steps at most, one core\n")
    print(
        "| molecules | before the call (MB) | peak (MB) | MB for each further 1,000 | seconds |\n"
        "|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "paper.losiko"
        apart("--database", path)
        last: dict[str, float] | None = None
        for count in counts:
            steps = ("--max-steps", arguments.max_steps)
            now = json.loads(apart("--database", path, "--measure", count, *steps))
            added = "-"
            if last is not None:
                added = (
                    f"{1000 * (now['peak'] - last['peak']) / (now['count'] - last['count']):.1f}"
                )
            print(
                f"| {now['count']:,} | {now['before']:,.0f} | {now['peak']:,.0f} | {added} "
                f"| {now['seconds']:.0f} |",
                flush=True,
            )
            last = now


if __name__ == "__main__":
    main()
