"""Times at which the references of a structure are searched again on its way.

The references of an atom stay the same while it moves little, so that its structure descends a
smooth function. They are searched again at a trial that has taken an atom of the structure farther
than ``SEARCH_DISTANCE`` from where they were searched last. Such a trial is accepted unless it
raises the loss; if it does, the next, shorter one is, whatever its loss: the one before was that of
other references. And they are searched whenever the gradient has become small: a structure has
converged when its gradient is still small right after a search. Some structures wander between two
sets of references, the minimum of each lying in the other's realm: after ``SEARCHES_WHEN_SMALL``
such searches a structure keeps the references it has and converges on those. Targets without
references need none of this.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from losiko_torch.loss.objective import Evaluation, Objective
from losiko_torch.optimizers.interface import hold
from losiko_torch.relaxation.batch_state import BatchState
from losiko_torch.systems.active import ActiveAtoms
from losiko_torch.systems.batch import Batch, max_by_system

#: Movement of an atom (Angstrom) after which its structure's references are searched again.
SEARCH_DISTANCE = 0.05
#: Searches at a small gradient after which a structure keeps the references it has.
SEARCHES_WHEN_SMALL = 5


def far_from_search(now: BatchState, here: Batch) -> torch.Tensor:
    """Return the mask (B,) of structures whose references are searched at their trials."""
    moved = (here.positions - now.matched_at).norm(dim=1)
    far = max_by_system(moved, here.system_idx, here.n_systems) > SEARCH_DISTANCE
    return (now.retreating | (far & ~now.fresh)) & ~_keeps_references(now)


def _keeps_references(now: BatchState) -> torch.Tensor:
    """Return the mask (B,) of structures that have searched enough at a small gradient."""
    return now.searches >= SEARCHES_WHEN_SMALL


def search_when_small(
    objective: Objective,
    now: BatchState,
    evaluation: Evaluation,
    here: Batch,
    active: ActiveAtoms,
    far: torch.Tensor,
    fresh: torch.Tensor,
    accepted: torch.Tensor,
    small: torch.Tensor,
) -> tuple[BatchState, torch.Tensor, torch.Tensor]:
    """Search references where the gradient is small, of the structures after their step.

    Args:
        objective: Loss to minimise.
        now: Batch whose optimizer has taken the step.
        evaluation: Evaluation of the trials.
        here, active: Trials, and the atoms that were evaluated.
        far: Structures whose references were searched at the trial, shape (B,).
        fresh: Structures whose references were just found, shape (B,).
        accepted, small: Structures whose trial was accepted, at a small gradient, shape (B,).

    Returns:
        The batch, and the masks (B,) of structures whose loss counts and that have converged.
    """
    retreating = far & ~accepted
    converged = small & (fresh | _keeps_references(now))
    # Where a trial was accepted, the structure is where it was just evaluated.
    search = small & ~converged
    state = now.state
    if search.any():
        some = search[here.system_idx]
        changed = objective.search_again(now.matching, evaluation, here, active, some)
        others = max_by_system(changed.to(evaluation.loss), here.system_idx, here.n_systems) > 0
        # A structure that finds the references it has is where a search would leave it.
        settled = search & ~others
        converged, fresh, search = converged | settled, fresh | settled, search & others
        state = hold(state, search, now.coordinates.system)
    searched = (far | search)[here.system_idx, None]
    following = replace(
        now,
        state=state,
        matched_at=torch.where(searched, here.positions, now.matched_at),
        fresh=search | retreating,
        retreating=retreating,
        searches=now.searches + search.long(),
    )
    return following, fresh, converged
