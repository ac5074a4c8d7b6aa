"""The loop that relaxes a batch: evaluate, step, search references again, let the finished leave.

Others may join those that are left (see ``batching.in_flight``): each structure has its own count
of steps.

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

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from losiko_torch.loss.judge import Judged, judge
from losiko_torch.loss.matching import Matching
from losiko_torch.loss.objective import Objective
from losiko_torch.optimizers.interface import Optimizer, State, hold
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.finished import Finished
from losiko_torch.relaxation.watch import Watch
from losiko_torch.systems.active import ALL_ATOMS
from losiko_torch.systems.batch import max_by_system, sum_by_system
from losiko_torch.systems.record import ATOM, ROW, SYSTEM, Record, part, per
from losiko_torch.systems.verlet_list import VerletList

#: Movement of an atom (Angstrom) after which its structure's references are searched again.
SEARCH_DISTANCE = 0.05
#: Searches at a small gradient after which a structure keeps the references it has.
SEARCHES_WHEN_SMALL = 5


class Limits(NamedTuple):
    """Limits of a search.

    Attributes:
        max_steps: Evaluations granted to each structure.
        fmax: Largest gradient on any row, in 1/Angstrom, at which a structure has converged.
        rounds: Evaluations after which structures that have ended leave the batch. Until then they
            stay, and nothing of theirs counts: to count who leaves is to wait for a GPU.
    """

    max_steps: int
    fmax: float
    rounds: int = 1


@dataclass(frozen=True)
class BatchState(Record):
    """Structures still in the batch: N atoms, B structures.

    Attributes:
        coordinates: Coordinates that move.
        state: State of the optimizer.
        matching: References of the atoms.
        matched_at: Positions at which they were searched last, shape (N, 3).
        distances: Weighted distance of each atom, shape (N,), as of its last evaluation.
        neighbors: Verlet list; None where the descriptor does not tell how far it sees.
        best: Coordinates of the lowest loss seen right after a search, shape (rows, 3).
        best_loss: That loss, shape (B,).
        fresh: Structures whose next trial is accepted whatever its loss, shape (B,): their
            references are just found, or they are retreating.
        retreating: Structures on the way back from a trial that went far, shape (B,).
        loss: Loss of the last accepted trial, shape (B,).
        searches: Searches at a small gradient, shape (B,).
        steps: Evaluations, shape (B,).
        ended: Structures that have ended, and stay until the round is over, shape (B,).
        round: Evaluations since the batch began.
        system, atom: Numbers of structures and atoms among all that are to be relaxed, in the batch
            or not, shapes (B,) and (N,).
    """

    coordinates: Coordinates = part()
    state: State = part()
    matching: Matching = part()
    matched_at: torch.Tensor = per(ATOM)
    distances: torch.Tensor = per(ATOM)
    neighbors: VerletList | None = part()
    best: torch.Tensor = per(ROW)
    best_loss: torch.Tensor = per(SYSTEM)
    fresh: torch.Tensor = per(SYSTEM)
    retreating: torch.Tensor = per(SYSTEM)
    loss: torch.Tensor = per(SYSTEM)
    searches: torch.Tensor = per(SYSTEM)
    steps: torch.Tensor = per(SYSTEM)
    ended: torch.Tensor = per(SYSTEM)
    round: int = part()
    system: torch.Tensor = per(SYSTEM)
    atom: torch.Tensor = per(ATOM)

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the batch."""
        return self.coordinates.start.n_atoms

    def keep(self, systems: torch.Tensor) -> BatchState:
        """State of the structures of the mask (B,)."""
        return self.select(self.coordinates.masks(systems))

    def joined(self, other: BatchState) -> BatchState:
        """State with the structures of another behind; both are of one objective and optimizer."""
        return self.join(other, self.coordinates.start.sizes, other.coordinates.start.sizes)


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
    coordinates = now.coordinates
    idx, n_systems = coordinates.system, coordinates.start.n_systems
    atom_idx = coordinates.start.system_idx
    trial = now.state.trial
    here = coordinates.place(trial)
    neighbors, active = None, ALL_ATOMS
    if now.neighbors is not None:
        neighbors = now.neighbors.at(here)
        active = neighbors.active(here)
    far, stale, keeps_references = None, None, None
    if objective.searches:
        keeps_references = now.searches >= SEARCHES_WHEN_SMALL
        moved = (here.positions - now.matched_at).norm(dim=1)
        far = max_by_system(moved, atom_idx, n_systems) > SEARCH_DISTANCE
        far = (now.retreating | (far & ~now.fresh)) & ~keeps_references
        stale = far[atom_idx] if far.any() else None
    evaluation = objective.evaluate(here, now.matching, active, stale, now.distances)
    loss = evaluation.loss
    gradient = coordinates.gradient(trial, evaluation)
    loss, gradient = _held(objective, coordinates, trial, loss, gradient)
    size = max_by_system(gradient.norm(dim=1), idx, n_systems)
    lost = finished.note_lost(
        now.system, loss, size, coordinates.collapsed(trial), evaluation.terms, now.ended
    )
    if watch is not None:
        seen = evaluation.loss, size, here, lost
        ended = watch.see(objective, now.system, now.steps + 1, *seen)
        finished.broken[now.system] |= ended
        lost = lost | ended

    fresh = now.fresh if far is None else now.fresh | (far & (loss <= now.loss))
    stiff = objective.stiffness
    state, accepted = optimizer.step(now.state, stiff * loss, stiff * gradient, idx, fresh)
    better, small = loss < now.best_loss, accepted & (size <= limits.fmax)
    if far is None or keeps_references is None:
        # Every loss counts, nothing is searched, and nobody retreats.
        converged = small
        changes: dict[str, Any] = {"fresh": now.retreating}
    else:
        retreating = far & ~accepted
        converged = small & (fresh | keeps_references)
        # Where a trial was accepted, the structure is where it was just evaluated.
        search = small & ~converged
        if search.any():
            some = search[atom_idx]
            changed = objective.search_again(now.matching, evaluation, here, active, some)
            others = max_by_system(changed.to(loss.dtype), atom_idx, n_systems) > 0
            # A structure that finds the references it has is where a search would leave it.
            settled = search & ~others
            converged, fresh, search = converged | settled, fresh | settled, search & others
            state = hold(state, search, idx)
        better = fresh & better
        searched = (far | search)[atom_idx, None]
        changes = {
            "matched_at": torch.where(searched, here.positions, now.matched_at),
            "fresh": search | retreating,
            "retreating": retreating,
            "searches": now.searches + search.long(),
        }
    finished.converged[now.system] = torch.where(
        now.ended, finished.converged[now.system], converged
    )
    following = replace(
        now,
        state=state,
        distances=evaluation.distances,
        neighbors=neighbors,
        best=torch.where(better[idx, None], trial, now.best),
        best_loss=torch.where(better, loss, now.best_loss),
        loss=torch.where(accepted, loss, now.loss),
        steps=now.steps + 1,
        round=now.round + 1,
        **changes,
    )
    done = converged | lost | (following.steps >= limits.max_steps)
    if limits.rounds == 1:
        return _without_done(following, done, finished)
    _note_ends(following, done & ~now.ended, finished)
    following = replace(following, ended=now.ended | done)
    return _without_ended(following) if following.round % limits.rounds == 0 else (following, 0)


def _held(
    objective: Objective,
    coordinates: Coordinates,
    trial: torch.Tensor,
    loss: torch.Tensor,
    gradient: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return loss and gradient with the weak pull to the start that learned targets go with."""
    if objective.hold == 0:
        return loss, gradient
    away, stiffness = (trial - coordinates.rows()) * coordinates.movable, objective.hold
    squares = sum_by_system(away.square().sum(1), coordinates.system, len(loss))
    return torch.add(loss, squares, alpha=stiffness / 2), torch.add(gradient, away, alpha=stiffness)


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


def _without_ended(state: BatchState) -> tuple[BatchState | None, int]:
    """Return the structures that have not ended, and the number of the others."""
    count = int(state.ended.sum())
    if count == 0:
        return state, 0
    return (None if count == len(state.ended) else state.keep(~state.ended)), count
