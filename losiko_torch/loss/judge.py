"""Judging a batch: the loss of each structure with references searched at its very positions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from losiko_torch.loss.matching import Matching
from losiko_torch.loss.objective import Objective, Search, losses
from losiko_torch.results import Judgement, Matches
from losiko_torch.systems.active import ALL_ATOMS, ActiveAtoms
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.neighbors import find_pairs
from losiko_torch.systems.record import ATOM, SYSTEM, Record, part, per
from losiko_torch.systems.verlet_list import atoms_that_see


@dataclass(frozen=True)
class Judged(Record):
    """Batch of N atoms in B structures with the loss of each.

    Attributes:
        batch: Structures.
        distances: Weighted distance c_i F_i of each atom, shape (N,).
        terms: Values of the terms of the loss, shape (T, B).
        matching: References of the atoms.
        weights: Shares of the references in the target, shape (N, k), zero where there is none.
        apart: Squared distances of the references, shape (N, k).
    """

    batch: Batch = part()
    distances: torch.Tensor = per(ATOM)
    terms: torch.Tensor = per(SYSTEM, dim=-1)
    matching: Matching = part()
    weights: torch.Tensor = per(ATOM)
    apart: torch.Tensor = per(ATOM)

    @property
    def losses(self) -> torch.Tensor:
        """Loss of each structure, shape (B,)."""
        return losses(self.distances, self.terms, self.batch)

    def keep(self, systems: torch.Tensor) -> Judged:
        """Judged structures of the mask (B,)."""
        return self.select(self.batch.masks(systems))

    def joined(self, other: Judged) -> Judged:
        """Judged structures of both; both are of one objective."""
        return self.join(other, self.batch.sizes, other.batch.sizes)

    def swapped(self, other: Judged, systems: torch.Tensor) -> Judged:
        """Judged structures, those of the mask (B,) in the places that ``other`` has them in."""
        return self.where(self.batch.masks(systems), other)


@torch.no_grad()
def judge(objective: Objective, batch: Batch, since: Judged | None = None) -> Judged:
    """Return a batch with its losses; ``since`` are the same structures, judged in other places.

    Atoms whose surroundings are as they were then are not evaluated again. An objective
    ``restricted`` to the batch's elements is cheaper.
    """
    terms = objective.term_values(batch)
    active = ALL_ATOMS if since is None else _changed(objective, since.batch, batch)
    if since is not None and active.centers is not None and len(active.centers) == 0:
        return replace(since, batch=batch, terms=terms)
    known = None if since is None else active.of(since.matching.indices)
    found = objective.search_at(batch, active, known)
    if since is None or active.centers is None:
        return _judged(batch, found, terms)
    return Judged(
        batch,
        active.put(since.distances, found.distances),
        terms,
        since.matching.updated(active.centers, found.matching),
        active.put(since.weights, found.weights),
        active.put(since.apart, found.apart),
    )


def judge_with_errors(
    objective: Objective, batch: Batch, since: Judged | None = None
) -> tuple[Judged, torch.Tensor | None]:
    """Return what ``judge`` does, and the error to expect of each atom, Angstrom, shape (N,).

    Where errors are known both take one evaluation; None stands for unknown ones.
    """
    found = objective.search_with_errors(batch)
    if found is None:
        return judge(objective, batch, since), None
    search, errors = found
    return _judged(batch, search, objective.term_values(batch)), errors


def judgements(objective: Objective, judged: Judged) -> list[Judgement]:
    """Return the judgement of each structure, with the origins of the references."""
    ends = np.cumsum(judged.batch.counts.tolist()).tolist()
    parts = list(zip([0, *ends], ends, strict=False))
    columns = [
        [values[first:end] for first, end in parts] for values in judged_arrays(objective, judged)
    ]
    names = [term.name for term in objective.terms]
    return [
        Judgement(loss, dict(zip(names, terms, strict=True)), own, Matches(*references))
        for loss, terms, own, *references in zip(
            judged.losses.tolist(), judged.terms.T.tolist(), *columns, strict=True
        )
    ]


def judged_arrays(objective: Objective, judged: Judged) -> list[np.ndarray]:
    """Return the distances of all atoms, and the arrays of their ``Matches``."""
    batch, matching = judged.batch, judged.matching
    structure = torch.full_like(matching.indices, -1, dtype=torch.int32)
    atom = torch.full_like(structure, -1)
    for rows, references in objective.elements(batch.numbers):
        count = min(objective.target.n_neighbors, references.usable)
        indices = matching.indices[rows, :count]
        structure[rows, :count] = references.structure[indices]
        atom[rows, :count] = references.atom[indices]
    every = (judged.distances, structure, atom, judged.weights, judged.apart)
    return [each.cpu().numpy() for each in every]


def _judged(batch: Batch, found: Search, terms: torch.Tensor) -> Judged:
    return Judged(batch, found.distances, terms, found.matching, found.weights, found.apart)


def _changed(objective: Objective, before: Batch, after: Batch) -> ActiveAtoms:
    """Return the atoms whose surroundings are not the same in both batches."""
    cutoff = objective.cutoff
    cells = (before.cells != after.cells).flatten(1).any(1)
    moved = (before.positions != after.positions).any(1) | cells[after.system_idx]
    if cutoff is None or moved.all():
        return ALL_ATOMS
    changed = moved.clone()
    for batch in (before, after):
        pairs = find_pairs(batch, cutoff, objective.periodic)
        changed |= atoms_that_see(pairs, moved)
    return ActiveAtoms(changed.nonzero().squeeze(1))
