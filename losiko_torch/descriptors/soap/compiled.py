"""SOAP by compiled kernels, see ``losiko_kernels``.

The kernels pass the density's coefficients on to each other. The power spectrum is computed from
them if features are needed, and never for distances from points of feature space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from losiko_torch.accelerators import kernels_for, kernels_pay
from losiko_torch.descriptors.interface import expected_neighbors
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.descriptors.soap.seen_pairs import pairs_seen
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.descriptors.soap.table import table_of
from losiko_torch.systems.active import ActiveAtoms
from losiko_torch.systems.batch import Batch


def serves(descriptor: Any, like: torch.Tensor) -> bool:
    """Return whether kernels serve a descriptor in the precision and on the device of a tensor."""
    return (
        type(descriptor) is SOAP
        and descriptor.average == "off"
        and descriptor.compression["mode"] in ("off", "mu2")
        and kernels_for(like.device) is not None
        and table_of(descriptor, like) is not None
    )


def serves_mixed(descriptor: Any, like: torch.Tensor) -> bool:
    """Return whether kernels serve a descriptor and pay, which then is a ``MixedSoap``."""
    return (
        type(descriptor) is MixedSoap and kernels_pay(like.device) and serves(descriptor.soap, like)
    )


def bytes_per_atom(soap: SOAP, item: int) -> int:
    """Bytes for each atom at the peak of a gradient by kernels, with numbers of ``item`` bytes.

    Features and their gradient count 1.5 times (one of them at a time, and half a copy of an
    element's part), coefficients twice, and each pair's vectors and indices once.
    """
    channels = soap.n_max * (1 if soap.compression["mode"] == "mu2" else len(soap.species))
    numbers = 1.5 * soap.get_number_of_features() + 2 * channels * (soap.l_max + 1) ** 2
    return int(numbers * item + expected_neighbors(soap.cutoff) * (12 * item + 64))


class CompiledSoap:
    """Surroundings by kernels; see ``descriptors.evaluation.Surroundings`` for the calls."""

    def __init__(self, soap: Any, batch: Batch, active: ActiveAtoms):
        soap.check_batch(batch)
        kernels = kernels_for(batch.positions.device)
        assert kernels is not None
        self.kernels, self.n_max = kernels, soap.n_max
        self.seen = pairs_seen(soap, batch, active)
        self.coefficients = kernels.expand_density(*self.seen.density)
        self.lengths: torch.Tensor | None = None

    def features(self, atoms: torch.Tensor | None = None) -> torch.Tensor:
        features, lengths = self.kernels.unit_power_spectrum(self.coefficients, self.n_max, atoms)
        if atoms is None:
            self.lengths = lengths
        return features

    def trace_back(self, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.lengths is None:
            self.features()
        by_coefficients = self.kernels.power_spectrum_backward(
            self.coefficients, self.lengths, slope, self.n_max
        )
        return self._to_positions(by_coefficients, None)

    def trace_back_parts(
        self,
        parts: Sequence[torch.Tensor],
        slopes_of: Callable[[int, torch.Tensor], torch.Tensor],
        count: int = 1,
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        by_coefficients = [torch.empty_like(self.coefficients) for _ in range(count)]
        for number, rows in enumerate(parts):
            self._trace_part(rows, partial(slopes_of, number), by_coefficients)
        return [self._to_positions(each, None) for each in by_coefficients]

    def _trace_part(
        self,
        rows: torch.Tensor,
        slopes_of: Callable[[torch.Tensor], torch.Tensor],
        by_coefficients: list[torch.Tensor],
    ) -> None:
        """Write the gradient of each loss by the coefficients of some atoms.

        It is a method of its own so that nothing is left of one part when the next begins.
        """
        kernels, c, n_max = self.kernels, self.coefficients, self.n_max
        features, lengths = kernels.unit_power_spectrum(c, n_max, rows)
        for slope, out in zip(slopes_of(features), by_coefficients, strict=True):
            kernels.power_spectrum_backward(c, lengths, slope, n_max, rows, out)

    def distances(self, points: torch.Tensor) -> torch.Tensor:
        apart, self.by_coefficients = self.kernels.distance(self.coefficients, points, self.n_max)
        return apart

    def trace_back_distances(self, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._to_positions(self.by_coefficients, factor)

    def _to_positions(
        self, by_coefficients: torch.Tensor, factor: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        by_pairs = self.kernels.expand_density_backward(by_coefficients, factor, *self.seen.density)
        return self.seen.to_positions(*by_pairs)


class CompiledMixedSoap(CompiledSoap):
    """Surroundings of mixed channels by kernels: SOAP's, with mixed coefficients."""

    def __init__(self, descriptor: Any, batch: Batch, active: ActiveAtoms):
        super().__init__(descriptor.soap, batch, active)
        self.descriptor, self.numbers = descriptor, active.of(batch.numbers)
        self.coefficients = descriptor.mixed(self.coefficients, self.numbers)
        self.n_max = descriptor.n_channels

    def _to_positions(
        self, by_coefficients: torch.Tensor, factor: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        unmixed = self.descriptor.unmixed(by_coefficients, self.numbers)
        return super()._to_positions(unmixed, factor)
