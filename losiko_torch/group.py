"""Relaxing a group of structures, like ones side by side: from what was prepared to results."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch

from losiko_torch.batching import batches
from losiko_torch.method import Method
from losiko_torch.outcome import best_of, failure, results_of
from losiko_torch.preparation import Prepared
from losiko_torch.results import Result
from losiko_torch.stages import run_stages
from losiko_torch.workplace import Workplace


def relax_group(
    group: list[Prepared], work: Workplace, method: Method, finished: Callable[[int], None]
) -> list[Result]:
    """In input order, like structures side by side."""
    n_starts = method.n_starts
    copies = [
        item if copy == 0 else item.shaken(copy, method.start_noise, method.seed)
        for item in group
        for copy in range(n_starts)
    ]
    results: dict[int, Result] = {}
    for places in batches([item.atoms.numbers for item in copies], work.batch_atoms):
        relaxed = _relax([copies[place] for place in places], work, method, finished)
        results.update(zip(places, relaxed, strict=True))
    starts = [results[place] for place in range(len(copies))]
    if n_starts == 1:
        return starts
    return [best_of(starts[first : first + n_starts]) for first in range(0, len(starts), n_starts)]


def _relax(
    items: list[Prepared], work: Workplace, method: Method, finished: Callable[[int], None]
) -> list[Result]:
    good = [item for item in items if item.problem is None]
    _warn_of_sharp_cutoff(good, work)
    finished(len(items) - len(good))
    relaxed = iter(_relax_good(good, work, method, finished) if good else [])
    return [
        next(relaxed) if item.problem is None else failure(item.atoms, item.problem)
        for item in items
    ]


def _relax_good(
    good: list[Prepared], work: Workplace, method: Method, finished: Callable[[int], None]
) -> list[Result]:
    batch = work.batch(good)
    movable = torch.as_tensor(np.concatenate([item.movable for item in good])).to(batch.positions)
    before = work.judge(batch)
    ended = run_stages(
        work.objective,
        method.coordinates(batch, movable),
        method,
        [item.copy for item in good],
        before,
        finished,
    )
    return results_of(good, work, before, ended, method.symprec)


def _warn_of_sharp_cutoff(items: list[Prepared], work: Workplace) -> None:
    sharp = getattr(work.objective.database.descriptor, "smooth_width", None) == 0
    if sharp and any(item.atoms.pbc.any() for item in items):
        # Python shows a repeated warning from one place once.
        warnings.warn(
            "the database's descriptor cuts neighbours off sharply, so that the loss of periodic "
            "structures jumps where an atom crosses the cutoff: better build it with a "
            "smooth_width, of 0.5 A for example",
            stacklevel=2,
        )
