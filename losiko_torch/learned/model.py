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
from losiko_torch.learned.networks import Networks
from losiko_torch.learned.together import Together
from losiko_torch.systems.active import ALL_ATOMS, ActiveAtoms
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.kept import by_element
from losiko_torch.systems.pieces import Piece, pieces_of

#: Restrictions to some elements that are kept in memory.
RESTRICTIONS = 8


class Looked(NamedTuple):
    """The n active atoms of a batch as the model sees them.

    Attributes:
        values: Share f of each atom in the pseudo-energy by each member, Angstrom^2, shape (K, n).
        back: Gradient (N, 3) and virials (B, 3, 3) of the pseudo-energy, or of each member's.
    """

    values: torch.Tensor
    back: list[tuple[torch.Tensor, torch.Tensor]]


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
        """Return the shares of all atoms, and what leads back; see ``traced_back``."""
        self.check([number for number, _ in by_element(batch.numbers).elements])
        return self.traced_back(described(self.descriptor, batch), batch.numbers, None, every)

    def traced_back(
        self,
        surroundings: Surroundings,
        numbers: torch.Tensor,
        factors: torch.Tensor | None = None,
        every: bool = False,
    ) -> Looked:
        """Return the shares of atoms, and the gradient of their sum, each times its factor.

        Args:
            surroundings: Surroundings of n atoms.
            numbers: Their atomic numbers, shape (n,).
            factors: Factors of the atoms in the sum, shape (n,). None means all 1.
            every: Whether the gradient is that of each member, not the mean.

        Raises:
            StructureError: For an element without networks.
        """
        pieces, values = pieces_of(numbers), None

        def slopes_of(number: int, features: torch.Tensor) -> torch.Tensor:
            nonlocal values
            piece = pieces[number]
            values = self._room(features, len(numbers)) if values is None else values
            networks = self._together(features, piece)
            slopes = networks.values_and_slopes(features, piece, values, every)
            return slopes if factors is None else slopes.mul_(factors[piece.rows, None])

        count = self.members if every else 1
        back = surroundings.trace_back_parts([each.rows for each in pieces], slopes_of, count)
        assert values is not None
        return Looked(values, back)

    def values(self, batch: Batch, active: ActiveAtoms = ALL_ATOMS) -> torch.Tensor:
        """Return the share of each active atom, shape (n,), without a slope."""
        numbers = active.of(batch.numbers)
        self.check([number for number, _ in by_element(numbers).elements])
        surroundings, values = described(self.descriptor, batch, active), None
        for piece in pieces_of(numbers):
            features = surroundings.features(piece.rows)
            values = self._room(features, len(numbers)) if values is None else values
            self._together(features, piece).values(features, piece, values)
        assert values is not None
        return values.mean(0)

    def pull(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return shares (N,), gradient (N, 3) and virials (B, 3, 3) of the pseudo-energy."""
        values, [(gradient, virial)] = self.look(batch)
        return values.mean(0), gradient, virial * batch.pbc.any(1)[:, None, None]

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
        """Return the bytes for each atom at the peak of a gradient, numbers of ``item`` bytes.

        Networks hold the results of two layers, of a piece of the atoms: less where these are more.
        """
        own = next(iter(self.networks.values()))
        inside = 2 * own.members * own.w1.shape[2]
        return bytes_of(self.descriptor, own.whitening.shape[0], item) + inside * item

    def check(self, numbers: Iterable[int]) -> None:
        """Raise ``StructureError`` for an element without networks."""
        for number in numbers:
            if number not in self.networks:
                known = ", ".join(chemical_symbols[z] for z in self.networks)
                raise StructureError(
                    f"the learned targets know no {chemical_symbols[number]} (they know {known})"
                )

    def _together(self, like: torch.Tensor, piece: Piece) -> Together:
        """Return all networks in the precision of a tensor, for a piece that they know."""
        self.check([number for number, _ in piece.elements])
        made = self.__dict__.setdefault("_made", {})
        key = (like.dtype, like.device)
        if key not in made:
            made[key] = Together.of(self.networks, like)
        return made[key]

    def _room(self, like: torch.Tensor, count: int) -> torch.Tensor:
        """Return memory for the shares of so many atoms by each member, shape (K, count)."""
        return like.new_empty((self.members, count))
