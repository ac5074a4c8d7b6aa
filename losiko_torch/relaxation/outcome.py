"""Making results of the ends of a batch: never worse than the start, and the best of all copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from ase import Atoms

from losiko_torch.batching.cleared import Cleared
from losiko_torch.batching.prepare import Prepared
from losiko_torch.loss.judge import (
    Judged,
    judge,
    judge_with_errors,
    judged_arrays,
    judgements,
)
from losiko_torch.loss.objective import Objective
from losiko_torch.relaxation.finished import Finished
from losiko_torch.relaxation.settings import Settings
from losiko_torch.relaxation.strain import ANY_STRAIN
from losiko_torch.relaxation.symmetry import symmetrized
from losiko_torch.results import FAILED, STOPPED, Result
from losiko_torch.results.columns import Columns, ManyResults
from losiko_torch.systems.batch import Batch, max_by_system
from losiko_torch.systems.molecules import copy_of
from losiko_torch.verdict.electrons import doubt_electrons
from losiko_torch.verdict.verdict import Signs, doubts_of

NOT_FINITE = "its loss, gradient or positions ceased to be finite numbers"
COLLAPSED = "its cell collapsed or blew up: start from a better cell, or keep it fixed"
#: A symmetric structure is taken as long as its loss is not larger than this many times that of the
#: relaxed one: among many references a lopsided compromise always comes a little closer.
OBJECTION = 2.0
#: Tolerance (Angstrom) where none is asked for, and atoms of a cell up to which it is tried then.
SYMPREC, MOST_ATOMS = 0.4, 64


def results_of(
    items: Sequence[Prepared],
    objective: Objective,
    before: Judged,
    finished: Finished,
    settings: Settings,
) -> Sequence[Result]:
    """Return the result of each structure of a batch, judged ``before`` at its start.

    Args:
        items: Structures as they were prepared.
        objective: Loss.
        before: Structures as they were given, judged.
        finished: Ends of the structures.
        settings: Options of the relaxation.
    """
    relaxed, expected = _never_worse(objective, before, finished)
    settled = finished.converged & ~_differs(relaxed.batch, finished.last)
    after = relaxed
    if settings.strain == ANY_STRAIN:
        after = _symmetric(objective, items, before, relaxed, settings.symprec)
    if after is not relaxed:
        expected = objective.expected_errors(after.batch)
    start_losses = before.losses.tolist()
    if isinstance(items, Cleared):
        moving = torch.ones_like(before.batch.numbers, dtype=torch.bool)
    else:
        moving = torch.as_tensor(np.concatenate([item.movable for item in items]).any(1))
        moving = moving.to(before.batch.positions.device)
    searched = not objective.by_model and after.apart.shape[1] > 0
    nearest = after.apart[:, 0] if searched else None
    signs = Signs(nearest, expected, settings.max_error)
    doubts = doubts_of(before.batch, after.batch, moving, objective.database, signs)
    if isinstance(items, Cleared):
        return _in_columns(items, objective, before, after, (finished, settled), expected, doubts)
    judged, counts = judgements(objective, after), after.batch.counts.tolist()
    limits = np.cumsum([0, *counts]).tolist()
    errors = None if expected is None else expected.cpu().numpy()
    positions = after.batch.positions.double().cpu().numpy()
    start_cells, cells = (each.batch.cells.double().cpu().numpy() for each in (before, after))
    deformed = (np.abs(cells - start_cells) > 0).any((1, 2)).tolist()
    ends = (
        *(finished.broken, finished.collapsed, settled, finished.converged),
        *(finished.n_steps, finished.bad_term),
    )
    # At once: to look at a number on a GPU is to wait for it.
    fates = zip(*(each.tolist() for each in ends), strict=True)
    results = []
    for k, (item, (broken, collapsed, converged, small, n_steps, bad_term)) in enumerate(
        zip(items, fates, strict=True)
    ):
        if broken or collapsed:
            problem = COLLAPSED if collapsed else _not_finite(objective, bad_term)
            results.append(failure(item.atoms, problem, start_losses[k], item.number))
            continue
        reason, unfinished = _ending(converged, small)
        own = slice(limits[k], limits[k + 1])
        cell = (start_cells[k], cells[k]) if deformed[k] else None
        results.append(
            Result(
                atoms=_moved(item, positions[own], cell),
                loss=judged[k].loss,
                start_loss=start_losses[k],
                converged=converged,
                n_steps=n_steps,
                reason=reason,
                distances=judged[k].distances,
                matches=judged[k].matches,
                number=item.number,
                terms=judged[k].terms,
                expected_error=None if errors is None else errors[own],
                doubt=doubts[k] or unfinished or doubt_electrons(item.atoms, objective.database),
                start_positions=item.atoms.get_positions(),
                start_cell=start_cells[k] if deformed[k] else None,
            )
        )
    return results


def _in_columns(
    items: Cleared,
    objective: Objective,
    before: Judged,
    after: Judged,
    ends: tuple[Finished, torch.Tensor],
    expected: torch.Tensor | None,
    doubts: list[str],
) -> ManyResults:
    """Return what ``results_of`` does, in columns; molecules without cells keep all of theirs."""
    finished, settled = ends
    converged, small = settled.cpu().numpy(), finished.converged.cpu().numpy()
    lost = finished.failed.cpu().numpy()
    start_loss = before.losses.double().cpu().numpy()
    distances, *matches = judged_arrays(objective, after)
    molecules, reasons = items.molecules, ["converged"] * len(items)
    for k in np.flatnonzero(~converged).tolist():
        reasons[k], unfinished = _ending(False, bool(small[k]))
        doubts[k] = doubts[k] or unfinished
    # A molecule of these has no charge, so that its electrons are those of its atoms.
    odd = np.add.reduceat(molecules.numbers, molecules.offsets[:-1]) % 2 == 1
    for k in np.flatnonzero(odd).tolist():
        doubts[k] = doubts[k] or doubt_electrons(molecules[k], objective.database)
    names = [term.name for term in objective.terms]
    columns = Columns(
        molecules.at(after.batch.positions.double().cpu().numpy()),
        molecules.positions,
        items.numbers,
        after.losses.double().cpu().numpy(),
        start_loss,
        converged,
        finished.n_steps.cpu().numpy(),
        reasons,
        doubts,
        distances,
        tuple(matches),
        None if expected is None else expected.cpu().numpy(),
        dict(zip(names, after.terms.double().cpu().numpy(), strict=True)),
    )
    failed = {}
    for k in np.flatnonzero(lost).tolist():
        gone, bad_term = bool(finished.collapsed[k]), int(finished.bad_term[k])
        problem = COLLAPSED if gone else _not_finite(objective, bad_term)
        failed[k] = failure(molecules[k], problem, float(start_loss[k]), int(items.numbers[k]))
    return ManyResults(columns, np.where(lost, -1, np.arange(len(items))), failed)


def _ending(converged: bool, gradient_small: bool) -> tuple[str, str]:
    """Return the reason why a relaxation ended, and the doubt about a structure that this means."""
    if converged:
        return "converged", ""
    if gradient_small:
        return (
            f"{STOPPED}references searched at the end make its loss larger than at a point before",
            "it stopped on the way: begin from a better structure, or with another optimizer",
        )
    return "max_steps", "it was not done at the last step: grant it more of them (max_steps)"


def _not_finite(objective: Objective, bad_term: int) -> str:
    """Return the reason of a structure that broke, and the term of the loss that did, if any."""
    if bad_term < 0:
        return NOT_FINITE
    return f"the term '{objective.terms[bad_term].name}' ceased to be a finite number"


def failure(atoms: Atoms, problem: str, start_loss: float = np.nan, number: int = 0) -> Result:
    """Return the result of a structure that could not be relaxed."""
    return Result(
        atoms=atoms.copy(),
        loss=np.nan,
        start_loss=start_loss,
        converged=False,
        n_steps=0,
        reason=f"{FAILED}{problem}",
        distances=np.full(len(atoms), np.nan),
        matches=None,
        number=number,
        doubt=problem,
    )


def best_of(copies: Sequence[Result]) -> Result:
    """Return the result of lowest loss, the first among equals, with all of them as its ``starts``.

    The first is that of the input as it was given: its loss at the start is that of the best one
    too, and a copy that is worse than that does not count.
    """
    first = copies[0]
    losses = [np.inf if copy.failed else copy.loss for copy in copies]
    best = copies[int(np.argmin(losses))]
    if best.loss > first.start_loss:
        best = first
    return replace(best, start_loss=first.start_loss, starts=tuple(copies))


def best_conformer(ends: Sequence[Result]) -> Result:
    """Return the best result among conformers of a molecule, with all of them as its ``starts``.

    Reliable ones come first, then the expected error decides, then the loss.
    """

    def badness(end: Result) -> tuple[float, ...]:
        error = end.expected_rmsd
        known = np.inf if error is None or end.failed else error
        return end.failed, not end.reliable, known, np.inf if end.failed else end.loss

    return replace(min(ends, key=badness), starts=tuple(ends))


def _never_worse(
    objective: Objective, before: Judged, finished: Finished
) -> tuple[Judged, torch.Tensor | None]:
    """Return structures where they ended, or at their best where a last search finds the end worse.

    References are chosen by nearness, so that a search at the end can raise the loss. The errors to
    expect (N,) are told along with them.
    """

    def worse(judged: Judged) -> torch.Tensor:
        # Written so that a loss that is not finite is worse.
        return ~(judged.losses <= before.losses)

    after, expected = judge_with_errors(objective, finished.last, before)
    bad = worse(after)
    if bad.any():
        after = judge(objective, finished.last.swapped(finished.best, bad), after)
        # The best may be the start, and that worse than itself by rounding.
        after = after.swapped(before, worse(after))
        again = None if expected is None else objective.expected_errors(after.batch.keep(bad))
        if expected is not None and again is not None:
            expected[bad[after.batch.system_idx]] = again
    return after, expected


def _symmetric(
    objective: Objective,
    items: Sequence[Prepared],
    before: Judged,
    after: Judged,
    symprec: float | None,
) -> Judged:
    """Return the structures with free crystals made symmetric, where the loss does not object.

    Without a ``symprec`` those of some atoms are, where the loss falls: near a symmetric crystal it
    is so flat along shears, their fourth power, that no gradient leads there.
    """
    batch = after.batch.copy()
    tried = torch.zeros(batch.n_systems, dtype=torch.bool, device=batch.positions.device)
    positions = batch.positions.double().cpu().split(batch.counts.tolist())
    for k, item in enumerate(items):
        if not (item.atoms.pbc.all() and item.movable.all()):
            continue
        if symprec is None and len(item.atoms) > MOST_ATOMS:
            continue
        atoms = item.atoms.copy()
        atoms.set_cell(batch.cells[k].double().cpu().numpy())
        atoms.set_positions(positions[k].numpy(), apply_constraint=False)
        better = symmetrized(atoms, symprec or SYMPREC)
        if better is not None:
            tried[k] = True
            batch.positions[batch.system_idx == k] = torch.as_tensor(better.positions).to(
                batch.positions
            )
            batch.cells[k] = torch.as_tensor(better.cell.array).to(batch.cells)
    if not tried.any():
        return after
    made = judge(objective, batch, after)
    allowed = after.losses
    if symprec is not None:
        allowed = allowed + (OBJECTION - 1) * allowed.abs()
    taken = (made.losses <= allowed) & (made.losses <= before.losses)
    return after.swapped(made, tried & taken)


def _differs(batch: Batch, other: Batch) -> torch.Tensor:
    """Return the mask (B,) of structures that differ between two batches."""
    apart = (batch.positions - other.positions).abs().amax(1)
    atoms = max_by_system(apart, batch.system_idx, batch.n_systems)
    return (atoms > 0) | (batch.cells != other.cells).any(2).any(1)


def _moved(
    item: Prepared, positions: np.ndarray, cells: tuple[np.ndarray, np.ndarray] | None
) -> Atoms:
    """Return a copy with new positions and cell; fixed coordinates stay the same to the last bit.

    Where the cell moves, fixed atoms keep their place in it. ``cells`` are the cell as it was
    calculated with, missing vectors completed, and as it ended: vectors that are missing stay
    missing. None stands for a cell that did not move.
    """
    fixed = item.atoms.positions
    if cells is None:
        return copy_of(item.atoms, np.where(item.movable, positions, fixed))
    atoms = item.atoms.copy()
    before: np.ndarray = atoms.cell.array
    start_cell, cell = cells
    changed: np.ndarray = (np.abs(cell - start_cell) > 0).any(axis=1)
    changed &= np.abs(start_cell - before).max(axis=1) < 1e-3
    if changed.any():
        atoms.set_cell(np.where(np.reshape(changed, (3, 1)), cell, before))
        fixed = fixed @ np.linalg.solve(start_cell, cell)
        positions = np.where(item.movable.any(axis=1, keepdims=True), positions, fixed)
    else:
        positions = np.where(item.movable, positions, fixed)
    atoms.set_positions(positions, apply_constraint=False)
    return atoms
