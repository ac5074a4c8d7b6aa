"""Networks of one element as relaxations evaluate them: few products of matrices, nothing fitted.

Whitening and the first layer of all members are one matrix where that takes fewer multiplications,
and the slope by the features is that of the mean. The layers between the large products are apart:
a kernel may take those of all elements at once (``learned.together``).
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

    def enter(self, features: torch.Tensor, z1: torch.Tensor) -> None:
        """Write the first layer's results to ``z1`` (n, K h), for unit descriptors (n, F)."""
        y = features if self.whitening is None else features @ self.whitening
        torch.addmm(self.shift, y, self.first, out=z1)

    def inner_values(
        self, z1: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write f, each member's, to ``values`` (K, n); return z1 and z2 by member, (K, n, h)."""
        by_member = z1.view(len(z1), len(self.w2), -1).transpose(0, 1)
        z2 = torch.baddbmm(self.b2, silu(by_member), self.w2)
        torch.baddbmm(self.minus, silu(z2), self.w3, out=values[:, :, None])
        return by_member, z2

    def inner(self, z1: torch.Tensor, values: torch.Tensor) -> None:
        """Write f, each member's, to ``values`` (K, n), and its slope by z1 over ``z1``."""
        by_member, z2 = self.inner_values(z1, values)
        by_z2 = torch.ops.aten.silu_backward(self.w3.transpose(1, 2).expand_as(z2), z2)
        by_a1 = torch.bmm(by_z2, self.w2.transpose(1, 2))
        # In place: on processors, fresh memory costs more than the arithmetic.
        torch.ops.aten.silu_backward.grad_input(by_a1, by_member, grad_input=by_member)

    def leave(self, by_z1: torch.Tensor, slopes: torch.Tensor) -> None:
        """Write the slope by the features to ``slopes`` (K, n, F), or (1, n, F) that of the mean.

        ``by_z1`` (n, K h) is the slope of each member by the results of its first layer.
        """
        count = len(slopes)
        width = by_z1.shape[1] // count
        factor = count / len(self.w2)
        for k, slope in enumerate(slopes):
            own = slice(k * width, (k + 1) * width)
            by_y, matrix = by_z1[:, own], self.first[:, own]
            if self.whitening is not None:
                by_y, matrix = by_y @ matrix.T, self.whitening
            torch.addmm(slope, by_y, matrix.T, beta=0, alpha=factor, out=slope)
