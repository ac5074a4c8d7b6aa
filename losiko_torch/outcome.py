"""From where a batch ended to results: never worse than the start, and the best of all copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from ase import Atoms

from losiko_torch.batch_relaxation import Ended
from losiko_torch.preparation import Prepared
from losiko_torch.results import Judgement, Result
from losiko_torch.structures import Batch, max_by_system
from losiko_torch.workplace import Workplace

NOT_FINITE = "its loss ceased to be a finite number"
COLLAPSED = "its cell collapsed or blew up: start from a better cell, or keep it fixed"


def results_of(
    items: Sequence[Prepared],
    work: Workplace,
    start: Batch,
    before: list[Judgement],
    ended: Ended,
    cell: bool,
) -> list[Result]:
    """The result of each structure of a batch."""
    there, after = _never_worse(work, start, before, ended)
    positions = there.positions.double().cpu().split(start.counts.tolist())
    cells = there.cells.double().cpu().numpy()
    left = _differs(there, ended.last)
    results = []
    for k, item in enumerate(items):
        if ended.broken[k] or ended.collapsed[k]:
            results.append(failure(item.atoms, COLLAPSED if ended.collapsed[k] else NOT_FINITE))
            continue
        converged = bool(ended.converged[k]) and not bool(left[k])
        results.append(
            Result(
                atoms=_moved(item, positions[k].numpy(), cells[k] if cell else None),
                loss=after[k].loss,
                start_loss=before[k].loss,
                converged=converged,
                n_steps=int(ended.n_steps[k]),
                reason="converged" if converged else "max_steps",
                distances=after[k].distances,
                matches=after[k].matches,
            )
        )
    return results


def failure(atoms: Atoms, problem: str) -> Result:
    """The result of a structure that could not be relaxed."""
    return Result(
        atoms=atoms.copy(),
        loss=np.nan,
        start_loss=np.nan,
        converged=False,
        n_steps=0,
        reason=f"failed: {problem}",
        distances=np.full(len(atoms), np.nan),
        matches=None,
    )


def best_of(copies: Sequence[Result]) -> Result:
    """The result of lowest loss, the first among equals, with all of them as its ``starts``.

    The first is that of the input as it was given: its loss at the start is the best one's too.
    """
    losses = [np.inf if copy.failed else copy.loss for copy in copies]
    best = copies[int(np.argmin(losses))]
    if not copies[0].failed:
        best = replace(best, start_loss=copies[0].start_loss)
    return replace(best, starts=tuple(copies))


def _never_worse(
    work: Workplace, batch: Batch, before: list[Judgement], ended: Ended
) -> tuple[Batch, list[Judgement]]:
    """Where structures ended, or where they were at their best if a last search finds that worse.

    References are chosen by nearness, so that a search at the end can raise the loss.
    """

    def worse() -> torch.Tensor:
        pairs = zip(before, after, strict=True)
        return torch.tensor([not new.loss <= old.loss for old, new in pairs], device=work.device)

    there = ended.last
    after = work.judge(there)
    if worse().any():
        there = there.swapped(ended.best, worse())
        after = work.judge(there)
        # The best may be the start, and that worse than itself by rounding.
        start = worse()
        there = there.swapped(batch, start)
        after = [
            old if is_start else new
            for old, new, is_start in zip(before, after, start.tolist(), strict=True)
        ]
    return there, after


def _differs(batch: Batch, other: Batch) -> torch.Tensor:
    """Structures (B,) that are not the same in both."""
    apart = (batch.positions - other.positions).abs().amax(1)
    atoms = max_by_system(apart, batch.system_idx, batch.n_systems)
    return (atoms > 0) | (batch.cells != other.cells).any(2).any(1)


def _moved(item: Prepared, positions: np.ndarray, cell: np.ndarray | None) -> Atoms:
    """A copy with new positions and cell; in float32 what may not move stays exactly as it was.

    Where the cell moves, fixed atoms keep their place in it.
    """
    atoms = item.atoms.copy()
    if cell is None or not atoms.pbc.any():
        positions = np.where(item.movable, positions, atoms.positions)
    else:
        atoms.set_cell(np.where(atoms.cell.any(1)[:, None], cell, 0.0))
    atoms.set_positions(positions, apply_constraint=False)
    return atoms
