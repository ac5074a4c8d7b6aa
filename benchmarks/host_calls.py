"""Calls of functions around a run over QM9 that a molecule more costs the processor.

    python benchmarks/host_calls.py [--molecules N]

The run is that of `host.py`, with its stand-ins, of so many molecules at random (4,000) and of half
of them; printed is the difference, for each molecule: a number that no other work on the machine
changes. What is done for thousands of molecules at once costs none of them a call.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
from archive_run import chosen_of, run_into, write_noisy
from host import BATCH_ATOMS, NOISE, standing_in


def calls_of(work: Callable[[], object]) -> Counter[str]:
    """Count the calls of functions, in all threads, by the names of their events."""
    counts: Counter[str] = Counter()

    def seen(frame: Any, event: str, argument: Any) -> None:
        counts[event] += 1

    threading.setprofile(seen)
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--molecules", type=int, default=4000)
    molecules = parser.parse_args().molecules
    common.one_core()
    relaxer, qm9 = standing_in(BATCH_ATOMS), common.QM9()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def calls(run: str, count: int) -> Counter[str]:
            source = folder / f"{run}.npz"
            write_noisy(source, qm9, chosen_of(qm9, count), NOISE.__getitem__)
            return calls_of(lambda: run_into(folder / run, str(source), lambda _: relaxer))

        half = molecules // 2
        calls("before", half)  # what is made once is made
        few, many = calls("half", half), calls("all", molecules)
    more = {kind: (many[kind] - few[kind]) / (molecules - half) for kind in many}
    print(f"calls of a molecule more: {more['call']:.2f} of Python's functions, ", end="")
    print(f"{more['c_call']:.2f} of others")


if __name__ == "__main__":
    main()
