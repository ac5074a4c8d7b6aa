"""Evaluation of a descriptor: unit features of atoms, and the way back from features to positions.

    unit features  ->  slope of a loss by the features  ->  gradient by positions and strain

``Plain`` works by autograd, for any descriptor; ``soap.compiled.CompiledSoap`` by kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import nn

from losiko_torch.descriptors.interface import features_of
from losiko_torch.descriptors.soap.compiled import (
    CompiledMixedSoap,
    CompiledSoap,
    serves,
    serves_mixed,
)
from losiko_torch.systems.active import ALL_ATOMS, ActiveAtoms
from losiko_torch.systems.batch import Batch, sum_by_system


class Surroundings(Protocol):
    """Surroundings of the n active atoms of a batch, described."""

    def features(self, atoms: torch.Tensor | None = None) -> torch.Tensor:
        """Unit features, shape (n, F), or those of some of the n atoms (indices 0 to n - 1)."""
        ...

    def trace_back(self, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradient by positions (N, 3) and virials (B, 3, 3) of a loss.

        ``slope`` (n, F) is the derivative of the loss by the unit features. A multiple of the
        features themselves, added to it, does not change the result.
        """
        ...

    def trace_back_parts(
        self,
        parts: Sequence[torch.Tensor],
        slopes_of: Callable[[int, torch.Tensor], torch.Tensor],
        count: int = 1,
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Gradient and virials, as of ``trace_back``, of each of ``count`` losses.

        Features and slopes exist for a part of the atoms at a time.

        Args:
            parts: Some of the n atoms each (indices), together all of them once.
            slopes_of: Function of the number of a part and its unit features (m, F), which it may
                write to. It returns the derivatives (count, m, F) of the losses by them.
            count: Number of losses.
        """
        ...

    def distances(self, points: torch.Tensor) -> torch.Tensor:
        """Distances |p_i - t_i|^2 from points t (n, F) of feature space, shape (n,)."""
        ...

    def trace_back_distances(self, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradient and virials of the sum of the last ``distances``, each times ``factor`` (n,)."""
        ...


def evaluation_of(descriptor: nn.Module, batch: Batch) -> type[CompiledSoap] | type[Plain]:
    """Return the class that evaluates a descriptor of a batch: by kernels where there are some.

    It is called with the descriptor, a batch and the active atoms, and makes ``Surroundings``.
    """
    if serves_mixed(descriptor, batch.positions):
        return CompiledMixedSoap
    return CompiledSoap if serves(descriptor, batch.positions) else Plain


def described(
    descriptor: nn.Module, batch: Batch, active: ActiveAtoms = ALL_ATOMS
) -> CompiledSoap | Plain:
    """Return the surroundings of the active atoms, by kernels where there are some."""
    return evaluation_of(descriptor, batch)(descriptor, batch, active)


@torch.no_grad()
def unit_features(
    descriptor: nn.Module, batch: Batch, active: ActiveAtoms = ALL_ATOMS
) -> torch.Tensor:
    """Return the descriptors of the active atoms, of unit length, shape (n, F)."""
    if serves(descriptor, batch.positions):
        return CompiledSoap(descriptor, batch, active).features()
    return _unit(features_of(descriptor, batch, active))


def _unit(features: torch.Tensor) -> torch.Tensor:
    lengths = features.norm(dim=1, keepdim=True)
    return features / lengths.clamp(min=torch.finfo(features.dtype).tiny)


class Plain:
    """Surroundings by autograd."""

    def __init__(self, descriptor: nn.Module, batch: Batch, active: ActiveAtoms):
        self.batch = replace(
            batch,
            positions=batch.positions.detach().requires_grad_(),
            cells=batch.cells.detach().requires_grad_(),
        )
        with torch.enable_grad():
            self.unit = _unit(features_of(descriptor, self.batch, active))

    def features(self, atoms: torch.Tensor | None = None) -> torch.Tensor:
        unit = self.unit.detach()
        return unit if atoms is None else unit[atoms]

    def trace_back(self, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        batch = self.batch
        gradient, pull = torch.autograd.grad(
            self.unit,
            (batch.positions, batch.cells),
            grad_outputs=slope,
            materialize_grads=True,
            retain_graph=True,
        )
        # The virial follows by the chain rule through the strained positions and cell vectors.
        moments = batch.positions.detach()[:, :, None] * gradient[:, None, :]
        virial = batch.cells.detach().transpose(1, 2) @ pull
        return gradient, virial + sum_by_system(moments, batch.system_idx, batch.n_systems)

    def trace_back_parts(
        self,
        parts: Sequence[torch.Tensor],
        slopes_of: Callable[[int, torch.Tensor], torch.Tensor],
        count: int = 1,
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        unit = self.unit.detach()
        slopes = unit.new_empty((count, *unit.shape))
        for number, rows in enumerate(parts):
            slopes[:, rows] = slopes_of(number, unit[rows])
        return [self.trace_back(slope) for slope in slopes]

    def distances(self, points: torch.Tensor) -> torch.Tensor:
        self.difference = self.unit.detach() - points
        return self.difference.square().sum(1)

    def trace_back_distances(self, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.trace_back(2 * factor[:, None] * self.difference)
