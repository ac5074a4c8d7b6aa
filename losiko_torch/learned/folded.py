"""Networks of one element as relaxations evaluate them: few products of matrices, nothing fitted.

Whitening and the first layer of all members are one matrix where that takes fewer multiplications,
and the slope by the features is that of the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import silu

from losiko_torch.learned.networks import Networks


@dataclass(frozen=True)
class Folded:
    """Networks of K members of width h on F features.

    Attributes:
        whitening: Matrix W, shape (F, r); None where the first layer holds it.
        first, shift: First layer of all members, shapes (F or r, K h) and (K h,).
        w2, b2, w3, minus: Further layers and the constants, shapes (K, h, h), (K, 1, h), (K, h, 1)
            and (K, 1, 1).
    """

    whitening: torch.Tensor | None
    first: torch.Tensor
    shift: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor
    w3: torch.Tensor
    minus: torch.Tensor

    @classmethod
    def of(cls, own: Networks, like: torch.Tensor) -> Folded:
        """Return networks in the precision of a tensor, kept for next time."""
        made = own.__dict__.setdefault("_folded", {})
        key = (like.dtype, like.device)
        if key not in made:
            made[key] = cls._made(own, like)
        return made[key]

    @classmethod
    def _made(cls, own: Networks, like: torch.Tensor) -> Folded:
        # In double precision: what is multiplied here is rounded once.
        w1 = own.w1.double().transpose(0, 1).flatten(1)
        shift = own.b1.double().flatten() - own.shift.double() @ w1
        n_features, r = own.whitening.shape
        folds = n_features * w1.shape[1] < r * (n_features + w1.shape[1])
        first = own.whitening.double() @ w1 if folds else w1
        further = own.w2, own.b2, own.w3, -own.offset[:, None, None]
        whitening = None if folds else own.whitening.to(like)
        return cls(whitening, *(each.to(like) for each in (first, shift, *further)))

    @torch.no_grad()
    def values(self, features: torch.Tensor, values: torch.Tensor) -> None:
        """Write f, each member's, to ``values`` (K, n), for unit descriptors (n, F)."""
        self._layers(features, values)

    @torch.no_grad()
    def values_and_slopes(
        self, features: torch.Tensor, values: torch.Tensor, slopes: torch.Tensor
    ) -> None:
        """Write f and its slope by the features, to ``slopes`` (K, n, F), or (1, n, F) the mean."""
        z1, z2 = self._layers(features, values)
        members, n, width = z2.shape
        by_z2 = torch.ops.aten.silu_backward(self.w3.transpose(1, 2).expand_as(z2), z2)
        by_a1 = torch.bmm(by_z2, self.w2.transpose(1, 2)).transpose(0, 1)
        by_z1 = z1.view(n, members, width)
        # In place: on processors, fresh memory costs more than the arithmetic.
        torch.ops.aten.silu_backward.grad_input(by_a1, by_z1, grad_input=by_z1)
        if len(slopes) == 1:
            self._back(by_z1.flatten(1), self.first, 1 / members, slopes[0])
            return
        for member, slope in enumerate(slopes):
            part = slice(member * width, (member + 1) * width)
            self._back(by_z1[:, member], self.first[:, part], 1.0, slope)

    def _layers(
        self, features: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write f, and return the inputs of both layers' functions, (n, K h) and (K, n, h)."""
        y = features if self.whitening is None else features @ self.whitening
        z1 = torch.addmm(self.shift, y, self.first)
        a1 = silu(z1).view(len(y), len(self.w2), -1).transpose(0, 1)
        z2 = torch.baddbmm(self.b2, a1, self.w2)
        torch.baddbmm(self.minus, silu(z2), self.w3, out=values[:, :, None])
        return z1, z2

    def _back(
        self, by_z1: torch.Tensor, first: torch.Tensor, factor: float, slope: torch.Tensor
    ) -> None:
        """Write the slope (n, F) that follows from the one by the first layer's results."""
        if self.whitening is None:
            torch.addmm(slope, by_z1, first.T, beta=0, alpha=factor, out=slope)
        else:
            by_y = by_z1 @ first.T
            torch.addmm(slope, by_y, self.whitening.T, beta=0, alpha=factor, out=slope)
