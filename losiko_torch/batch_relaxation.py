"""The loop that relaxes one batch: evaluate, step, search references again, let the finished go.

The references of an atom stay the same while it moves little, so that its structure descends a
smooth function; they are searched again once an atom of the structure has moved by
``SEARCH_DISTANCE``, and whenever the gradient has become small. A structure has converged when its
gradient is still small right after a search. Some structures wander between two sets of
references, the minimum of each lying in the other's realm: after ``SEARCHES_WHEN_SMALL`` such
searches a structure keeps the references it has and converges on those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from losiko_torch.objective import Matching, Objective
from losiko_torch.optimizers import lbfgs
from losiko_torch.structures import Batch, max_by_system

#: Movement of an atom (Angstrom) after which its structure's references are searched again.
SEARCH_DISTANCE = 0.05
#: Searches at a small gradient after which a structure keeps the references it has.
SEARCHES_WHEN_SMALL = 5


@dataclass(frozen=True)
class Ended:
    """Where the structures of a batch ended: N atoms, B structures.

    Attributes:
        positions: Last accepted positions (N, 3).
        best_positions: Those of the lowest loss seen right after a search (N, 3).
        converged: (B,). broken: Loss or gradient ceased to be finite (B,).
        n_steps: Evaluations of loss and gradient (B,).
    """

    positions: torch.Tensor
    best_positions: torch.Tensor
    converged: torch.Tensor
    broken: torch.Tensor
    n_steps: torch.Tensor

    @classmethod
    def at_start(cls, batch: Batch) -> Ended:
        """To be filled in as structures end."""
        no = torch.zeros(batch.n_systems, dtype=torch.bool, device=batch.positions.device)
        return cls(
            positions=batch.positions.clone(),
            best_positions=batch.positions.clone(),
            converged=no,
            broken=no.clone(),
            n_steps=no.long(),
        )


@dataclass(frozen=True)
class _Progress:
    """The structures still in the batch, with ``fresh`` those whose references are just found."""

    batch: Batch
    state: lbfgs.State
    matching: Matching
    movable: torch.Tensor
    matched_at: torch.Tensor
    best_positions: torch.Tensor
    best_loss: torch.Tensor
    fresh: torch.Tensor
    searches: torch.Tensor
    system: torch.Tensor
    atom: torch.Tensor

    def keep(self, systems: torch.Tensor) -> _Progress:
        atoms = systems[self.batch.system_idx]
        return _Progress(
            batch=self.batch.keep(systems),
            state=self.state.keep(systems, atoms),
            matching=self.matching.keep(atoms),
            movable=self.movable[atoms],
            matched_at=self.matched_at[atoms],
            best_positions=self.best_positions[atoms],
            best_loss=self.best_loss[systems],
            fresh=self.fresh[systems],
            searches=self.searches[systems],
            system=self.system[systems],
            atom=self.atom[atoms],
        )


def relax_batch(
    objective: Objective,
    batch: Batch,
    movable: torch.Tensor,
    settings: lbfgs.LBFGS,
    max_steps: int,
    fmax: float,
    finished: Callable[[int], None],
) -> Ended:
    """Relax all structures of a batch.

    Args:
        objective: What to minimise.
        batch: The starting structures.
        movable: (N, 3), 0 where a coordinate is fixed and 1 elsewhere.
        settings: Of the optimizer.
        max_steps: Evaluations granted to each structure.
        fmax: Largest gradient on any atom, in 1/Angstrom, at which a structure has converged.
        finished: Called with the number of structures that have left the batch.
    """
    ended = Ended.at_start(batch)
    objective = objective.restricted(batch.numbers)
    progress = _begin(objective, batch, movable, settings)
    for step in range(1, max_steps + 1):
        progress, done = _step(objective, settings, progress, fmax, ended)
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
    objective: Objective, settings: lbfgs.LBFGS, now: _Progress, fmax: float, ended: Ended
) -> tuple[_Progress, torch.Tensor]:
    """Evaluate the trial of every structure and decide what each does next."""
    idx, n_systems = now.batch.system_idx, now.batch.n_systems
    evaluation = objective.evaluate(now.batch.with_positions(now.state.trial), now.matching)
    loss, gradient = evaluation.loss, evaluation.gradient * now.movable
    size = max_by_system(gradient.norm(dim=1), idx, n_systems)
    broken = ~(torch.isfinite(loss) & torch.isfinite(size))
    ended.broken[now.system] |= broken

    better = now.fresh & (loss < now.best_loss)
    best_positions = torch.where(better[idx, None], now.state.trial, now.best_positions)
    best_loss = torch.where(better, loss, now.best_loss)
    state, accepted = lbfgs.tell(settings, now.state, loss, gradient, idx, now.fresh)

    small = accepted & (size <= fmax)
    keeps_references = now.searches >= SEARCHES_WHEN_SMALL
    converged = small & (now.fresh | keeps_references)
    ended.converged[now.system] |= converged
    far = max_by_system((state.position - now.matched_at).norm(dim=1), idx, n_systems)
    search = accepted & ~keeps_references & ~converged & (small | (far > SEARCH_DISTANCE))
    matching, matched_at = now.matching, now.matched_at
    if search.any():
        atoms = search[idx]
        found = objective.match(evaluation.features[atoms], now.batch.numbers[atoms])
        matching = matching.updated(atoms, found)
        matched_at = torch.where(atoms[:, None], state.position, matched_at)
        state = lbfgs.hold(state, search, idx)
    following = replace(
        now,
        state=state,
        matching=matching,
        matched_at=matched_at,
        best_positions=best_positions,
        best_loss=best_loss,
        fresh=search,
        searches=now.searches + (search & small).long(),
    )
    return following, converged | broken


def _begin(
    objective: Objective, batch: Batch, movable: torch.Tensor, settings: lbfgs.LBFGS
) -> _Progress:
    device, n_systems = batch.positions.device, batch.n_systems
    return _Progress(
        batch=batch,
        state=lbfgs.init(settings, batch.positions, n_systems),
        matching=objective.match(objective.features(batch), batch.numbers),
        movable=movable,
        matched_at=batch.positions,
        best_positions=batch.positions,
        best_loss=batch.positions.new_full((n_systems,), torch.inf),
        fresh=torch.ones(n_systems, dtype=torch.bool, device=device),
        searches=torch.zeros(n_systems, dtype=torch.long, device=device),
        system=torch.arange(n_systems, device=device),
        atom=torch.arange(batch.n_atoms, device=device),
    )


def _write(ended: Ended, progress: _Progress, done: torch.Tensor, step: int) -> None:
    """Note the structures of the mask as ended."""
    atoms = done[progress.batch.system_idx]
    ended.positions[progress.atom[atoms]] = progress.state.position[atoms]
    ended.best_positions[progress.atom[atoms]] = progress.best_positions[atoms]
    ended.n_steps[progress.system[done]] = step
