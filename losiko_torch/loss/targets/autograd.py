"""A target written as a plain function of descriptors and references; autograd finds its slope.

>>> import torch
>>> from ase.build import molecule
>>> from losiko_torch import SOAP, AutogradTarget, EnvironmentDatabase, relax
>>> def softest(p, z):  # smooth minimum of the squared distances
...     return -0.1 * torch.logsumexp(-(p[:, None] - z).square().sum(2) / 0.1, 1)
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=6, l_max=4, sigma=0.3)
>>> database = EnvironmentDatabase.build([molecule("H2O"), molecule("H2O2")], soap)
>>> water = molecule("H2O")
>>> water.rattle(0.05, seed=1)
>>> relax(water, database, targets=AutogradTarget(softest, n_neighbors=2))[0].reason
'converged'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from losiko_torch.checks import whole
from losiko_torch.database.element import Environments
from losiko_torch.errors import InputError
from losiko_torch.keywords import names_unknown
from losiko_torch.loss.targets.interface import IN_COMPONENTS, TargetValues
from losiko_torch.search.exact import row_blocks


@names_unknown
@dataclass(frozen=True)
class AutogradTarget:
    """Target F(p) = f(p, z) + rest of a function f that torch can differentiate.

    Attributes:
        function: From descriptors p, shape (n, r), and the references of each, shape (n, k, r),
            both in the principal components of one element, to f, shape (n,). What the components
            leave over of |p|^2, the rest, is added, so that f = |p - z_1|^2 is exact. Weights of
            references decide which are nearest, and do not enter F.
        n_neighbors: References of each atom, fewer where an element has fewer.

    Raises:
        InputError: For a function that gives no number an atom, or none that depends on p.
    """

    slope: ClassVar[str] = IN_COMPONENTS

    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    n_neighbors: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_neighbors", whole("n_neighbors", self.n_neighbors))
        if not callable(self.function):
            raise InputError(f"a target needs a function, not {self.function!r}")

    def allocate(
        self, n: int, k: int, n_features: int, like: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        return ()

    def update(
        self,
        cache: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        new: torch.Tensor,
    ) -> None:
        """Keep nothing."""

    def evaluate(
        self,
        values: torch.Tensor,
        rest: torch.Tensor,
        references: Environments,
        indices: torch.Tensor,
        cache: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
    ) -> TargetValues:
        n, k = indices.shape
        vectors = references.vectors_in(values.dtype)
        loss, slope = torch.empty_like(rest), torch.empty_like(values)
        for some in row_blocks(n, k, vectors):
            loss[some], slope[some] = self._differentiated(values[some], vectors[indices[some]])
        return TargetValues(loss + rest, slope, values.new_full((n, k), 1 / k))

    def _differentiated(
        self, p: torch.Tensor, z: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return f (n,) and df/dp (n, r)."""
        with torch.enable_grad():
            p = p.detach().requires_grad_()
            found = self.function(p, z)
            if not isinstance(found, torch.Tensor) or found.shape != (len(p),):
                given = list(getattr(found, "shape", [])) or type(found).__name__
                raise InputError(
                    f"the target's function {_name(self.function)} gives {given} for {len(p)} "
                    "atoms: one number an atom is needed"
                )
            if not found.requires_grad:
                raise InputError(
                    f"the target's function {_name(self.function)} gives numbers that torch cannot "
                    "differentiate by the descriptors"
                )
            (slope,) = torch.autograd.grad(found.sum(), p)
        return found.detach(), slope

    def bytes_per_atom(self, k: int, dtype: torch.dtype, device: torch.device) -> int:
        # References are gathered in blocks of a fixed size.
        return 0

    def identity(self) -> dict[str, Any]:
        return {"function": _name(self.function), "n_neighbors": self.n_neighbors}


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__name__)}"
