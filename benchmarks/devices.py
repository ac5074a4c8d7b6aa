"""Relaxation on the processor and on an NVIDIA GPU, with kernels and in plain torch.

    python benchmarks/devices.py [--molecules 64] [--processor]

Noisy molecules of QM9 (N(0, 0.1 A)), the paper's 359-molecule database, the sharp descriptor,
defaults, float32. With --processor the first row is the processor's; each other row has the
differences of its losses from those of the first. Every row is a second run: a first one compiles
all kernels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import common
import numpy as np
import torch

from losiko_torch import accelerators, relax

NOISE = 0.1
#: Molecules of the first run, which is not timed; all combinations of elements are among them.
WARM_UP = 64


@contextmanager
def plain_torch() -> Iterator[None]:
    """Turn compiled kernels off within the context."""
    kept = accelerators._kernels
    accelerators._kernels = lambda device: None
    try:
        yield
    finally:
        accelerators._kernels = kept


def run(starts, molecules, database, device: str, targets: str) -> tuple[str, np.ndarray]:
    database = database.to(device)
    relax(starts[:WARM_UP], database, targets=targets)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    found = common.relaxation(starts, molecules, database, targets=targets)
    peak = f"{torch.cuda.max_memory_allocated() / 1e9:.2f}" if device == "cuda" else ""
    row = (
        f"{found.seconds:.2f} | {len(starts) / found.seconds:,.0f} | {found.distances.mean():.4f} "
        f"| {found.bonds.mean():.5f} | {found.converged:.1%} | {found.steps:.0f} | {peak}"
    )
    return row, np.array([result.loss for result in found.results])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--molecules", type=int, default=64)
    parser.add_argument("--processor", action="store_true", help="relax on the processor too")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU and a build of torch for it")
    qm9 = common.QM9()
    database = qm9.paper_database(**common.SHARP)
    molecules = qm9.reporting(arguments.molecules)
    starts = common.with_noise(molecules, NOISE)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; {database}\n")
    print(
        "| targets | where | seconds | molecules/s | mean RMSD (A) | mean bond error (A) "
        "| converged | median steps | peak GPU memory (GB) | losses off by: median, largest |"
    )
    print("|---" * 10 + "|")
    for targets in ("locally-linear", "nearest"):
        first = None
        for device in ("cpu", "cuda") if arguments.processor else ("cuda",):
            row, losses = run(starts, molecules, database, device, targets)
            report(targets, device, row, losses, first)
            first = losses if first is None else first
        with plain_torch():
            row, losses = run(starts, molecules, database, "cuda", targets)
        report(targets, "cuda, plain torch", row, losses, first)


def report(
    targets: str, where: str, row: str, losses: np.ndarray, first: np.ndarray | None
) -> None:
    off = ""
    if first is not None:
        apart = np.abs(losses - first)
        off = f"{np.median(apart):.1e}, {apart.max():.1e}"
    print(f"| {targets} | {where} | {row} | {off} |", flush=True)


if __name__ == "__main__":
    main()
