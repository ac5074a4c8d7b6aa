"""Ends of the structures of a batch: noted as they are reached; they leave as a round is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from losiko_torch.relaxation.batch_state import BatchState, Limits
from losiko_torch.relaxation.finished import Finished
from losiko_torch.relaxation.measuring import Measured
from losiko_torch.systems.by_structure import kernel_for


class Outcome(NamedTuple):
    """Outcome of an evaluation for each of B structures, masks of shape (B,).

    Attributes:
        accepted: Structures whose trial was accepted.
        better: Structures whose trial is the best so far.
        converged: Structures that have converged.
        lost: Structures that are of no use any more.
    """

    accepted: torch.Tensor
    better: torch.Tensor
    converged: torch.Tensor
    lost: torch.Tensor


def conclude(
    now: BatchState,
    following: BatchState,
    loss: torch.Tensor,
    outcome: Outcome,
    limits: Limits,
    finished: Finished,
) -> tuple[BatchState | None, int]:
    """Note what an evaluation came to, and let structures leave.

    Args:
        now: Batch whose trials were evaluated.
        following: Batch whose optimizer has taken the step.
        loss: Loss of the trials, shape (B,).
        outcome: Outcome for each structure.
        limits: Limits of the search.
        finished: Ends of all structures, to be written to.

    Returns:
        The structures that stay in the batch, None if none does, and the number of those that left.
    """
    better = outcome.better
    finished.converged[now.system] = torch.where(
        now.ended, finished.converged[now.system], outcome.converged
    )
    following = replace(
        following,
        best=torch.where(better[now.coordinates.system, None], now.state.trial, now.best),
        best_loss=torch.where(better, loss, now.best_loss),
        loss=torch.where(outcome.accepted, loss, now.loss),
        steps=now.steps + 1,
    )
    done = outcome.converged | outcome.lost | (following.steps >= limits.max_steps)
    if limits.rounds == 1:
        return _without_done(following, done, finished)
    _note_ends(following, done & ~now.ended, finished)
    return _after_round(replace(following, ended=now.ended | done), limits)


def concluding_kernel(now: BatchState, limits: Limits) -> Callable[..., Any] | None:
    """Return the kernel that takes ``conclude_by`` for a batch; None where none does."""
    if limits.rounds == 1 or now.coordinates.strains is not None:
        return None
    return kernel_for("conclude", now.coordinates.system, len(now.system))


def conclude_by(
    kernel: Callable[..., Any],
    now: BatchState,
    following: BatchState,
    seen: Measured,
    accepted: torch.Tensor,
    limits: Limits,
    finished: Finished,
) -> tuple[BatchState | None, int]:
    """Find the outcome by a kernel, where nothing is searched, and conclude; see ``conclude``."""
    names = ("best", "best_loss", "loss", "steps", "ended", "system", "atom")
    ends = {"last": finished.last.positions, "best": finished.best.positions}
    ends |= {name: getattr(finished, name) for name in ("converged", "broken", "n_steps")}
    changes = kernel(
        {name: getattr(now, name) for name in names},
        ends,
        now.state.trial,
        following.state.position,
        seen.loss,
        seen.size,
        accepted,
        fmax=limits.fmax,
        max_steps=limits.max_steps,
    )
    return _after_round(replace(following, **changes), limits)


def _without_done(
    state: BatchState, done: torch.Tensor, finished: Finished
) -> tuple[BatchState | None, int]:
    """Write the structures of the mask (B,) as finished, and return the others."""
    count = int(done.sum())
    if count == 0:
        return state, 0
    coordinates = state.coordinates
    atoms = done[coordinates.start.system_idx]
    for end, rows in ((finished.last, state.state.position), (finished.best, state.best)):
        placed = coordinates.place(rows)
        end.positions[state.atom[atoms]] = placed.positions[atoms]
        end.cells[state.system[done]] = placed.cells[done]
    finished.n_steps[state.system[done]] = state.steps[done]
    return (None if count == len(done) else state.keep(~done)), count


def _note_ends(state: BatchState, done: torch.Tensor, finished: Finished) -> None:
    """Write the structures of the mask (B,) as finished, without counting them."""
    coordinates, system = state.coordinates, state.system
    atoms = done[coordinates.start.system_idx, None]
    for end, rows in ((finished.last, state.state.position), (finished.best, state.best)):
        placed, before = coordinates.place(rows), end.positions[state.atom]
        end.positions[state.atom] = torch.where(atoms, placed.positions, before)
        if coordinates.strains is not None:
            before = end.cells[system]
            end.cells[system] = torch.where(done[:, None, None], placed.cells, before)
    finished.n_steps[system] = torch.where(done, state.steps, finished.n_steps[system])


def _after_round(state: BatchState, limits: Limits) -> tuple[BatchState | None, int]:
    """Return the structures that stay, and the number of those that left as a round is over."""
    if state.round % limits.rounds:
        return state, 0
    count = int(state.ended.sum())
    if count == 0:
        return state, 0
    return (None if count == len(state.ended) else state.keep(~state.ended)), count
