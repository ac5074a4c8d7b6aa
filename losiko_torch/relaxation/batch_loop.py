"""The loop that relaxes a batch: evaluate, step, search references again, let the finished leave.

Others may join those that are left (see ``batching.in_flight``): each structure has its own count
of steps.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from losiko_torch.loss.judge import Judged, judge
from losiko_torch.loss.objective import Objective
from losiko_torch.optimizers.interface import Optimizer
from losiko_torch.relaxation.batch_state import BatchState, Limits
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.ending import Outcome, conclude, conclude_by, concluding_kernel
from losiko_torch.relaxation.finished import Finished
from losiko_torch.relaxation.measuring import measure
from losiko_torch.relaxation.searching import far_from_search, search_when_small
from losiko_torch.relaxation.watch import Watch
from losiko_torch.systems.active import ALL_ATOMS


def begin(
    objective: Objective,
    everyone: Coordinates,
    systems: torch.Tensor,
    optimizer: Optimizer,
    before: Judged | None = None,
) -> BatchState:
    """Return a batch of the structures of the mask (B,), at their start.

    Args:
        objective: Loss to minimise.
        everyone: Coordinates of all structures that are to be relaxed.
        systems: Structures to begin with.
        optimizer: Optimizer.
        before: These structures at their start as the objective judges them, where that is known.
    """
    coordinates = everyone.keep(systems)
    batch, rows = coordinates.start, coordinates.rows()
    before = judge(objective, batch) if before is None else before
    none = torch.zeros(batch.n_systems, dtype=torch.bool, device=rows.device)
    return BatchState(
        coordinates=coordinates,
        state=optimizer.init(rows, batch.n_systems),
        # Searches write into it.
        matching=before.matching.copy(),
        matched_at=batch.positions,
        distances=before.distances,
        neighbors=objective.neighbors(batch, coordinates.moving_atoms()),
        best=rows,
        best_loss=rows.new_full((batch.n_systems,), torch.inf),
        fresh=~none,
        retreating=none,
        loss=rows.new_full((batch.n_systems,), torch.inf),
        searches=none.long(),
        steps=none.long(),
        ended=none,
        round=0,
        system=systems.nonzero().squeeze(1),
        atom=systems[everyone.start.system_idx].nonzero().squeeze(1),
    )


def advance(
    objective: Objective,
    optimizer: Optimizer,
    now: BatchState,
    limits: Limits,
    finished: Finished,
    watch: Watch | None = None,
) -> tuple[BatchState | None, int]:
    """Evaluate the trial of every structure of a batch, and decide what each does next.

    Args:
        objective: Loss to minimise.
        optimizer: Optimizer.
        now: Batch of at least one structure.
        limits: Limits of the search.
        finished: Ends of all structures that are to be relaxed; those that leave are written there.
        watch: Observer of the evaluations.

    Returns:
        The structures that stay in the batch, None if none does, and the number of those that left.
    """
    coordinates, trial = now.coordinates, now.state.trial
    here = coordinates.place(trial)
    neighbors, active = None, ALL_ATOMS
    if now.neighbors is not None:
        neighbors = now.neighbors.at(here)
        active = neighbors.active(here)
    far, stale = None, None
    if objective.searches:
        far = far_from_search(now, here)
        stale = far[here.system_idx] if far.any() else None
    evaluation = objective.evaluate(here, now.matching, active, stale, now.distances)
    seen = measure(objective, coordinates, trial, evaluation)
    fresh = now.fresh if far is None else now.fresh | (far & (seen.loss <= now.loss))
    steep = seen.steep_loss, seen.steep_gradient
    state, accepted = optimizer.step(now.state, *steep, coordinates.system, fresh)
    following = replace(
        now,
        state=state,
        distances=evaluation.distances,
        neighbors=neighbors,
        # With no reference to search, every loss counts, and nobody retreats.
        fresh=now.retreating,
        round=now.round + 1,
    )
    quiet = far is None and watch is None and not len(evaluation.terms)
    kernel = concluding_kernel(now, limits) if quiet else None
    if kernel is not None:
        return conclude_by(kernel, now, following, seen, accepted, limits, finished)

    collapsed, terms = coordinates.collapsed(trial), evaluation.terms
    lost = finished.note_lost(now.system, seen.loss, seen.size, collapsed, terms, now.ended)
    if watch is not None:
        told = evaluation.loss, seen.size, here, lost
        ended = watch.see(objective, now.system, now.steps + 1, *told)
        finished.broken[now.system] |= ended
        lost = lost | ended
    better, converged = seen.loss < now.best_loss, accepted & (seen.size <= limits.fmax)
    if far is not None:
        masks = far, fresh, accepted, converged
        around = evaluation, here, active
        following, counts, converged = search_when_small(objective, following, *around, *masks)
        better = counts & better
    outcome = Outcome(accepted, better, converged, lost)
    return conclude(now, following, seen.loss, outcome, limits, finished)
