r"""Small networks of one element: from the descriptor of an atom to its share of a pseudo-energy.

    y = p W - m,    f(y) = w3 . s(s(y W1 + b1) W2 + b2),    s(z) = z / (1 + exp(-z))

``p`` is the unit descriptor, W makes its principal components about equally large. Several members
share W; f is their mean. Values, slopes and directional derivatives are written out: they are
products of matrices, the same in all members.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch


@dataclass(frozen=True)
class Networks:
    """Networks of K members of width h on r components of F features.

    Attributes:
        whitening: Matrix W, shape (F, r).
        shift: Shift m, shape (r,).
        w1, b1, w2, b2, w3: Weights, shapes (K, r, h), (K, 1, h), (K, h, h), (K, 1, h), (K, h, 1).
        offset: Constant of each member, which makes f about zero at good surroundings, shape (K,).
    """

    whitening: torch.Tensor
    shift: torch.Tensor
    w1: torch.Tensor
    b1: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor
    w3: torch.Tensor
    offset: torch.Tensor

    @classmethod
    def random(
        cls,
        whitening: torch.Tensor,
        shift: torch.Tensor,
        members: int,
        width: int,
        generator: torch.Generator,
    ) -> Networks:
        """Return networks with random weights; whitening and shift are given."""
        r = whitening.shape[1]

        def uniform(*shape: int, inputs: int) -> torch.Tensor:
            return (2 * torch.rand(shape, generator=generator) - 1) / inputs**0.5

        return cls(
            whitening,
            shift,
            uniform(members, r, width, inputs=r),
            uniform(members, 1, width, inputs=r),
            uniform(members, width, width, inputs=width),
            uniform(members, 1, width, inputs=width),
            uniform(members, width, 1, inputs=width),
            torch.zeros(members),
        )

    @property
    def members(self) -> int:
        """Number K of members."""
        return len(self.w1)

    def weights(self) -> tuple[torch.Tensor, ...]:
        """Return what is fitted."""
        return self.w1, self.b1, self.w2, self.b2, self.w3

    def with_weights(self, weights: tuple[torch.Tensor, ...]) -> Networks:
        """Return the networks with other weights."""
        w1, b1, w2, b2, w3 = weights
        return replace(self, w1=w1, b1=b1, w2=w2, b2=b2, w3=w3)

    def member(self, k: int) -> Networks:
        """Return one of the members alone."""
        own = (each[k : k + 1] for each in self.weights())
        return replace(self.with_weights(tuple(own)), offset=self.offset[k : k + 1])

    def to(self, like: torch.Tensor) -> Networks:
        """Return the networks in the precision and on the device of a tensor."""
        return Networks(*(getattr(self, each.name).to(like) for each in fields(self)))

    def components(self, features: torch.Tensor) -> torch.Tensor:
        """Return y (n, r) for unit descriptors (n, F)."""
        return torch.addmm(-self.shift, features, self.whitening)

    @torch.no_grad()
    def values_and_slopes(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return f (K, n), each member's, and the slope of each by y, shape (K, n, r)."""
        # In place where it can be: on processors, fresh memory costs more than the arithmetic.
        z1 = torch.bmm(y.expand(self.members, *y.shape), self.w1).add_(self.b1)
        g1 = torch.sigmoid(z1)
        a1 = z1.mul_(g1)
        z2 = torch.bmm(a1, self.w2).add_(self.b2)
        g2 = torch.sigmoid(z2)
        a2 = z2.mul_(g2)
        value = (a2 @ self.w3).squeeze(2) - self.offset[:, None]
        by_z2 = a2.mul_(1 - g2).add_(g2).mul_(self.w3.transpose(1, 2))
        by_z1 = (by_z2 @ self.w2.transpose(1, 2)).mul_(a1.mul_(1 - g1).add_(g1))
        return value, by_z1 @ self.w1.transpose(1, 2)

    def along(self, y: torch.Tensor, dy: torch.Tensor) -> torch.Tensor:
        """Return the derivative of f (K, n) along dy (n, r), differentiable by the weights."""
        some = (self.members, *y.shape)
        z1, dz1 = torch.baddbmm(self.b1, y.expand(some), self.w1), dy.expand(some) @ self.w1
        a1, da1 = _both(z1, dz1)
        z2, dz2 = torch.baddbmm(self.b2, a1, self.w2), da1 @ self.w2
        _, da2 = _both(z2, dz2)
        return (da2 @ self.w3).squeeze(2)


def _both(z: torch.Tensor, dz: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return s(z), and s'(z) dz."""
    g = torch.sigmoid(z)
    a = z * g
    return a, (g + a * (1 - g)) * dz
