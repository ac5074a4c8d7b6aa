r"""The atoms' share of the loss: their references, distances and slopes.

Everything here is for n atoms that are evaluated, element by element: descriptors in the components
of the element's references (``project``), the nearest of these (``search``, ``renew``), and the
squared distances F_i that the target makes of them (``distances``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from losiko_torch.database.element import Environments
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.errors import InputError
from losiko_torch.learned.model import LearnedModel
from losiko_torch.loss.kernel import kernel_form
from losiko_torch.loss.matching import Components, Matching, keep_places
from losiko_torch.loss.targets.interface import BY_MODEL, TO_POINT, Target
from losiko_torch.systems.kept import elements_of


class Element(NamedTuple):
    """Atoms of one element among those evaluated, and the references of the element."""

    rows: torch.Tensor
    references: Environments


class AtomValues(NamedTuple):
    """Distances of n atoms.

    Attributes:
        distances: Weighted distances c_i F_i in the kernel's form, shape (n,).
        slope: Their slopes by the components, shape (n, r), up to a multiple of the descriptors
            themselves, which makes no difference as descriptors keep their length. For targets of
            the form ``TO_POINT`` by the squared distances from the points, shape (n,).
        weights: Shares of the references in the target, shape (n, k), zero where there is none.
    """

    distances: torch.Tensor
    slope: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class AtomLoss:
    """Loss of the atoms: a database, a target, and the degree of the kernel."""

    database: DatabaseRecord
    target: Target
    degree: float = 1.0

    @property
    def to_point(self) -> bool:
        """Return whether the target's slope is by the distance from a point of feature space."""
        return self.target.slope == TO_POINT

    @property
    def searches(self) -> bool:
        """Return whether the loss depends on references that are searched."""
        return self.target.n_neighbors > 0

    @property
    def by_model(self) -> bool:
        """Return whether the loss is that of the database's learned model."""
        return self.target.slope == BY_MODEL

    @property
    def model(self) -> LearnedModel:
        """Learned model of the database.

        Raises:
            InputError: If the database has none.
        """
        model = self.database.learned
        if model is None:
            raise InputError(
                "the database carries no learned targets: fit them, with database.fit() or "
                "'losiko fit', or choose targets='locally-linear'"
            )
        return model

    @property
    def most_neighbors(self) -> int:
        """Largest number of references of an atom: no element offers more than it has."""
        counts = [part.usable for part in self.database.environments.values()]
        return min(self.target.n_neighbors, max(counts))

    def elements(self, numbers: torch.Tensor) -> list[Element]:
        """Return the rows of each element among atoms of these numbers (n,)."""
        return [
            Element(rows, self.database.references_of(number))
            for number, rows in elements_of(numbers)
        ]

    def project(self, features: torch.Tensor, elements: Sequence[Element]) -> Components:
        """Return unit descriptors (n, F) in the components of their elements' references."""
        most = max((part.basis.shape[1] for _, part in elements), default=0)
        values, rest = features.new_zeros((len(features), most)), features.new_empty(len(features))
        with torch.no_grad():
            for rows, references in elements:
                own, rest[rows] = references.project(features[rows])
                values[rows, : own.shape[1]] = own
        return Components(values, rest)

    def search(
        self,
        components: Components,
        elements: Sequence[Element],
        known: torch.Tensor | None = None,
    ) -> tuple[Matching, torch.Tensor]:
        """Find the references of atoms with these components, nearest first.

        ``known`` are references (n, k) of each atom that may be near, from an earlier search.

        Returns:
            The references, and their squared distances (n, k), zero where there are fewer.
        """
        values = components.values
        n, k = len(values), self.most_neighbors
        indices = torch.full((n, k), -1, dtype=torch.long, device=values.device)
        cache = self.target.allocate(n, k, self.database.n_features, values)
        matching = Matching(indices, cache)
        apart = values.new_zeros((n, k))
        with torch.no_grad():
            for rows, references in elements:
                count = min(k, references.usable)
                if count == 0:
                    continue
                own = _own(components, rows, references)
                near = None if known is None else known[rows, :count]
                found = references.nearest(own.values, own.rest, count, near)
                apart[rows, :count] = found[0]
                new = torch.ones_like(found[1], dtype=torch.bool)
                self._note(matching, rows, references, found[1], new)
        return matching, apart

    def renew(
        self,
        matching: Matching,
        places: torch.Tensor,
        components: Components,
        elements: Sequence[Element],
    ) -> torch.Tensor:
        """Search the references of some atoms again, and write them to ``matching``.

        References that stay keep their places and what the target's cache has of them.

        Args:
            matching: References of all atoms.
            places: Rows of the atoms in it, shape (m,).
            components: Their components.
            elements: Their elements.

        Returns:
            Mask (m,) of the atoms that have others now.
        """
        changed = torch.zeros_like(places, dtype=torch.bool)
        with torch.no_grad():
            for part, references in elements:
                count = min(self.target.n_neighbors, references.usable)
                if count == 0:
                    continue
                own = _own(components, part, references)
                before = matching.indices[places[part], :count]
                _, found = references.nearest(own.values, own.rest, count, before)
                found, new = keep_places(before, found)
                self._note(matching, places[part], references, found, new)
                changed[part] = new.any(1)
        return changed

    def distances(
        self,
        described: Components,
        elements: Sequence[Element],
        matching: Matching,
        places: torch.Tensor,
        factors: torch.Tensor | None,
    ) -> AtomValues:
        """Return the distances of n atoms and their slopes.

        Args:
            described: Components of the atoms; for targets of the form ``TO_POINT`` the squared
                distances (n,) from their points.
            elements: Their elements.
            matching: References of all atoms.
            places: Rows of the atoms in it, shape (n,).
            factors: Weights c_i of the atoms, shape (n,). None means 1.
        """
        distances = torch.empty_like(described.rest)
        factor, slope = torch.empty_like(distances), torch.zeros_like(described.values)
        weights = distances.new_zeros((len(distances), matching.indices.shape[1]))
        with torch.no_grad():
            for rows, references in elements:
                at, own = places[rows], _own(described, rows, references)
                count = min(self.target.n_neighbors, references.usable)
                indices = matching.indices[at, :count]
                found = self.target.evaluate(*own, references, indices, matching.cache, at)
                distances[rows], factor[rows] = kernel_form(found.loss, self.degree)
                weights[rows, :count] = found.weights
                if self.to_point:
                    factor[rows] = factor[rows] * found.slope
                else:
                    # The rest adds 2 p minus twice its own components.
                    pull = found.slope - 2 * found.by_rest * own.values
                    slope[rows, : own.values.shape[1]] = pull
            if factors is not None:
                distances, factor = distances * factors, factor * factors
            slope = factor if self.to_point else slope * factor[:, None]
        return AtomValues(distances, slope, weights)

    def by_features(self, slope: torch.Tensor, elements: Sequence[Element]) -> torch.Tensor:
        """Return slopes by components, (n, r), as slopes by the features, (n, F)."""
        found = slope.new_empty((len(slope), self.database.n_features))
        for rows, references in elements:
            basis = references.basis.to(slope.dtype)
            found[rows] = slope[rows, : basis.shape[1]] @ basis.T
        return found

    def _note(
        self,
        matching: Matching,
        places: torch.Tensor,
        references: Environments,
        found: torch.Tensor,
        new: torch.Tensor,
    ) -> None:
        """Write the references (n, k) of atoms at these places (n,); some are ``new`` (n, k)."""
        matching.indices[places, : found.shape[1]] = found
        self.target.update(matching.cache, places, references, found, new)


def from_points(squares: torch.Tensor) -> Components:
    """Return the description of atoms by their squared distances (n,) from points."""
    return Components(squares, torch.zeros_like(squares))


def _own(components: Components, rows: torch.Tensor, references: Environments) -> Components:
    """Return what describes the atoms of one element: as many components as it has."""
    values = components.values[rows]
    if values.ndim == 2:
        values = components.values[rows, : references.basis.shape[1]]
    return Components(values, components.rest[rows])
