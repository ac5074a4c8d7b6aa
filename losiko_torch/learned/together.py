"""Networks of several elements on atoms that lie together by element.

The large products, with the first layers there and back, are one for each element. A kernel, where
there is one, takes all that lies between them for all elements at once; plain torch does the same
element by element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch

from losiko_torch.accelerators import gpu_kernel
from losiko_torch.learned.folded import Folded
from losiko_torch.learned.networks import Networks
from losiko_torch.systems.pieces import Piece, places_of

#: Widths of layers that the kernel takes are multiples of this.
WIDTHS = 16


class Inner(NamedTuple):
    """Inner layers of E elements, K members of width h, as the kernel takes them.

    Attributes:
        place: Place of each atomic number among the elements, shape (most,), int32.
        w2, b2, w3, minus: Further layers and the constants, shapes (E, K, h, h), (E, K, h),
            (E, K, h) and (E, K).
    """

    place: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor
    w3: torch.Tensor
    minus: torch.Tensor


@dataclass(frozen=True, eq=False)
class Together:
    """Networks of several elements, of K members, in one precision.

    Attributes:
        of_element: Networks by atomic number.
    """

    of_element: Mapping[int, Folded]

    @classmethod
    def of(cls, networks: Mapping[int, Networks], like: torch.Tensor) -> Together:
        """Return networks in the precision and on the device of a tensor."""
        return cls({number: Folded.of(own, like) for number, own in networks.items()})

    @torch.no_grad()
    def values(self, features: torch.Tensor, piece: Piece, values: torch.Tensor) -> None:
        """Write f, each member's, of the atoms of a piece to ``values`` (K, n), those of all atoms.

        ``features`` (m, F) are the unit descriptors of the piece's atoms.
        """
        self._inside(Folded.inner_values, self._entered(features, piece), values, piece)

    @torch.no_grad()
    def values_and_slopes(
        self, features: torch.Tensor, piece: Piece, values: torch.Tensor, every: bool = False
    ) -> torch.Tensor:
        """Do what ``values`` does; return the slope by the features, (K, m, F) or the mean's.

        The latter, (1, m, F), is written over ``features``.
        """
        z1 = self._entered(features, piece)
        self._inside(Folded.inner, z1, values, piece)
        slopes = features.new_empty((len(values), *features.shape)) if every else features[None]
        for number, some in piece.elements:
            self.of_element[number].leave(z1[some], slopes[:, some])
        return slopes

    def _entered(self, features: torch.Tensor, piece: Piece) -> torch.Tensor:
        """Return the first layers' results, shape (m, K h)."""
        z1 = features.new_empty((len(features), len(next(iter(self.of_element.values())).shift)))
        for number, some in piece.elements:
            self.of_element[number].enter(features[some], z1[some])
        return z1

    def _inside(
        self,
        plainly: Callable[[Folded, torch.Tensor, torch.Tensor], Any],
        z1: torch.Tensor,
        values: torch.Tensor,
        piece: Piece,
    ) -> None:
        """Do what a function does with the networks of each element, by the kernel if there is one.

        The kernel always does what ``Folded.inner`` does: slopes cost it little.
        """
        kernel = gpu_kernel(z1.device, "inner_layers")
        if kernel is not None and self.inner is not None:
            kernel(z1, torch.empty_like(z1), values, piece.rows, piece.tiles, *self.inner)
            return
        own = values.new_empty((len(values), len(z1)))
        for number, some in piece.elements:
            plainly(self.of_element[number], z1[some], own[:, some])
        values[:, piece.rows] = own

    @cached_property
    def inner(self) -> Inner | None:
        """Inner layers for the kernel; None where it does not take such widths."""
        every = list(self.of_element.values())
        if len({own.w2.shape for own in every}) > 1 or every[0].w2.shape[2] % WIDTHS:
            return None
        w2, b2, w3, minus = (
            torch.stack([getattr(own, name) for own in every])
            for name in ("w2", "b2", "w3", "minus")
        )
        place = places_of(list(self.of_element), w2.device)
        return Inner(place, w2, b2.squeeze(2), w3.squeeze(3), minus.flatten(1))
