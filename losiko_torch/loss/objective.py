r"""The loss of a batch against a database, and its gradient.

    L = sum_i c_i F_i(p_i / |p_i|) + sum_t term_t

F_i is the squared distance that the target makes of atom i, in the kernel's form (``loss.kernel``),
c_i its weight (``loss.atom_loss``); the terms are those of ``loss.terms``. The slope by the
features is known in closed form and traced back through the descriptor once
(``descriptors.evaluation``); no Jacobian is formed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import nn

from losiko_torch.descriptors.evaluation import (
    Surroundings,
    evaluation_of,
    unit_features,
)
from losiko_torch.descriptors.interface import cutoff_of, is_periodic
from losiko_torch.learned.expected_error import expected_errors
from losiko_torch.loss.atom_loss import AtomLoss, from_points
from losiko_torch.loss.matching import Components, Matching
from losiko_torch.loss.terms.evaluate import evaluate_terms, term_values
from losiko_torch.loss.terms.interface import Term
from losiko_torch.systems.active import ALL_ATOMS, ActiveAtoms
from losiko_torch.systems.batch import Batch, sum_by_system
from losiko_torch.systems.kept import any_true
from losiko_torch.systems.verlet_list import VerletList

#: Stiffness of a learned loss: its curvature is about 1.
LEARNED_STIFFNESS = 40.0
#: Stiffness with which relaxations on learned targets are held where they began: in directions that
#: nothing is known of, such as torsions unlike any reference's, a structure had better stay.
LEARNED_HOLD = 0.03


@dataclass(frozen=True)
class Evaluation:
    """Loss and gradient of a batch of N atoms, n of them active, in B structures.

    Attributes:
        distances: Weighted distance c_i F_i of every atom, shape (N,); that of an atom which is
            not active is the one known before.
        terms: Values of the terms of the loss, shape (T, B).
        loss: Loss of each structure, shape (B,).
        gradient: Gradient of the loss by the positions, 1/Angstrom, shape (N, 3).
        virial: Gradient by a strain that deforms cell and atoms alike, r -> r (1 + strain) for row
            vectors r, shape (B, 3, 3); zero where nothing is periodic.
        surroundings: Surroundings of the active atoms.
        components: Their components, where these were needed.
    """

    distances: torch.Tensor
    terms: torch.Tensor
    loss: torch.Tensor
    gradient: torch.Tensor
    virial: torch.Tensor
    surroundings: Surroundings
    components: Components | None


class _AtomsHere(NamedTuple):
    """Share of the active atoms in an ``Evaluation``."""

    distances: torch.Tensor
    gradient: torch.Tensor
    virial: torch.Tensor
    surroundings: Surroundings
    components: Components | None


class Search(NamedTuple):
    """Distances of n active atoms with the references that a search finds, without gradients.

    Attributes:
        distances: Weighted distances c_i F_i, shape (n,).
        matching: References of the atoms.
        weights: Shares of the references in the target, shape (n, k), zero where there is none.
        apart: Squared distances of the references, shape (n, k), zero where there is none.
    """

    distances: torch.Tensor
    matching: Matching
    weights: torch.Tensor
    apart: torch.Tensor


def losses(distances: torch.Tensor, terms: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the loss of each structure, shape (B,), from distances (N,) and terms (T, B)."""
    loss = sum_by_system(distances, batch.system_idx, batch.n_systems)
    return loss + terms.sum(0) if len(terms) else loss


@dataclass(frozen=True)
class Objective(AtomLoss):
    """Loss of structures: that of their atoms, and further terms.

    Attributes:
        terms: Terms, as they are used with the database (``loss.terms.interface.for_database``).
    """

    terms: tuple[Term, ...] = ()

    def restricted(self, numbers: torch.Tensor) -> Objective:
        """Return the objective for a batch of these atomic numbers only: cheaper, equal results."""
        return replace(self, database=self.database.restricted(numbers.unique().tolist()))

    @property
    def descriptor(self) -> nn.Module:
        """Descriptor that the loss sees atoms by: the database's, or that of the learned model."""
        return self.model.descriptor if self.by_model else self.database.descriptor

    @property
    def cutoff(self) -> float | None:
        """Interatomic distance (Angstrom) beyond which no atom is seen; None if unknown."""
        return cutoff_of(self.descriptor)

    @property
    def periodic(self) -> bool:
        """Return whether periodic images are seen."""
        return is_periodic(self.descriptor)

    @property
    def stiffness(self) -> float:
        """Factor that makes the loss about as curved as optimizers expect, 50 / Angstrom^2."""
        return LEARNED_STIFFNESS if self.by_model else 1.0

    @property
    def hold(self) -> float:
        """Stiffness of the pull to where a structure began, see ``LEARNED_HOLD``."""
        return LEARNED_HOLD if self.by_model else 0.0

    def neighbors(self, batch: Batch, moving: torch.Tensor) -> VerletList | None:
        """Return the Verlet list of a batch of whose atoms those ``moving`` (N,) may move."""
        if self.cutoff is None:
            return None
        return VerletList.make(batch, moving, self.cutoff, self.periodic)

    def features(self, batch: Batch, active: ActiveAtoms = ALL_ATOMS) -> torch.Tensor:
        """Return the unit descriptors of the active atoms, shape (n, F)."""
        return unit_features(self.database.descriptor, batch, active)

    def evaluate(
        self,
        batch: Batch,
        matching: Matching | None = None,
        active: ActiveAtoms = ALL_ATOMS,
        stale: torch.Tensor | None = None,
        known: torch.Tensor | None = None,
    ) -> Evaluation:
        """Return loss and gradient for these references, or for those that a search finds here.

        Args:
            batch: N atoms.
            matching: Their references. None means those that a search finds here.
            active: Which n of the atoms are evaluated.
            stale: Atoms (N,) whose references are searched again here, and written to ``matching``.
            known: Weighted distances of all atoms, shape (N,), where not all are active.
        """
        surroundings = evaluation_of(self.descriptor, batch)(self.descriptor, batch, active)
        if self.by_model:
            found = self._by_model(surroundings, batch, active)
        else:
            found = self._by_references(surroundings, batch, matching, active, stale)
        distances, gradient, virial = found.distances, found.gradient, found.virial
        terms = batch.cells.new_empty((0, batch.n_systems))
        if active.centers is not None:
            assert known is not None, "distances of atoms that are not active must be known"
            distances = active.put(known, distances)
        if self.terms:
            terms, by_positions, by_strain = evaluate_terms(self.terms, batch)
            gradient, virial = gradient + by_positions, virial + by_strain
        if any_true(batch.pbc):
            virial = virial * batch.pbc.any(1)[:, None, None]
        else:
            virial = batch.no_virial
        loss = losses(distances, terms, batch)
        return Evaluation(
            distances, terms, loss, gradient, virial, found.surroundings, found.components
        )

    def _by_references(
        self,
        surroundings: Surroundings,
        batch: Batch,
        matching: Matching | None,
        active: ActiveAtoms,
        stale: torch.Tensor | None,
    ) -> _AtomsHere:
        """Evaluate the active atoms against references; see ``evaluate``."""
        elements, places = self.elements(active.of(batch.numbers)), _places(batch, active)
        components = None
        if matching is None or not self.to_point:
            components = self.project(surroundings.features(), elements)
        if matching is None:
            assert components is not None
            matching, _ = self.search(components, elements)
            places = torch.arange(len(places), device=places.device)
        elif stale is not None:
            self._search_some(matching, places, surroundings, components, batch, stale)
        described = components
        if self.to_point:
            points = matching.cache[0]
            every = len(places) == len(points)
            described = from_points(surroundings.distances(points if every else points[places]))
        assert described is not None
        factors = None if batch.weights is None else active.of(batch.weights)
        found = self.distances(described, elements, matching, places, factors)
        if self.to_point:
            gradient, virial = surroundings.trace_back_distances(found.slope)
        else:
            gradient, virial = surroundings.trace_back(self.by_features(found.slope, elements))
        return _AtomsHere(found.distances, gradient, virial, surroundings, components)

    def _by_model(
        self, surroundings: Surroundings, batch: Batch, active: ActiveAtoms
    ) -> _AtomsHere:
        """Evaluate the active atoms by the learned model."""
        factors = None if batch.weights is None else active.of(batch.weights)
        numbers = active.of(batch.numbers)
        values, [(gradient, virial)] = self.model.traced_back(surroundings, numbers, factors)
        values = values.mean(0)
        if factors is not None:
            values = values * factors
        return _AtomsHere(values, gradient, virial, surroundings, None)

    def search_again(
        self,
        matching: Matching,
        here: Evaluation,
        batch: Batch,
        active: ActiveAtoms,
        stale: torch.Tensor,
    ) -> torch.Tensor:
        """Renew the references of the atoms ``stale`` (N,) where they were just evaluated.

        Returns:
            Mask (N,) of the atoms that have others now.
        """
        places = _places(batch, active)
        return self._search_some(matching, places, here.surroundings, here.components, batch, stale)

    def search_at(
        self, batch: Batch, active: ActiveAtoms = ALL_ATOMS, known: torch.Tensor | None = None
    ) -> Search:
        """Return the distances of the active atoms, their references searched here.

        ``known`` are references (n, k) of each atom that may be near, from an earlier search.
        """
        if self.by_model:
            return _without_references(self.model.values(batch, active), batch, active)
        elements = self.elements(active.of(batch.numbers))
        features = self.features(batch, active)
        components = self.project(features, elements)
        matching, apart = self.search(components, elements, known)
        described = components
        if self.to_point:
            described = from_points((features - matching.cache[0]).square().sum(1))
        factors = None if batch.weights is None else active.of(batch.weights)
        rows = torch.arange(len(features), device=features.device)
        found = self.distances(described, elements, matching, rows, factors)
        return Search(found.distances, matching, found.weights, apart)

    def search_with_errors(self, batch: Batch) -> tuple[Search, torch.Tensor] | None:
        """Return what ``search_at`` does of all atoms, and the error to expect of each.

        The errors are in Angstrom, shape (N,); None for both where they are unknown.
        """
        calibration = self.model.info.get("calibration") if self.by_model else None
        if calibration is None:
            return None
        looked = self.model.look(batch, every=True)
        found = _without_references(looked.values.mean(0), batch, ALL_ATOMS)
        return found, expected_errors(calibration, looked)

    def expected_errors(self, batch: Batch) -> torch.Tensor | None:
        """Return the error to expect of each atom, Angstrom, shape (N,); None if unknown."""
        found = self.search_with_errors(batch)
        return None if found is None else found[1]

    def term_values(self, batch: Batch) -> torch.Tensor:
        """Return the values of the terms, shape (T, B), without gradients."""
        return term_values(self.terms, batch)

    def _search_some(
        self,
        matching: Matching,
        places: torch.Tensor,
        surroundings: Surroundings,
        components: Components | None,
        batch: Batch,
        stale: torch.Tensor,
    ) -> torch.Tensor:
        """Renew the references of those active atoms that are ``stale`` (N,).

        ``places`` (n,), ``surroundings`` and ``components`` are those of all active atoms.

        Returns:
            Mask (N,) of the atoms that have others now.
        """
        rows = stale[places].nonzero().squeeze(1)
        at = places[rows]
        elements = self.elements(batch.numbers[at])
        if components is None:
            some = self.project(surroundings.features(rows), elements)
        else:
            some = components.of(rows)
        changed = torch.zeros_like(stale)
        changed[at] = self.renew(matching, at, some, elements)
        return changed


def _without_references(values: torch.Tensor, batch: Batch, active: ActiveAtoms) -> Search:
    """Return the distances of active atoms of which a learned model tells ``values`` (n,)."""
    if batch.weights is not None:
        values = values * active.of(batch.weights)
    none = values.new_zeros((len(values), 0))
    return Search(values, Matching(none.long(), ()), none, none)


def _places(batch: Batch, active: ActiveAtoms) -> torch.Tensor:
    """Return the indices of the active atoms among all, shape (n,)."""
    return active.of(torch.arange(batch.n_atoms, device=batch.numbers.device))
