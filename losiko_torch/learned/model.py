r"""The fitted model: a pseudo-energy of atoms whose gradient leads back to good structures.

    U(x) = sum_i f_X(p_i / |p_i|)

f_X are the networks of atom i's element X, p its descriptor. Evaluation and the way back to the
positions go through the descriptor once, without a Jacobian and without a search.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from ase.data import chemical_symbols
from torch import nn

from losiko_torch.descriptors.evaluation import Surroundings, described
from losiko_torch.descriptors.interface import bytes_of, name_of, restriction
from losiko_torch.errors import StructureError
from losiko_torch.learned.folded import Folded
from losiko_torch.learned.networks import Networks
from losiko_torch.systems.active import ALL_ATOMS, ActiveAtoms
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.kept import by_element

#: Restrictions to some elements that are kept in memory.
RESTRICTIONS = 8


class Looked(NamedTuple):
    """The n active atoms of a batch as the model sees them.

    Attributes:
        surroundings: Their surroundings, described.
        values: Share f of each atom in the pseudo-energy by each member, Angstrom^2, shape (K, n).
        slopes: Slope of each share by the features, shape (K, n, F), or (1, n, F) of the mean.
    """

    surroundings: Surroundings
    values: torch.Tensor
    slopes: torch.Tensor

    def trace_back(self, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return gradient (N, 3) and virials (B, 3, 3) of a slope by the features (n, F)."""
        return self.surroundings.trace_back(slope)


@dataclass(frozen=True, eq=False)
class LearnedModel:
    """Descriptor and networks of each element.

    Attributes:
        descriptor: Descriptor, a ``MixedSoap`` or any other.
        networks: Networks of each element, by atomic number.
        info: Record of the fit and calibration, ready for JSON.
    """

    descriptor: nn.Module
    networks: dict[int, Networks]
    info: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        elements = ", ".join(chemical_symbols[number] for number in self.networks)
        return f"LearnedModel({elements}; {name_of(self.descriptor)}; {self.members} members)"

    @property
    def members(self) -> int:
        """Number K of members of each element's networks."""
        return next(iter(self.networks.values())).members

    def look(self, batch: Batch, every: bool = False) -> Looked:
        """Return the shares of all atoms and their slopes; see ``slopes_of``."""
        self.check([number for number, _ in by_element(batch.numbers).elements])
        return self.slopes_of(described(self.descriptor, batch), batch.numbers, every)

    def slopes_of(
        self, surroundings: Surroundings, numbers: torch.Tensor, every: bool = False
    ) -> Looked:
        """Return the shares of atoms of these numbers, and the mean slope or each (``every``).

        Raises:
            StructureError: For an element without networks.
        """
        atoms = by_element(numbers)
        features = atoms.together(surroundings.features())
        values = features.new_empty((self.members, len(features)))
        slopes = features.new_empty((self.members if every else 1, *features.shape))
        for number, some in atoms.elements:
            own = self._own(number, features)
            own.values_and_slopes(features[some], values[:, some], slopes[:, some])
        return Looked(surroundings, atoms.apart(values, 1), atoms.apart(slopes, 1))

    def values(self, batch: Batch, active: ActiveAtoms = ALL_ATOMS) -> torch.Tensor:
        """Return the share of each active atom, shape (n,), without a slope."""
        numbers = active.of(batch.numbers)
        atoms = by_element(numbers)
        self.check([number for number, _ in atoms.elements])
        features = atoms.together(described(self.descriptor, batch, active).features())
        values = features.new_empty((self.members, len(features)))
        for number, some in atoms.elements:
            self._own(number, features).values(features[some], values[:, some])
        return atoms.apart(values.mean(0))

    def pull(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return shares (N,), gradient (N, 3) and virials (B, 3, 3) of the pseudo-energy."""
        looked = self.look(batch)
        gradient, virial = looked.trace_back(looked.slopes[0])
        return looked.values.mean(0), gradient, virial * batch.pbc.any(1)[:, None, None]

    def restricted(self, numbers: Iterable[int]) -> LearnedModel:
        """Return the model for structures of some elements only: cheaper, equal results."""
        wanted = frozenset(numbers)
        kept = self.__dict__.setdefault("_restrictions", {})
        made = kept.get(wanted)
        if made is None:
            made = kept[wanted] = self._restricted(wanted)
            for oldest in list(kept)[:-RESTRICTIONS]:
                kept.pop(oldest, None)
        return made

    def _restricted(self, numbers: frozenset[int]) -> LearnedModel:
        descriptor, columns = restriction(self.descriptor, numbers)
        networks = {z: own for z, own in self.networks.items() if z in numbers}
        if not networks:
            return self
        if columns is not None and descriptor is not self.descriptor:
            some = next(iter(networks.values())).whitening
            columns = columns.to(some.device)
            if len(columns) < len(some):
                networks = {
                    z: replace(own, whitening=own.whitening[columns]) for z, own in networks.items()
                }
        return LearnedModel(descriptor, networks, self.info)

    def to(self, device: torch.device | str) -> LearnedModel:
        """Return the same model with its tensors on ``device``."""
        like = next(iter(self.networks.values())).w1
        if like.device == torch.empty(0, device=device).device:
            return self
        like = torch.empty(0, dtype=like.dtype, device=device)
        networks = {z: own.to(like) for z, own in self.networks.items()}
        return LearnedModel(copy.deepcopy(self.descriptor).to(device), networks, self.info)

    def bytes_per_atom(self, item: int) -> int:
        """Return the bytes for each atom at the peak of a gradient, numbers of ``item`` bytes."""
        own = next(iter(self.networks.values()))
        n_features = own.whitening.shape[0]
        inside = 6 * own.members * own.w1.shape[2] + 4 * n_features
        return bytes_of(self.descriptor, n_features, item) + inside * item

    def check(self, numbers: Iterable[int]) -> None:
        """Raise ``StructureError`` for an element without networks."""
        for number in numbers:
            if number not in self.networks:
                known = ", ".join(chemical_symbols[z] for z in self.networks)
                raise StructureError(
                    f"the learned targets know no {chemical_symbols[number]} (they know {known})"
                )

    def _own(self, number: int, like: torch.Tensor) -> Folded:
        """Return the networks of an element in the precision of a tensor."""
        self.check([number])
        return Folded.of(self.networks[number], like)
