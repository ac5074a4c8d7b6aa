r"""How structures are compared with a database: what ``relax``, ``score`` and the calculator share.

    L = sum_i c_i F_d(F_i),    F_d = 2 (1 - K^d),    K = max(0, 1 - F/2)

F_i is the squared distance that the target makes of atom i (see ``targets``), c_i its weight (see
``weights``) and d the degree of the kernel. For ``nearest`` K is p.z, so that K^d is the paper's
kernel and F_d its distance. Degree 1 is F itself. A larger degree sees smaller differences: F_d
starts as d F, and levels off at 2, where the atom resembles no reference and is not pulled at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from losiko_torch.checks import positive
from losiko_torch.database.defaults import Defaults
from losiko_torch.loss.targets import Target, make_target
from losiko_torch.systems.atom_weights import element_factors


@dataclass(frozen=True)
class Similarity:
    """What ``relax`` is told of it; numbers left out depend on the database.

    Attributes:
        targets, n_neighbors, reg: As for ``relax``.
        degree: Of the kernel.
        factors: The weight of each element, by atomic number.
    """

    targets: str = "locally-linear"
    n_neighbors: int | None = None
    reg: float | None = None
    degree: float = 1.0
    factors: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        targets: str = "locally-linear",
        n_neighbors: int | None = None,
        reg: float | None = None,
        degree: float = 1.0,
        weights: Mapping[str, float] | None = None,
    ) -> Similarity:
        """From the arguments of ``relax``; ``InputError`` where they make no sense."""
        make_target(targets, n_neighbors, reg)
        degree = positive("degree", degree)
        return cls(targets, n_neighbors, reg, degree, element_factors(weights))

    def target(self, defaults: Defaults) -> Target:
        """The target, with what was left out."""
        return make_target(self.targets, self.n_neighbors, self.reg, defaults)


def kernel_form(distances: torch.Tensor, degree: float) -> tuple[torch.Tensor, torch.Tensor]:
    """F_d and dF_d/dF for F = ``distances``, any shape.

    Through logarithms, so that small distances keep their digits in float32.
    """
    if degree == 1:
        return distances, torch.ones_like(distances)
    log_kernel = torch.log1p(-(distances / 2).clamp(max=1))
    slope = degree * torch.exp((degree - 1) * log_kernel)
    # Beyond F = 2 nothing changes; below degree 1 the slope has a pole there.
    slope = torch.where(distances < 2, slope, 0)
    return -2 * torch.expm1(degree * log_kernel), slope
