r"""The loss of a batch against a database, and its gradient.

    L = sum_i c_i F_i(p_i / |p_i|)

with F_i from ``targets`` in the kernel form of ``similarity``, and the batch's weights c_i.
``match`` finds each atom's references; ``evaluate`` computes loss and gradient with respect to the
positions for given references. The gradient with respect to the features is known in closed form,
so that only the descriptor is differentiated by autograd, once, and no Jacobian is formed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from losiko_torch.database.describing import unit_features
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.database.references import Environments
from losiko_torch.descriptors.protocol import cutoff_of, is_periodic
from losiko_torch.neighbor_list import EVERYTHING, NeighborList, Sight
from losiko_torch.similarity import kernel_form
from losiko_torch.structures import Batch, sum_by_system
from losiko_torch.targets import Target


@dataclass(frozen=True)
class Matching:
    """Each atom's references within those of its element.

    Attributes:
        indices: Shape (N, k); -1 fills up where an element has fewer than k references.
        prepared: What the target keeps of them, shape (N, ...).
    """

    indices: torch.Tensor
    prepared: torch.Tensor

    def seen(self, sight: Sight) -> Matching:
        return Matching(sight.of(self.indices), sight.of(self.prepared))

    def keep(self, atoms: torch.Tensor) -> Matching:
        return Matching(self.indices[atoms], self.prepared[atoms])

    def updated(self, atoms: torch.Tensor, newer: Matching) -> Matching:
        """With the rows of these atoms (indices) replaced by those of ``newer``."""
        indices, prepared = self.indices.clone(), self.prepared.clone()
        indices[atoms], prepared[atoms] = newer.indices, newer.prepared
        return Matching(indices, prepared)


@dataclass(frozen=True)
class Evaluation:
    """Loss and gradient of a batch.

    Attributes:
        loss: Of each structure, shape (B,).
        gradient: With respect to the positions, 1/Angstrom, shape (N, 3).
        virial: With respect to a strain that deforms cell and atoms alike, r -> r (1 + strain) for
            row vectors r, shape (B, 3, 3); zero where nothing is periodic.
        distances: The term c_i F_i of each atom looked at, shape (n,).
        weights: Of each one's references, shape (n, k), zero where there is none.
        features: Their unit descriptors, shape (n, F).
    """

    loss: torch.Tensor
    gradient: torch.Tensor
    virial: torch.Tensor
    distances: torch.Tensor
    weights: torch.Tensor
    features: torch.Tensor


@dataclass(frozen=True)
class Objective:
    """A database, the target made of it, and the degree of the kernel."""

    database: EnvironmentDatabase
    target: Target
    degree: float = 1.0

    @property
    def most_neighbors(self) -> int:
        """References that an atom can have: no element offers more than it has."""
        counts = [part.usable for part in self.database.environments.values()]
        return min(self.target.n_neighbors, max(counts))

    def restricted(self, numbers: torch.Tensor) -> Objective:
        """The same for a batch of these atomic numbers only: cheaper, equal results."""
        return replace(self, database=self.database.restricted(numbers.unique().tolist()))

    @property
    def cutoff(self) -> float | None:
        """Distance (Angstrom) beyond which no atom is seen; None: unknown."""
        return cutoff_of(self.database.descriptor)

    @property
    def periodic(self) -> bool:
        """Whether periodic images are seen."""
        return is_periodic(self.database.descriptor)

    def neighbors(self, batch: Batch, moving: torch.Tensor) -> NeighborList | None:
        """The pairs that are seen, of atoms of which those ``moving`` (N,) may move."""
        if self.cutoff is None:
            return None
        return NeighborList.make(batch, moving, self.cutoff, self.periodic)

    @torch.no_grad()
    def features(self, batch: Batch, sight: Sight = EVERYTHING) -> torch.Tensor:
        """Unit descriptors of the n atoms looked at, shape (n, F)."""
        return unit_features(self.database.descriptor, batch, sight)[0]

    @torch.no_grad()
    def match(self, features: torch.Tensor, numbers: torch.Tensor) -> Matching:
        """Search the references of atoms with these unit descriptors (n, F) and numbers (n,)."""
        n, k = len(numbers), self.most_neighbors
        indices = torch.full((n, k), -1, dtype=torch.long, device=features.device)
        prepared: torch.Tensor | None = None
        for number in numbers.unique().tolist():
            rows = (numbers == number).nonzero().squeeze(1)
            references = self.database.references_of(number)
            count = min(k, references.usable)
            _, found = references.nearest(*references.project(features[rows]), count)
            indices[rows, :count] = found
            part = self.target.prepare(references.vectors, found, features.dtype)
            if prepared is None:
                # A Gram matrix has k x k entries; smaller elements use a corner of it.
                shape = [k if size == count else size for size in part.shape[1:]]
                prepared = part.new_zeros((n, *shape))
            prepared[(rows, *(slice(size) for size in part.shape[1:]))] = part
        return Matching(indices, features.new_zeros((n, 0)) if prepared is None else prepared)

    def evaluate(
        self, batch: Batch, matching: Matching | None = None, sight: Sight = EVERYTHING
    ) -> Evaluation:
        """Loss and gradient for these references, or for those that a search finds here.

        ``sight`` says which atoms are looked at: the loss is that of these n, and ``matching`` has
        a row for each.
        """
        positions = batch.positions.detach().requires_grad_()
        cells = batch.cells.detach().requires_grad_()
        here = replace(batch, positions=positions, cells=cells)
        with torch.enable_grad():
            features, _ = unit_features(self.database.descriptor, here, sight)
        p, numbers = features.detach(), sight.of(batch.numbers)
        if matching is None:
            matching = self.match(p, numbers)
        own = None if batch.weights is None else sight.of(batch.weights)
        distances, slope, weights = self.terms(p, numbers, own, matching)
        gradient, pull = torch.autograd.grad(
            features, (positions, cells), grad_outputs=slope, materialize_grads=True
        )
        loss = sum_by_system(distances, sight.of(batch.system_idx), batch.n_systems)
        # By the chain rule through the strained positions and cell vectors.
        virial = batch.cells.transpose(1, 2) @ pull + sum_by_system(
            batch.positions[:, :, None] * gradient[:, None, :], batch.system_idx, batch.n_systems
        )
        virial = virial * batch.pbc.any(1)[:, None, None]
        return Evaluation(loss, gradient, virial, distances, weights, p)

    def losses(self, batch: Batch, features: torch.Tensor, matching: Matching) -> torch.Tensor:
        """Loss alone, shape (B,), from unit descriptors."""
        terms = self.terms(features, batch.numbers, batch.weights, matching)[0]
        return sum_by_system(terms, batch.system_idx, batch.n_systems)

    def by_element(
        self, numbers: torch.Tensor, matching: Matching
    ) -> Iterator[tuple[torch.Tensor, Environments, torch.Tensor]]:
        """For each element its atoms' rows, its references, and the atoms' (n, k) among them."""
        for number in numbers.unique().tolist():
            rows = (numbers == number).nonzero().squeeze(1)
            references = self.database.references_of(number)
            count = min(self.target.n_neighbors, references.usable)
            yield rows, references, matching.indices[rows, :count]

    @torch.no_grad()
    def terms(
        self,
        p: torch.Tensor,
        numbers: torch.Tensor,
        own_weights: torch.Tensor | None,
        matching: Matching,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """c_i F_i (n,), its gradient by the unit descriptors (n, F), and weights (n, k)."""
        distances, slope = p.new_zeros(len(p)), torch.zeros_like(p)
        weights = p.new_zeros(matching.indices.shape)
        for rows, references, indices in self.by_element(numbers, matching):
            count = indices.shape[1]
            prepared = matching.prepared[rows]
            if prepared.ndim == 3:
                prepared = prepared[:, :count, :count]
            components, rest = references.project(p[rows])
            inverse = references.inverse_weights(indices, p.dtype)
            values = self.target.evaluate(
                components, rest, references.vectors, indices, prepared, inverse
            )
            terms, factor = kernel_form(values.loss, self.degree)
            if own_weights is not None:
                own = own_weights[rows]
                terms, factor = terms * own, factor * own
            distances[rows] = terms
            pull = values.gradient * factor[:, None]
            share = values.share * factor
            slope[rows] = references.gradient(p[rows], components, pull, share)
            weights[rows, :count] = values.weights
        return distances, slope, weights
