r"""The loss of a batch against a database, and its gradient.

    L = sum_i c_i F_i(p_i / |p_i|)

with F_i from ``targets`` in the kernel form of ``similarity``, and the batch's weights c_i.
``match`` finds each atom's references; ``evaluate`` computes loss and gradient with respect to the
positions for given references. The gradient with respect to the features is known in closed form
and traced back through the descriptor once (see ``surroundings``); no Jacobian is formed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.database.references import Environments
from losiko_torch.descriptors.protocol import cutoff_of, is_periodic
from losiko_torch.matching import Components, Matching, keep_places
from losiko_torch.neighbor_list import EVERYTHING, NeighborList, Sight
from losiko_torch.similarity import kernel_form
from losiko_torch.structures import Batch, sum_by_system
from losiko_torch.surroundings import Surroundings, look, unit_features
from losiko_torch.targets import LocallyLinear, Nearest, Target


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
        surroundings: Of the atoms looked at.
        components: Theirs, where they were needed.
    """

    loss: torch.Tensor
    gradient: torch.Tensor
    virial: torch.Tensor
    distances: torch.Tensor
    weights: torch.Tensor
    surroundings: Surroundings
    components: Components | None


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

    def features(self, batch: Batch, sight: Sight = EVERYTHING) -> torch.Tensor:
        """Unit descriptors of the n atoms looked at, shape (n, F)."""
        return unit_features(self.database.descriptor, batch, sight)

    @torch.no_grad()
    def project(self, features: torch.Tensor, numbers: torch.Tensor) -> Components:
        """Unit descriptors (n, F) of atoms (n,) in the components of their elements' references."""
        elements = numbers.unique().tolist()
        parts = [self.database.references_of(number) for number in elements]
        most = max((part.basis.shape[1] for part in parts), default=0)
        values, rest = features.new_zeros((len(numbers), most)), features.new_empty(len(numbers))
        for number, references in zip(elements, parts, strict=True):
            rows = (numbers == number).nonzero().squeeze(1)
            own, rest[rows] = references.project(features[rows])
            values[rows, : own.shape[1]] = own
        return Components(values, rest)

    def match(self, features: torch.Tensor, numbers: torch.Tensor) -> Matching:
        """Search the references of atoms with these unit descriptors (n, F) and numbers (n,)."""
        return self.search(self.project(features, numbers), numbers)

    def search(self, components: Components, numbers: torch.Tensor) -> Matching:
        """The references of atoms (n,) with these components, nearest first."""
        n, k = len(numbers), self.most_neighbors
        indices = torch.full((n, k), -1, dtype=torch.long, device=numbers.device)
        room = self.target.room(n, k, self.database.n_features, components.values)
        matching = Matching(indices, room)
        self._search(matching, torch.arange(n, device=numbers.device), components, numbers, False)
        return matching

    def search_again(
        self,
        matching: Matching,
        atoms: torch.Tensor,
        components: Components,
        numbers: torch.Tensor,
    ) -> None:
        """Bring the references of some ``atoms`` (indices, (n,)) in ``matching`` up to date.

        Those that stay keep their places and what the target knows of them.
        """
        self._search(matching, atoms, components, numbers, True)

    @torch.no_grad()
    def _search(
        self,
        matching: Matching,
        atoms: torch.Tensor,
        components: Components,
        numbers: torch.Tensor,
        again: bool,
    ) -> None:
        for number in numbers.unique().tolist():
            rows = (numbers == number).nonzero().squeeze(1)
            references = self.database.references_of(number)
            count = min(self.target.n_neighbors, references.usable)
            own = components.values[rows, : references.basis.shape[1]]
            known = matching.indices[atoms[rows], :count] if again else None
            _, found = references.nearest(own, components.rest[rows], count, known)
            new = torch.ones_like(found, dtype=torch.bool)
            if known is not None:
                found, new = keep_places(known, found)
            matching.indices[atoms[rows], :count] = found
            self.target.write(matching.prepared, atoms[rows], references, found, new)

    def evaluate(
        self, batch: Batch, matching: Matching | None = None, sight: Sight = EVERYTHING
    ) -> Evaluation:
        """Loss and gradient for these references, or for those that a search finds here.

        ``sight`` says which atoms are looked at: the loss is that of these n, and ``matching`` has
        a row for each.
        """
        surroundings = look(self.database.descriptor, batch, sight)
        numbers = sight.of(batch.numbers)
        own = None if batch.weights is None else sight.of(batch.weights)
        components = None
        if matching is None or isinstance(self.target, LocallyLinear):
            components = self.project(surroundings.features(), numbers)
        if matching is None:
            matching = self.search(components, numbers)
        if isinstance(self.target, Nearest):
            apart = surroundings.distances(matching.prepared)
            terms, factor, weights = self._of_points(apart, numbers, own, matching)
            gradient, virial = surroundings.trace_back_distances(factor)
        else:
            terms, pull, weights = self._of_manifolds(components, numbers, own, matching)
            slope = self._as_features(pull, numbers)
            gradient, virial = surroundings.trace_back(slope)
        loss = sum_by_system(terms, sight.of(batch.system_idx), batch.n_systems)
        virial = virial * batch.pbc.any(1)[:, None, None]
        return Evaluation(loss, gradient, virial, terms, weights, surroundings, components)

    @torch.no_grad()
    def terms(
        self,
        features: torch.Tensor,
        components: Components,
        numbers: torch.Tensor,
        own_weights: torch.Tensor | None,
        matching: Matching,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """c_i F_i (n,), and the weights of the references (n, k), without any gradient."""
        if isinstance(self.target, Nearest):
            apart = (features - matching.prepared).square().sum(1)
            terms, _, weights = self._of_points(apart, numbers, own_weights, matching)
        else:
            terms, _, weights = self._of_manifolds(components, numbers, own_weights, matching)
        return terms, weights

    def by_element(
        self, numbers: torch.Tensor, matching: Matching
    ) -> Iterator[tuple[torch.Tensor, Environments, torch.Tensor]]:
        """For each element its atoms' rows, its references, and the atoms' (n, k) among them."""
        for number in numbers.unique().tolist():
            rows = (numbers == number).nonzero().squeeze(1)
            references = self.database.references_of(number)
            count = min(self.target.n_neighbors, references.usable)
            yield rows, references, matching.indices[rows, :count]

    def _of_points(
        self,
        apart: torch.Tensor,
        numbers: torch.Tensor,
        own_weights: torch.Tensor | None,
        matching: Matching,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For points this far apart (n,): c_i F_i, its derivative by ``apart``, weights (n, 1)."""
        apart, share = apart.clone(), torch.ones_like(apart)
        for rows, references, indices in self.by_element(numbers, matching):
            apart[rows] += references.left_out[indices[:, 0]].to(apart.dtype)
            inverse = references.inverse_weights(indices, apart.dtype)
            if inverse is not None:
                share[rows] = inverse[:, 0]
        terms, slope = kernel_form(apart * share, self.degree)
        factor = slope * share
        if own_weights is not None:
            terms, factor = terms * own_weights, factor * own_weights
        return terms, factor, torch.ones_like(matching.indices, dtype=apart.dtype)

    @torch.no_grad()
    def _of_manifolds(
        self,
        components: Components,
        numbers: torch.Tensor,
        own_weights: torch.Tensor | None,
        matching: Matching,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """c_i F_i (n,), its gradient by the descriptors, in components (n, r), and weights (n, k).

        Up to a multiple of the descriptors themselves, which makes no difference: they keep their
        length.
        """
        assert isinstance(self.target, LocallyLinear)
        terms, pull = torch.empty_like(components.rest), torch.zeros_like(components.values)
        weights = terms.new_zeros(matching.indices.shape)
        for rows, references, indices in self.by_element(numbers, matching):
            count, size = indices.shape[1], references.basis.shape[1]
            own = components.values[rows, :size]
            inverse = references.inverse_weights(indices, own.dtype)
            vectors = references.vectors_in(own.dtype)
            values = self.target.evaluate(own, vectors, indices, matching.prepared, rows, inverse)
            term, factor = kernel_form(values.loss + components.rest[rows], self.degree)
            if own_weights is not None:
                term, factor = term * own_weights[rows], factor * own_weights[rows]
            terms[rows], weights[rows, :count] = term, values.weights
            # The rest adds 2 p minus twice its own components.
            pull[rows, :size] = (values.gradient - 2 * own) * factor[:, None]
        return terms, pull, weights

    def _as_features(self, pull: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Gradients in components, (n, r), as gradients by the features, (n, F)."""
        slope = pull.new_empty((len(pull), self.database.n_features))
        for number in numbers.unique().tolist():
            basis = self.database.references_of(number).basis.to(pull.dtype)
            rows = (numbers == number).nonzero().squeeze(1)
            slope[rows] = pull[rows, : basis.shape[1]] @ basis.T
        return slope
