"""What a database says of every atom of a batch, its references searched at its very positions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from losiko_torch.loss.matching import Matching
from losiko_torch.loss.objective import Looked, Objective
from losiko_torch.results import Judgement, Matches
from losiko_torch.systems.batch import Batch, sum_by_system
from losiko_torch.systems.neighbors import find_pairs
from losiko_torch.systems.verlet_list import EVERYTHING, Sight, atoms_that_see


@dataclass(frozen=True)
class Verdict:
    """Of N atoms in B structures.

    Attributes:
        batch: The structures.
        terms: What each atom adds to the loss, c_i F_i, (N,).
        matching: Its references.
        weights: Their shares in the target, (N, k), zero where there is none.
        apart: Their squared distances, (N, k).
    """

    batch: Batch
    terms: torch.Tensor
    matching: Matching
    weights: torch.Tensor
    apart: torch.Tensor

    @property
    def losses(self) -> torch.Tensor:
        """Of each structure, (B,)."""
        return sum_by_system(self.terms, self.batch.system_idx, self.batch.n_systems)

    def keep(self, systems: torch.Tensor) -> Verdict:
        """On the structures of the mask (B,)."""
        atoms = systems[self.batch.system_idx]
        return Verdict(
            self.batch.keep(systems),
            self.terms[atoms],
            self.matching.keep(atoms),
            self.weights[atoms],
            self.apart[atoms],
        )

    def joined(self, other: Verdict) -> Verdict:
        """With that on others behind; both are of one objective."""
        return Verdict(
            self.batch.joined(other.batch),
            torch.cat([self.terms, other.terms]),
            self.matching.joined(other.matching),
            torch.cat([self.weights, other.weights]),
            torch.cat([self.apart, other.apart]),
        )

    def swapped(self, other: Verdict, systems: torch.Tensor) -> Verdict:
        """With the structures of the mask (B,) as another verdict on the same ones has them."""
        atoms = systems[self.batch.system_idx]
        rows = atoms.nonzero().squeeze(1)

        def pick(mine: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
            return torch.where(atoms.reshape(-1, *[1] * (mine.ndim - 1)), others, mine)

        return Verdict(
            self.batch.swapped(other.batch, systems),
            pick(self.terms, other.terms),
            self.matching.updated(rows, other.matching.keep(rows)),
            pick(self.weights, other.weights),
            pick(self.apart, other.apart),
        )


@torch.no_grad()
def judge(objective: Objective, batch: Batch, since: Verdict | None = None) -> Verdict:
    """The verdict on a batch; ``since`` is an earlier one on the same structures in other places.

    Atoms whose surroundings are as they were then are not looked at again. An objective
    ``restricted`` to the batch's elements is cheaper.
    """
    sight = EVERYTHING if since is None else _changed(objective, since.batch, batch)
    if since is not None and sight.centers is not None and len(sight.centers) == 0:
        return replace(since, batch=batch)
    numbers = sight.of(batch.numbers)
    features = objective.features(batch, sight)
    components = objective.project(features, numbers)
    known = None if since is None else sight.of(since.matching.indices)
    matching, apart = objective.search(components, numbers, known)
    looked = Looked.at(batch, sight)._replace(
        atoms=torch.arange(len(numbers), device=numbers.device)
    )
    terms, weights = objective.terms(features, components, looked, matching)
    if since is None or sight.centers is None:
        return Verdict(batch, terms, matching, weights, apart)
    return Verdict(
        batch,
        sight.put(since.terms, terms),
        since.matching.updated(sight.centers, matching),
        sight.put(since.weights, weights),
        sight.put(since.apart, apart),
    )


def judgements(objective: Objective, verdict: Verdict) -> list[Judgement]:
    """A verdict structure by structure, with the origins of the references."""
    batch, matching = verdict.batch, verdict.matching
    structure = torch.full_like(matching.indices, -1, dtype=torch.int32)
    atom = torch.full_like(structure, -1)
    looked = Looked.at(batch, EVERYTHING)
    for rows, references, indices in objective.by_element(looked, matching):
        structure[rows, : indices.shape[1]] = references.structure[indices]
        atom[rows, : indices.shape[1]] = references.atom[indices]
    ends = np.cumsum(batch.counts.tolist())[:-1]
    columns = [
        np.split(values.cpu().numpy(), ends)
        for values in (verdict.terms, structure, atom, verdict.weights, verdict.apart)
    ]
    return [
        Judgement(loss, own, Matches(*references))
        for loss, own, *references in zip(verdict.losses.tolist(), *columns, strict=True)
    ]


def _changed(objective: Objective, before: Batch, after: Batch) -> Sight:
    """The atoms whose surroundings are not the same in both."""
    cutoff = objective.cutoff
    cells = (before.cells != after.cells).flatten(1).any(1)
    moved = (before.positions != after.positions).any(1) | cells[after.system_idx]
    if cutoff is None or moved.all():
        return EVERYTHING
    changed = moved.clone()
    for batch in (before, after):
        pairs = find_pairs(batch, cutoff, objective.periodic)
        changed |= atoms_that_see(pairs, moved)
    return Sight(changed.nonzero().squeeze(1))
