"""Escape from saddles: where symmetry alone keeps a molecule, a shaken copy is relaxed as well.

The gradient has the symmetry of the structure. A planar molecule stays planar, and a linear one
linear, however much lower the loss is beside it. A molecule that begins with such a symmetry is
therefore relaxed once more, from a shaken copy of where it ended. Where this ends elsewhere, and
much lower for so short a way, the first end was a saddle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from ase import Atoms

from losiko_torch.batching.cleared import Cleared
from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.batching.prepare import Prepared
from losiko_torch.relaxation.outcome import failure
from losiko_torch.relaxation.settings import Settings
from losiko_torch.relaxation.watch import ENDED
from losiko_torch.results import FAILED, Result
from losiko_torch.results.columns import ManyResults
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.equivalent import are_symmetric
from losiko_torch.systems.geometry import superposed
from losiko_torch.verdict.verdict import Signs, doubts_of

#: Noise of the shaken copy, and distance of an atom that makes another structure, in Angstrom.
NOISE, ELSEWHERE = 0.1, 0.2
#: Loss won for the square of the way, relative to what the shaking cost for its own: along a
#: soft direction less is won, and which end is the better one is not known.
WORTH = 0.1
#: Number of the shaken copy among the copies of an input: none of ``n_starts`` has it.
COPY = 2**31 - 1

SADDLE = (
    "it is a saddle, kept by the symmetry of its start: shake it and relax it again, or let it "
    "escape"
)


def escaped(
    items: Sequence[Prepared],
    results: Sequence[Result],
    evaluator: Evaluator,
    relax: Callable[[Sequence[Prepared], list[int]], Sequence[Result]],
    settings: Settings,
) -> Sequence[Result]:
    """Return results with those on a saddle led away, or doubted if they are not to leave.

    Args:
        items: Structures as they were prepared.
        results: Their results.
        evaluator: Evaluator of the loss.
        relax: Function that relaxes prepared structures, of which so many steps were taken before.
        settings: Options of the relaxation.
    """
    shaken, starts = _shaken(items, results, settings.seed)
    others = relax(starts, [results[k].n_steps for k in shaken]) if shaken else []
    below = {}
    for k, start, other in zip(shaken, starts, others, strict=True):
        if other.converged and _is_saddle(results[k], start.atoms, other):
            below[k] = other
    granted = sum(stage.max_steps for stage in settings.stages)
    found, left = dict[int, Result](), {}
    for k, other in zip(shaken, others, strict=True):
        if other.reason.startswith(f"{FAILED}{ENDED}"):
            why = other.reason.removeprefix(FAILED)
            found[k] = failure(items[k].atoms, why, results[k].start_loss, results[k].number)
    for k, other in below.items():
        here = results[k]
        if settings.escape and here.n_steps + other.n_steps <= granted:
            left[k] = other
        else:
            found[k] = replace(here, doubt=here.doubt or SADDLE)
    if left:
        # Where they began counts for a doubt, not the saddle that they passed.
        doubts = _doubts([items[k] for k in left], list(left.values()), evaluator, settings)
        for (k, other), doubt in zip(left.items(), doubts, strict=True):
            found[k] = _after(results[k], other, doubt)
    if isinstance(results, ManyResults):
        return results.changed(found)
    return [found.get(k, result) for k, result in enumerate(results)]


def _after(here: Result, other: Result, doubt: str) -> Result:
    """Return the result of a structure that went on from a saddle, as one with its way there."""
    history = other.history
    if here.history is not None and history is not None:
        history = here.history.joined(history)
    return replace(
        other,
        start_loss=here.start_loss,
        n_steps=here.n_steps + other.n_steps,
        doubt=doubt,
        history=history,
        start_positions=here.start_positions,
        start_cell=here.start_cell,
    )


def _shaken(
    items: Sequence[Prepared], results: Sequence[Result], seed: int
) -> tuple[list[int], Sequence[Prepared]]:
    """Return places of results that symmetry may hold, and shaken copies of their ends."""
    if isinstance(items, Cleared) and isinstance(results, ManyResults):
        columns, row = results.columns, results.row
        free = np.flatnonzero(row >= 0)
        free = free[columns.converged[row[free]]]
        free = free[np.array(are_symmetric(items.molecules.take(free)), dtype=bool)]
        ends = Cleared(columns.molecules.take(row[free]), columns.number[row[free]])
        good, shaken = ends.shaken(COPY, NOISE, seed)
        return free[good].tolist(), shaken
    there = [k for k, result in enumerate(results) if result.converged and items[k].movable.all()]
    symmetric = are_symmetric([items[k].atoms for k in there])
    copies = {
        k: replace(items[k], atoms=results[k].atoms).shaken(COPY, NOISE, seed)
        for k, may_be_held in zip(there, symmetric, strict=True)
        if may_be_held
    }
    copies = {k: item for k, item in copies.items() if item.problem is None}
    return list(copies), list(copies.values())


def _doubts(
    starts: list[Prepared], ends: list[Result], evaluator: Evaluator, settings: Settings
) -> list[str]:
    before = evaluator.batch(starts)
    after = evaluator.batch(
        [replace(start, atoms=end.atoms) for start, end in zip(starts, ends, strict=True)]
    )
    nearest = expected = None
    if not evaluator.objective.by_model:
        found = [end.matches.distance for end in ends if end.matches is not None]
        if found[0].shape[1]:
            nearest = _together([each[:, 0] for each in found], after)
    errors = [end.expected_error for end in ends if end.expected_error is not None]
    if errors:
        expected = _together(errors, after)
    moving = torch.ones_like(before.numbers, dtype=torch.bool)
    signs = Signs(nearest, expected, settings.max_error)
    return doubts_of(before, after, moving, evaluator.objective.database, signs)


def _together(arrays: list[np.ndarray], batch: Batch) -> torch.Tensor:
    return torch.as_tensor(np.concatenate(arrays)).to(batch.positions)


def _is_saddle(here: Result, shaken: Atoms, other: Result) -> bool:
    """Return whether ``other``, reached from a shaken copy, shows that ``here`` is a saddle."""
    shaking = np.sum((shaken.positions - here.atoms.positions) ** 2)
    away = superposed(other.atoms, here.atoms).positions - here.atoms.positions
    ways = np.sum(away**2, axis=1)
    stiffness = (other.start_loss - other.loss) / shaking
    won = here.loss - other.loss
    return bool(ways.max() > ELSEWHERE**2 and won > WORTH * stiffness * ways.sum())
