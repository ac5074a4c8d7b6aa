"""Features of a batch by compiled kernels, under autograd.

    vectors of pairs  ->  coefficients  ->  features        (kernels, both ways)

Only first derivatives come from kernels. A gradient that is itself to be differentiated
(``create_graph=True``, ``torch.func``) is that of plain torch, from the same vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from losiko_kernels.radial_table import RadialTable
from torch.autograd import forward_ad

from losiko_torch.accelerators import kernels_for
from losiko_torch.descriptors.soap.pair_weights import pair_weight_slopes, pair_weights
from losiko_torch.descriptors.soap.power_spectrum import power_spectrum
from losiko_torch.descriptors.soap.table import table_of
from losiko_torch.systems.batch import Batch, mean_by_system
from losiko_torch.systems.neighbors import Pairs
from losiko_torch.systems.sums import first_of


@dataclass(frozen=True)
class Expansion:
    """Centers and neighbours of pairs, sorted by center, and how their vectors are expanded.

    Attributes:
        soap: The descriptor.
        kernels: Kernels for processors.
        table: Radial functions in the precision of the vectors.
        center: Center of each pair, 0 to n - 1, shape (E,).
        numbers: Atomic number of each neighbour, shape (E,).
        first: Number of each center's first pair, and E, shape (n + 1,).
        element: Number of each neighbour's density, shape (E,).
        n_elements: Number of densities.
        system: Structure of each center, shape (n,).
        n_systems: Number B of structures.
    """

    soap: Any
    kernels: ModuleType
    table: RadialTable
    center: torch.Tensor
    numbers: torch.Tensor
    first: torch.Tensor
    element: torch.Tensor
    n_elements: int
    system: torch.Tensor
    n_systems: int

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean (B, ...) over the centers of each structure of values (n, ...)."""
        return mean_by_system(values, self.system, self.n_systems)

    def spread(self, by_mean: torch.Tensor) -> torch.Tensor:
        """Gradient by values that follows from the one by their mean."""
        counts = torch.bincount(self.system, minlength=self.n_systems)[self.system]
        shared = by_mean.index_select(0, self.system)
        return shared / counts.reshape(-1, *[1] * (by_mean.ndim - 1))

    def plain(self, vectors: torch.Tensor) -> torch.Tensor:
        """Features as plain torch computes them, averaged over centers for "inner" only."""
        coefficients = self.soap.expanded(vectors, self.numbers, self.center, len(self.first) - 1)
        if self.soap.average == "inner":
            coefficients = [self.mean(block) for block in coefficients]
        return power_spectrum(coefficients, self.soap.compression["mode"])


def kernels_serve(soap: Any, batch: Batch) -> bool:
    """Return whether kernels serve a descriptor in a call with a batch, on a processor.

    They know no tangents of forward-mode differentiation, and ``torch.compile`` does not see them.
    """
    positions, cells = batch.positions, batch.cells
    if torch.compiler.is_compiling():
        return False
    kernels = kernels_for(positions.device)
    # Those for GPUs, which an interpreter may run on a processor, have no features of their own.
    if positions.device.type != "cpu" or not hasattr(kernels, "power_spectra"):
        return False
    if positions.dtype not in (torch.float32, torch.float64):
        return False
    if any(forward_ad.unpack_dual(each).tangent is not None for each in (positions, cells)):
        return False
    return table_of(soap, positions) is not None


def features_by_kernels(
    soap: Any, batch: Batch, centers: torch.Tensor | None, pairs: Pairs
) -> torch.Tensor:
    """Return what ``SOAP.forward`` does, where ``kernels_serve``."""
    soap.check_batch(batch)
    row, system = pairs.center, batch.system_idx
    if centers is not None:
        system = system[centers]
        pairs, row = _pairs_of(pairs, centers, batch.n_atoms)
    n = len(system)
    vectors = pairs.vectors(batch).contiguous()
    numbers = batch.numbers[pairs.neighbor]
    element, n_elements = soap.channel_of(numbers)
    first = first_of(row, n)
    kernels, table = kernels_for(vectors.device), table_of(soap, vectors)
    assert kernels is not None
    assert table is not None
    expansion = Expansion(
        soap, kernels, table, row, numbers, first, element, n_elements, system, batch.n_systems
    )
    features, _ = _Features.apply(vectors, expansion)
    return expansion.mean(features) if soap.average == "outer" else features


def _pairs_of(pairs: Pairs, centers: torch.Tensor, n_atoms: int) -> tuple[Pairs, torch.Tensor]:
    """Pairs of centers (n,), in any order and repeated or not, and the place of each one's."""
    counts = torch.bincount(pairs.center, minlength=n_atoms)
    starts = torch.cumsum(counts, 0) - counts
    wanted = counts[centers]
    row = torch.repeat_interleave(wanted)
    within = torch.arange(len(row), device=row.device) - (torch.cumsum(wanted, 0) - wanted)[row]
    chosen = starts[centers][row] + within
    shift = None if pairs.shift is None else pairs.shift[chosen]
    return Pairs(pairs.center[chosen], pairs.neighbor[chosen], shift), row


class _Features(torch.autograd.Function):
    """Features (n or B, F) of vectors (E, 3), and the coefficients that they are made of."""

    generate_vmap_rule = False

    @staticmethod
    def forward(vectors: torch.Tensor, expansion: Expansion) -> tuple[torch.Tensor, torch.Tensor]:
        soap, kernels = expansion.soap, expansion.kernels
        weights, _ = _weighed(vectors, expansion)
        c = kernels.expand_density(*_shape(vectors, weights, expansion))
        if soap.average == "inner":
            c = expansion.mean(c)
        features = vectors.new_empty((len(c), soap.get_number_of_features()))
        kernels.power_spectra(c, soap.n_max, soap.compression["mode"], features)
        return features, c

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        vectors, ctx.expansion = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(vectors, output[1])

    @staticmethod
    def backward(ctx, grad: torch.Tensor, _):
        vectors, c = ctx.saved_tensors
        expansion: Expansion = ctx.expansion
        if not torch.is_grad_enabled():
            return _gradient(vectors, c, grad, expansion), None
        # The gradient will be differentiated.
        (by_vectors,) = torch.autograd.grad(
            expansion.plain(vectors), vectors, grad, create_graph=True, materialize_grads=True
        )
        return by_vectors, None


def _gradient(
    vectors: torch.Tensor, c: torch.Tensor, grad: torch.Tensor, of: Expansion
) -> torch.Tensor:
    weights, r2 = _weighed(vectors, of)
    mode = of.soap.compression["mode"]
    by_c = of.kernels.power_spectra_backward(c, grad, of.soap.n_max, mode)
    if of.soap.average == "inner":
        by_c = of.spread(by_c)
    pull, by_weights = of.kernels.expand_density_backward(by_c, None, *_shape(vectors, weights, of))
    if weights is not None:
        by_r2 = by_weights * pair_weight_slopes(of.soap, r2, of.numbers)
        pull = torch.addcmul(pull, vectors.detach(), by_r2[:, None], value=2)
    return pull


def _weighed(vectors: torch.Tensor, of: Expansion) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Return the weights of neighbours (E,), None where all are 1, and r^2 (E,)."""
    r2 = vectors.detach().square().sum(1)
    return pair_weights(of.soap, r2, of.numbers), r2


def _shape(vectors: torch.Tensor, weights: torch.Tensor | None, of: Expansion) -> tuple:
    """Arguments of the kernels that expand the density."""
    return vectors.detach(), weights, of.first, of.element, of.n_elements, of.table
