"""Pairs as the kernels of the density take them, and the way back from pairs to positions.

``PairsByTorch`` serves every descriptor and every list of pairs, ``PairsByKernels`` lists of
molecules on a device that has kernels for pairs, in one launch there and one back.
"""

from __future__ import annotations

from typing import Any

import torch
from losiko_kernels.radial_table import RadialTable

from losiko_torch.accelerators import gpu_kernel
from losiko_torch.descriptors.soap.pair_weights import pair_weight_slopes, pair_weights
from losiko_torch.descriptors.soap.table import table_of
from losiko_torch.systems.active import ActiveAtoms
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.kept import any_true, kept
from losiko_torch.systems.neighbors import find_pairs
from losiko_torch.systems.sums import first_of, segment_sums

#: Arguments of ``expand_density``: vectors, weights, first pairs, elements, their number, table.
Density = tuple[
    torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor, int, RadialTable | None
]


def pairs_seen(soap: Any, batch: Batch, active: ActiveAtoms) -> PairsByTorch | PairsByKernels:
    """Return the pairs of the active atoms of a batch as a SOAP sees them."""
    listed = active.listed
    if (
        not (soap.weighting or soap.weighs_species)
        and active.centers is None
        and active.batch is batch
        and listed is not None
        and listed.shift is None
        and not any_true(batch.pbc)
        and gpu_kernel(batch.positions.device, "pair_geometry") is not None
    ):
        return PairsByKernels(soap, batch, active)
    return PairsByTorch(soap, batch, active)


class PairsByTorch:
    """Pairs seen by plain torch.

    Attributes:
        density: Arguments of ``expand_density``.
    """

    def __init__(self, soap: Any, batch: Batch, active: ActiveAtoms):
        self.soap, self.batch = soap, batch
        centers = active.centers
        # Far pairs among those listed get no weight, instead of being counted out.
        near = active.near if centers is None else None
        pairs = active.pairs if near is None else active.listed
        if pairs is None:
            pairs = find_pairs(batch, soap.cutoff, soap.periodic)
        # Pairs are sorted by center.
        if centers is None:
            first = pairs.first(batch.n_atoms)
        else:
            n, device = len(centers), centers.device
            places = centers.new_full((batch.n_atoms,), -1)
            places[centers] = torch.arange(n, device=device)
            pairs = pairs.keep(places[pairs.center] >= 0)
            row = places[pairs.center]
            first = torch.searchsorted(row, torch.arange(n + 1, device=device))
        if near is None or active.vectors is None:
            vectors = pairs.vectors(batch).contiguous()
        else:
            vectors = active.vectors.masked_fill(~near[:, None], 0.0)
        self.pairs, self.neighbors = pairs, batch.numbers[pairs.neighbor]
        element, n_elements = soap.channel_of(self.neighbors)
        self.r2 = (vectors * vectors).sum(1)
        weights = pair_weights(soap, self.r2, self.neighbors)
        if near is not None:
            weights = near.to(vectors.dtype) if weights is None else weights * near
        table = table_of(soap, vectors)
        self.density: Density = vectors, weights, first, element, n_elements, table

    def to_positions(
        self, pull: torch.Tensor, by_weights: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return gradient (N, 3) and virials (B, 3, 3) from those by vectors and weights."""
        vectors = self.density[0]
        if self.soap.weighs_neighbors:
            assert by_weights is not None
            by_r2 = by_weights * pair_weight_slopes(self.soap, self.r2, self.neighbors)
            # Of pairs that are not near the vectors are zero.
            pull = torch.addcmul(pull, vectors, by_r2[:, None], value=2)
        batch, pairs = self.batch, self.pairs
        gradient = pairs.by_positions(pull, batch.n_atoms)
        if not any_true(batch.pbc):
            return gradient, batch.no_virial
        # A strain deforms the vectors of all pairs alike, to images too.
        moments = vectors[:, :, None] * pull[:, None, :]
        atoms = first_of(batch.system_idx, batch.n_systems)
        return gradient, segment_sums(moments, pairs.first(batch.n_atoms)[atoms])


class PairsByKernels:
    """Pairs of molecules, all of whose atoms are active, seen by kernels.

    Neighbours have no weight but that of the cutoff. A pair that is beyond it has a vector and a
    weight of zero.

    Attributes:
        density: Arguments of ``expand_density``.
    """

    def __init__(self, soap: Any, batch: Batch, active: ActiveAtoms):
        positions, pairs = batch.positions, active.listed
        look = gpu_kernel(positions.device, "pair_geometry")
        assert pairs is not None
        assert look is not None
        self.batch, self.pairs = batch, pairs
        kind = ("channels", tuple(soap.species), soap.compression["mode"])
        channel, n_elements = kept(batch.numbers, kind, lambda: soap.channel_of(batch.numbers))
        vectors, weights, self.slopes, element = look(
            positions, pairs.center, pairs.neighbor, channel, active.cutoff, soap.smooth_width
        )
        self.first, table = pairs.first(batch.n_atoms), table_of(soap, vectors)
        self.density: Density = vectors, weights, self.first, element, n_elements, table

    def to_positions(
        self, pull: torch.Tensor, by_weights: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what that of ``PairsByTorch`` does."""
        add_up = gpu_kernel(pull.device, "gradient_of_atoms")
        assert add_up is not None
        given = (pull, by_weights, self.density[0], self.slopes)
        gradient = add_up(*given, self.first, *self.pairs.incoming(self.batch.n_atoms))
        return gradient, self.batch.no_virial
