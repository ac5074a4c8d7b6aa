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
from typing import NamedTuple

import torch

from losiko_torch.database.element import Environments
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.descriptors.evaluation import Surroundings, look, unit_features
from losiko_torch.descriptors.interface import cutoff_of, is_periodic
from losiko_torch.loss.matching import Components, Matching, keep_places
from losiko_torch.loss.settings import kernel_form
from losiko_torch.loss.targets import LocallyLinear, Nearest, Target
from losiko_torch.systems.batch import Batch, sum_by_system
from losiko_torch.systems.verlet_list import EVERYTHING, NeighborList, Sight


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


class Looked(NamedTuple):
    """The n atoms looked at: their numbers, which of the batch they are, what each counts."""

    numbers: torch.Tensor
    atoms: torch.Tensor
    weights: torch.Tensor | None

    @classmethod
    def at(cls, batch: Batch, sight: Sight) -> Looked:
        atoms = torch.arange(batch.n_atoms, device=batch.numbers.device)
        weights = None if batch.weights is None else sight.of(batch.weights)
        return cls(sight.of(batch.numbers), sight.of(atoms), weights)

    def counted(self, values: torch.Tensor) -> torch.Tensor:
        """Values (n,) times what the atoms count."""
        return values if self.weights is None else values * self.weights


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
        elements = list(self._elements(numbers))
        most = max((part.basis.shape[1] for _, part in elements), default=0)
        values, rest = features.new_zeros((len(numbers), most)), features.new_empty(len(numbers))
        for rows, references in elements:
            own, rest[rows] = references.project(features[rows])
            values[rows, : own.shape[1]] = own
        return Components(values, rest)

    def match(self, features: torch.Tensor, numbers: torch.Tensor) -> Matching:
        """Search the references of atoms with these unit descriptors (n, F) and numbers (n,)."""
        return self.search(self.project(features, numbers), numbers)[0]

    @torch.no_grad()
    def search(
        self, components: Components, numbers: torch.Tensor, known: torch.Tensor | None = None
    ) -> tuple[Matching, torch.Tensor]:
        """The references of atoms (n,) with these components, nearest first.

        ``known`` are references (n, k) of each that may be near, from an earlier search.

        Returns:
            They, and their squared distances (n, k), zero where there are fewer.
        """
        n, k = len(numbers), self.most_neighbors
        indices = torch.full((n, k), -1, dtype=torch.long, device=numbers.device)
        values = components.values
        room = self.target.room(n, k, self.database.n_features, values)
        matching = Matching(indices, room, values.new_zeros(n))
        apart = values.new_zeros((n, k))
        for rows, references, own in self._by_element(numbers, components):
            count = min(k, references.usable)
            near = None if known is None else known[rows, :count]
            found = references.nearest(own.values, own.rest, count, near)
            apart[rows, :count] = found[0]
            new = torch.ones_like(found[1], dtype=torch.bool)
            self._write(matching, rows, references, found[1], new)
        return matching, apart

    def _elements(self, numbers: torch.Tensor) -> Iterator[tuple[torch.Tensor, Environments]]:
        """For each element of atoms (n,) its atoms' rows and its references."""
        for number in numbers.unique().tolist():
            yield (numbers == number).nonzero().squeeze(1), self.database.references_of(number)

    def _by_element(
        self, numbers: torch.Tensor, components: Components
    ) -> Iterator[tuple[torch.Tensor, Environments, Components]]:
        """For each element its atoms' rows, its references, and the atoms' components."""
        for rows, references in self._elements(numbers):
            own = components.values[rows, : references.basis.shape[1]]
            yield rows, references, Components(own, components.rest[rows])

    def evaluate(
        self,
        batch: Batch,
        matching: Matching | None = None,
        sight: Sight = EVERYTHING,
        stale: torch.Tensor | None = None,
    ) -> Evaluation:
        """Loss and gradient for these references, or for those that a search finds here.

        Args:
            batch: N atoms.
            matching: Their references; None: those found here.
            sight: Which n of them are looked at; the loss is theirs.
            stale: Atoms (N,) whose references are searched again here, and written to ``matching``.
        """
        surroundings = look(self.database.descriptor, batch, sight)
        looked = Looked.at(batch, sight)
        components = None
        if matching is None or isinstance(self.target, LocallyLinear):
            components = self.project(surroundings.features(), looked.numbers)
        if matching is None:
            assert components is not None
            matching, _ = self.search(components, looked.numbers)
            looked = looked._replace(atoms=torch.arange(len(looked.atoms), device=batch.pbc.device))
        elif stale is not None:
            rows = stale[looked.atoms].nonzero().squeeze(1)
            self._look_again(matching, looked, rows, surroundings, components)
        if isinstance(self.target, Nearest):
            whole = len(looked.atoms) == len(matching.prepared)
            points = matching.prepared if whole else matching.prepared[looked.atoms]
            apart = surroundings.distances(points)
            terms, factor, weights = self._of_points(apart, looked, matching)
            gradient, virial = surroundings.trace_back_distances(factor)
        else:
            assert components is not None
            terms, pull, weights = self._of_manifolds(components, looked, matching)
            gradient, virial = surroundings.trace_back(self._as_features(pull, looked.numbers))
        loss = sum_by_system(terms, sight.of(batch.system_idx), batch.n_systems)
        virial = virial * batch.pbc.any(1)[:, None, None]
        return Evaluation(loss, gradient, virial, terms, weights, surroundings, components)

    def search_again(
        self, matching: Matching, here: Evaluation, batch: Batch, sight: Sight, stale: torch.Tensor
    ) -> torch.Tensor:
        """Renew the references of the atoms ``stale`` (N,) where they were just evaluated.

        Returns:
            Atoms (N,) that have others now.
        """
        looked = Looked.at(batch, sight)
        rows = stale[looked.atoms].nonzero().squeeze(1)
        found = self._look_again(matching, looked, rows, here.surroundings, here.components)
        changed = torch.zeros_like(stale)
        changed[looked.atoms[rows]] = found
        return changed

    @torch.no_grad()
    def terms(
        self, features: torch.Tensor, components: Components, looked: Looked, matching: Matching
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """c_i F_i (n,), and the weights of the references (n, k), without any gradient."""
        if isinstance(self.target, Nearest):
            apart = (features - matching.prepared[looked.atoms]).square().sum(1)
            terms, _, weights = self._of_points(apart, looked, matching)
        else:
            terms, _, weights = self._of_manifolds(components, looked, matching)
        return terms, weights

    def by_element(
        self, looked: Looked, matching: Matching
    ) -> Iterator[tuple[torch.Tensor, Environments, torch.Tensor]]:
        """For each element its atoms' rows, its references, and the atoms' (n, k) among them."""
        for rows, references in self._elements(looked.numbers):
            count = min(self.target.n_neighbors, references.usable)
            yield rows, references, matching.indices[looked.atoms[rows], :count]

    @torch.no_grad()
    def _look_again(
        self,
        matching: Matching,
        looked: Looked,
        rows: torch.Tensor,
        surroundings: Surroundings,
        components: Components | None,
    ) -> torch.Tensor:
        """Renew the references of these rows of the atoms looked at; which have others now.

        References that stay keep their places and what the target knows of them.
        """
        numbers, atoms = looked.numbers[rows], looked.atoms[rows]
        if components is None:
            some = self.project(surroundings.features(rows), numbers)
        else:
            some = components.of(rows)
        changed = torch.empty_like(atoms, dtype=torch.bool)
        for part, references, own in self._by_element(numbers, some):
            count = min(self.target.n_neighbors, references.usable)
            known = matching.indices[atoms[part], :count]
            _, found = references.nearest(own.values, own.rest, count, known)
            found, new = keep_places(known, found)
            self._write(matching, atoms[part], references, found, new)
            changed[part] = new.any(1)
        return changed

    def _write(
        self,
        matching: Matching,
        atoms: torch.Tensor,
        references: Environments,
        found: torch.Tensor,
        new: torch.Tensor,
    ) -> None:
        """Note the references (n, k) of atoms (n,), of which some are ``new`` (n, k)."""
        matching.indices[atoms, : found.shape[1]] = found
        self.target.write(matching.prepared, atoms, references, found, new)
        if isinstance(self.target, Nearest):
            some = new[:, 0]
            left_out = references.left_out(found[some, 0])
            matching.left_out[atoms[some]] = left_out.to(matching.left_out.dtype)

    def _of_points(
        self, apart: torch.Tensor, looked: Looked, matching: Matching
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For points this far apart (n,): c_i F_i, its derivative by ``apart``, weights (n, 1)."""
        apart, share = apart + matching.left_out[looked.atoms], torch.ones_like(apart)
        for rows, references, indices in self.by_element(looked, matching):
            inverse = references.inverse_weights(indices, apart.dtype)
            if inverse is not None:
                share[rows] = inverse[:, 0]
        terms, slope = kernel_form(apart * share, self.degree)
        terms, factor = looked.counted(terms), looked.counted(slope * share)
        return terms, factor, torch.ones_like(terms)[:, None]

    @torch.no_grad()
    def _of_manifolds(
        self, components: Components, looked: Looked, matching: Matching
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """c_i F_i (n,), its gradient by the descriptors, in components (n, r), and weights (n, k).

        Up to a multiple of the descriptors themselves, which makes no difference: they keep their
        length.
        """
        assert isinstance(self.target, LocallyLinear)
        terms, pull = torch.empty_like(components.rest), torch.zeros_like(components.values)
        factor = torch.empty_like(terms)
        weights = terms.new_zeros((len(terms), matching.indices.shape[1]))
        for rows, references, (own, rest) in self._by_element(looked.numbers, components):
            atoms = looked.atoms[rows]
            indices = matching.indices[atoms, : min(self.target.n_neighbors, references.usable)]
            inverse = references.inverse_weights(indices, own.dtype)
            vectors = references.vectors_in(own.dtype)
            values = self.target.evaluate(own, vectors, indices, matching.prepared, atoms, inverse)
            terms[rows], factor[rows] = kernel_form(values.loss + rest, self.degree)
            weights[rows, : indices.shape[1]] = values.weights
            # The rest adds 2 p minus twice its own components.
            pull[rows, : own.shape[1]] = values.gradient - 2 * own
        return looked.counted(terms), pull * looked.counted(factor)[:, None], weights

    def _as_features(self, pull: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Gradients in components, (n, r), as gradients by the features, (n, F)."""
        slope = pull.new_empty((len(pull), self.database.n_features))
        for rows, references in self._elements(numbers):
            basis = references.basis.to(pull.dtype)
            slope[rows] = pull[rows, : basis.shape[1]] @ basis.T
        return slope
