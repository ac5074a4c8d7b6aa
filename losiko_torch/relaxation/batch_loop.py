"""The loop that relaxes a batch: evaluate, step, search references again, let the finished go.

Others may join those that are left (see ``flow``): each structure has its own count of steps.

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

from dataclasses import dataclass, replace

import torch

from losiko_torch.loss.judge import Verdict, judge
from losiko_torch.loss.matching import Matching
from losiko_torch.loss.objective import Objective
from losiko_torch.optimizers.interface import Optimizer, State, hold
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.systems.batch import Batch, max_by_system, sum_by_system
from losiko_torch.systems.verlet_list import EVERYTHING, NeighborList

#: Movement of an atom (Angstrom) after which its structure's references are searched again.
SEARCH_DISTANCE = 0.05
#: Searches at a small gradient after which a structure keeps the references it has.
SEARCHES_WHEN_SMALL = 5


@dataclass(frozen=True)
class Ended:
    """Where structures ended: N atoms, B structures.

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

    @property
    def failed(self) -> torch.Tensor:
        """Structures (B,) that are of no use any more."""
        return self.broken | self.collapsed

    def after(self, earlier: Ended) -> Ended:
        """With the failures and steps of an earlier stage counted in."""
        return replace(
            self,
            broken=self.broken | earlier.broken,
            collapsed=self.collapsed | earlier.collapsed,
            n_steps=self.n_steps + earlier.n_steps,
        )

    def keep(self, systems: torch.Tensor) -> Ended:
        """Those of the mask (B,)."""
        return Ended(
            self.last.keep(systems),
            self.best.keep(systems),
            self.converged[systems],
            self.broken[systems],
            self.collapsed[systems],
            self.n_steps[systems],
        )

    def put(self, systems: torch.Tensor, some: Ended) -> None:
        """Note where those of the mask (B,) ended."""
        atoms = systems[self.last.system_idx]
        for target, source in ((self.last, some.last), (self.best, some.best)):
            target.positions[atoms] = source.positions
            target.cells[systems] = source.cells
        self.converged[systems], self.n_steps[systems] = some.converged, some.n_steps
        self.broken[systems], self.collapsed[systems] = some.broken, some.collapsed


@dataclass(frozen=True)
class Progress:
    """The structures still in the batch.

    ``fresh`` are those whose next trial is accepted whatever its loss: their references are just
    found, or they are ``retreating`` from a trial that went far; ``loss`` is that of the last
    accepted one.
    ``state`` and ``best`` are rows of ``coordinates``; ``terms`` are what each atom adds to the
    loss, known of all and computed anew for those whose surroundings change; ``neighbors`` is None
    where the descriptor does not tell how far it sees. ``system`` and ``atom`` number structures
    and atoms among all that are to be relaxed, in the batch or not.
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
    steps: torch.Tensor
    system: torch.Tensor
    atom: torch.Tensor

    @property
    def n_atoms(self) -> int:
        return self.coordinates.start.n_atoms

    def keep(self, systems: torch.Tensor) -> Progress:
        """Those of the mask (B,)."""
        rows = systems[self.coordinates.system]
        atoms = systems[self.coordinates.start.system_idx]
        return Progress(
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
            steps=self.steps[systems],
            system=self.system[systems],
            atom=self.atom[atoms],
        )

    def joined(self, other: Progress) -> Progress:
        """With the structures of another behind; both are of one objective and optimizer."""

        def stacked(mine: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
            return self.coordinates.stacked(other.coordinates, mine, others)

        neighbors = None
        if self.neighbors is not None and other.neighbors is not None:
            neighbors = self.neighbors.joined(other.neighbors)
        return Progress(
            coordinates=self.coordinates.joined(other.coordinates),
            state=self.state.joined(other.state, stacked),
            matching=self.matching.joined(other.matching),
            matched_at=torch.cat([self.matched_at, other.matched_at]),
            terms=torch.cat([self.terms, other.terms]),
            neighbors=neighbors,
            best=stacked(self.best, other.best),
            best_loss=torch.cat([self.best_loss, other.best_loss]),
            fresh=torch.cat([self.fresh, other.fresh]),
            retreating=torch.cat([self.retreating, other.retreating]),
            loss=torch.cat([self.loss, other.loss]),
            searches=torch.cat([self.searches, other.searches]),
            steps=torch.cat([self.steps, other.steps]),
            system=torch.cat([self.system, other.system]),
            atom=torch.cat([self.atom, other.atom]),
        )


def begin(
    objective: Objective,
    everyone: Coordinates,
    systems: torch.Tensor,
    optimizer: Optimizer,
    before: Verdict | None = None,
) -> Progress:
    """A batch of the structures of the mask (B,), at their start.

    Args:
        objective: What to minimise.
        everyone: All structures that are to be relaxed, and what of them moves.
        systems: Which to begin with.
        optimizer: How to step.
        before: The objective's verdict on the start of these, if there is one already.
    """
    coordinates = everyone.keep(systems)
    batch, rows = coordinates.start, coordinates.rows()
    before = judge(objective, batch) if before is None else before
    none = torch.zeros(batch.n_systems, dtype=torch.bool, device=rows.device)
    return Progress(
        coordinates=coordinates,
        state=optimizer.init(rows, batch.n_systems),
        # Searches write into it.
        matching=before.matching.copy(),
        matched_at=batch.positions,
        terms=before.terms,
        neighbors=objective.neighbors(batch, coordinates.moving_atoms()),
        best=rows,
        best_loss=rows.new_full((batch.n_systems,), torch.inf),
        fresh=~none,
        retreating=none,
        loss=rows.new_full((batch.n_systems,), torch.inf),
        searches=none.long(),
        steps=none.long(),
        system=systems.nonzero().squeeze(1),
        atom=systems[everyone.start.system_idx].nonzero().squeeze(1),
    )


def advance(
    objective: Objective,
    progress: Progress,
    optimizer: Optimizer,
    max_steps: int,
    fmax: float,
    ended: Ended,
) -> tuple[Progress | None, int]:
    """One evaluation of every structure of a batch.

    Args:
        objective: What to minimise.
        progress: The batch; at least one structure.
        optimizer: How to step.
        max_steps: Evaluations granted to each structure.
        fmax: Largest gradient on any row, in 1/Angstrom, at which a structure has converged.
        ended: Of all structures that are to be relaxed; those that leave are written there.

    Returns:
        Those that stay in the batch, None if none does, and how many leave.
    """
    progress, done = _step(objective, optimizer, progress, fmax, ended)
    done = done | (progress.steps >= max_steps)
    count = int(done.sum())
    if count == 0:
        return progress, 0
    _write(ended, progress, done)
    return (None if count == len(done) else progress.keep(~done)), count


def _step(
    objective: Objective, optimizer: Optimizer, now: Progress, fmax: float, ended: Ended
) -> tuple[Progress, torch.Tensor]:
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
    ended.broken[now.system], ended.collapsed[now.system] = broken, collapsed

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
    ended.converged[now.system] = converged
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
        steps=now.steps + 1,
    )
    return following, converged | broken | collapsed


def _write(ended: Ended, progress: Progress, done: torch.Tensor) -> None:
    """Note the structures of the mask as ended."""
    coordinates = progress.coordinates
    atoms = done[coordinates.start.system_idx]
    for target, rows in ((ended.last, progress.state.position), (ended.best, progress.best)):
        placed = coordinates.place(rows)
        target.positions[progress.atom[atoms]] = placed.positions[atoms]
        target.cells[progress.system[done]] = placed.cells[done]
    ended.n_steps[progress.system[done]] = progress.steps[done]
