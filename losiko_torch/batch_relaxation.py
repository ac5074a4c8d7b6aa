"""The loop that relaxes one batch: evaluate, step, search references again, let the finished go.

The references of an atom stay the same while it moves little, so that its structure descends a
smooth function. They are searched again at a trial that has taken an atom of the structure farther
than ``SEARCH_DISTANCE`` from where they were searched last. Such a trial is accepted unless it
raises the loss; if it does, the next, shorter one is, whatever its loss: the one before was that of
other references. And they are searched whenever the gradient has become small: a structure has
converged when its gradient is still small right after a search. Some structures wander between two
sets of references, the minimum of each lying in the other's realm: after ``SEARCHES_WHEN_SMALL``
such searches a structure keeps the references it has and converges on those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from losiko_torch.coordinates import Coordinates
from losiko_torch.matching import Matching
from losiko_torch.neighbor_list import EVERYTHING, NeighborList
from losiko_torch.objective import Objective
from losiko_torch.optimizers.stepping import Optimizer, State, hold
from losiko_torch.structures import Batch, max_by_system, sum_by_system
from losiko_torch.verdict import Verdict, judge

#: Movement of an atom (Angstrom) after which its structure's references are searched again.
SEARCH_DISTANCE = 0.05
#: Searches at a small gradient after which a structure keeps the references it has.
SEARCHES_WHEN_SMALL = 5


@dataclass(frozen=True)
class Ended:
    """Where the structures of a batch ended: N atoms, B structures.

    Attributes:
        last: The structures as last accepted.
        best: As they were at the lowest loss seen right after a search.
        converged: (B,). broken: Loss or gradient ceased to be finite (B,). collapsed: The cell
            became absurdly small or large (B,).
        n_steps: Evaluations of loss and gradient (B,).
    """

    last: Batch
    best: Batch
    converged: torch.Tensor
    broken: torch.Tensor
    collapsed: torch.Tensor
    n_steps: torch.Tensor

    @classmethod
    def at_start(cls, batch: Batch) -> Ended:
        """To be filled in as structures end."""
        no = torch.zeros(batch.n_systems, dtype=torch.bool, device=batch.positions.device)
        return cls(
            last=batch.copy(),
            best=batch.copy(),
            converged=no,
            broken=no.clone(),
            collapsed=no.clone(),
            n_steps=no.long(),
        )


@dataclass(frozen=True)
class _Progress:
    """The structures still in the batch.

    ``fresh`` are those whose next trial is accepted whatever its loss: their references are just
    found, or they are ``retreating`` from a trial that went far; ``loss`` is that of the last
    accepted one.
    ``state`` and ``best`` are rows of ``coordinates``; ``terms`` are what each atom adds to the
    loss, known of all and computed anew for those whose surroundings change; ``neighbors`` is None
    where the descriptor does not tell how far it sees. ``system`` and ``atom`` number structures
    and atoms as they were at the start of the batch.
    """

    coordinates: Coordinates
    state: State
    matching: Matching
    matched_at: torch.Tensor
    terms: torch.Tensor
    neighbors: NeighborList | None
    best: torch.Tensor
    best_loss: torch.Tensor
    fresh: torch.Tensor
    retreating: torch.Tensor
    loss: torch.Tensor
    searches: torch.Tensor
    system: torch.Tensor
    atom: torch.Tensor

    def keep(self, systems: torch.Tensor) -> _Progress:
        rows = systems[self.coordinates.system]
        atoms = systems[self.coordinates.start.system_idx]
        return _Progress(
            coordinates=self.coordinates.keep(systems),
            state=self.state.keep(systems, rows),
            matching=self.matching.keep(atoms),
            matched_at=self.matched_at[atoms],
            terms=self.terms[atoms],
            neighbors=None if self.neighbors is None else self.neighbors.keep(systems),
            best=self.best[rows],
            best_loss=self.best_loss[systems],
            fresh=self.fresh[systems],
            retreating=self.retreating[systems],
            loss=self.loss[systems],
            searches=self.searches[systems],
            system=self.system[systems],
            atom=self.atom[atoms],
        )


def relax_batch(
    objective: Objective,
    coordinates: Coordinates,
    optimizer: Optimizer,
    max_steps: int,
    fmax: float,
    finished: Callable[[int], None],
    before: Verdict | None = None,
) -> Ended:
    """Relax all structures of a batch.

    Args:
        objective: What to minimise.
        coordinates: The starting structures, and what of them moves.
        optimizer: How to step.
        max_steps: Evaluations granted to each structure.
        fmax: Largest gradient on any row, in 1/Angstrom, at which a structure has converged.
        finished: Called with the number of structures that have left the batch.
        before: The objective's verdict on the start, if there is one already.
    """
    ended = Ended.at_start(coordinates.start)
    objective = objective.restricted(coordinates.start.numbers)
    before = judge(objective, coordinates.start) if before is None else before
    progress = _begin(objective, coordinates, optimizer, before)
    for step in range(1, max_steps + 1):
        progress, done = _step(objective, optimizer, progress, fmax, ended)
        if step == max_steps:
            done = torch.ones_like(done)
        if not done.any():
            continue
        _write(ended, progress, done, step)
        finished(int(done.sum()))
        if done.all():
            break
        progress = progress.keep(~done)
    return ended


def _step(
    objective: Objective, optimizer: Optimizer, now: _Progress, fmax: float, ended: Ended
) -> tuple[_Progress, torch.Tensor]:
    """Evaluate the trial of every structure and decide what each does next."""
    coordinates = now.coordinates
    idx, n_systems = coordinates.system, coordinates.start.n_systems
    atom_idx = coordinates.start.system_idx
    trial = now.state.trial
    here = coordinates.place(trial)
    neighbors, sight = None, EVERYTHING
    if now.neighbors is not None:
        neighbors = now.neighbors.at(here)
        sight = neighbors.sight(here)
    keeps_references = now.searches >= SEARCHES_WHEN_SMALL
    moved = (here.positions - now.matched_at).norm(dim=1)
    far = max_by_system(moved, atom_idx, n_systems) > SEARCH_DISTANCE
    far = (now.retreating | (far & ~now.fresh)) & ~keeps_references
    stale = far[atom_idx] if far.any() else None
    evaluation = objective.evaluate(here, now.matching, sight, stale)
    terms = sight.put(now.terms, evaluation.distances)
    loss = sum_by_system(terms, atom_idx, n_systems)
    gradient = coordinates.gradient(trial, evaluation)
    size = max_by_system(gradient.norm(dim=1), idx, n_systems)
    broken = ~(torch.isfinite(loss) & torch.isfinite(size))
    collapsed = coordinates.collapsed(trial)
    ended.broken[now.system] |= broken
    ended.collapsed[now.system] |= collapsed

    fresh = now.fresh | (far & (loss <= now.loss))
    state, accepted = optimizer.tell(now.state, loss, gradient, idx, fresh)
    retreating = far & ~accepted

    small = accepted & (size <= fmax)
    converged = small & (fresh | keeps_references)
    # Where a trial was accepted, the structure is where it was just evaluated.
    search = small & ~converged
    if search.any():
        changed = objective.search_again(now.matching, evaluation, here, sight, search[atom_idx])
        others = max_by_system(changed.to(loss.dtype), atom_idx, n_systems) > 0
        # What finds the references that it has is where a search would leave it.
        settled = search & ~others
        converged, fresh, search = converged | settled, fresh | settled, search & others
        state = hold(state, search, idx)
    ended.converged[now.system] |= converged
    better = fresh & (loss < now.best_loss)
    best = torch.where(better[idx, None], trial, now.best)
    best_loss = torch.where(better, loss, now.best_loss)
    searched = (far | search)[atom_idx, None]
    following = replace(
        now,
        state=state,
        matched_at=torch.where(searched, here.positions, now.matched_at),
        terms=terms,
        neighbors=neighbors,
        best=best,
        best_loss=best_loss,
        fresh=search | retreating,
        retreating=retreating,
        loss=torch.where(accepted, loss, now.loss),
        searches=now.searches + search.long(),
    )
    return following, converged | broken | collapsed


def _begin(
    objective: Objective, coordinates: Coordinates, optimizer: Optimizer, before: Verdict
) -> _Progress:
    batch, rows = coordinates.start, coordinates.rows()
    device, n_systems = rows.device, batch.n_systems
    return _Progress(
        coordinates=coordinates,
        state=optimizer.init(rows, n_systems),
        # Searches write into it.
        matching=before.matching.copy(),
        matched_at=batch.positions,
        terms=before.terms,
        neighbors=objective.neighbors(batch, coordinates.moving_atoms()),
        best=rows,
        best_loss=rows.new_full((n_systems,), torch.inf),
        fresh=torch.ones(n_systems, dtype=torch.bool, device=device),
        retreating=torch.zeros(n_systems, dtype=torch.bool, device=device),
        loss=rows.new_full((n_systems,), torch.inf),
        searches=torch.zeros(n_systems, dtype=torch.long, device=device),
        system=torch.arange(n_systems, device=device),
        atom=torch.arange(batch.n_atoms, device=device),
    )


def _write(ended: Ended, progress: _Progress, done: torch.Tensor, step: int) -> None:
    """Note the structures of the mask as ended."""
    coordinates = progress.coordinates
    atoms = done[coordinates.start.system_idx]
    for target, rows in ((ended.last, progress.state.position), (ended.best, progress.best)):
        placed = coordinates.place(rows)
        target.positions[progress.atom[atoms]] = placed.positions[atoms]
        target.cells[progress.system[done]] = placed.cells[done]
    ended.n_steps[progress.system[done]] = step
