"""SOAP as a program of ``torch.export``, which runs without this package.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP, Batch
>>> from losiko_torch.systems.neighbors import find_pairs
>>> soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=4, l_max=2, sigma=0.3)
>>> program = exported(soap)
>>> water = Batch.from_atoms(molecule("H2O"))
>>> pairs = find_pairs(water, soap.cutoff, periodic=False)
>>> offsets = torch.zeros(len(pairs.center), 3, dtype=torch.float64)
>>> arguments = water.positions, water.numbers, pairs.center, pairs.neighbor, offsets
>>> features = program.module()(*arguments)
>>> torch.allclose(features, soap(water))
True

The program takes numbers of atoms and pairs of any size, and is differentiable with respect to
positions and offsets. Finding the pairs is left to whoever calls it.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export

from losiko_torch.descriptors.soap.density import expand_density
from losiko_torch.descriptors.soap.pair_weights import pair_weights
from losiko_torch.descriptors.soap.power_spectrum import power_spectrum, scale_degrees
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError


class PlainSoap(nn.Module):
    """SOAP of tensors alone, without checks: an element that is not among the species gives NaN."""

    def __init__(self, soap: SOAP):
        super().__init__()
        self.soap = soap

    def forward(
        self,
        positions: torch.Tensor,
        numbers: torch.Tensor,
        center: torch.Tensor,
        neighbor: torch.Tensor,
        offsets: torch.Tensor,
    ) -> torch.Tensor:
        """Features of every atom.

        Args:
            positions: Cartesian positions in Angstrom, shape (N, 3).
            numbers: Atomic numbers, shape (N,).
            center, neighbor: Atoms of each pair within the cutoff, shape (E,): every atom with
                itself, and each pair in both directions.
            offsets: What the cell adds to the vector from center to neighbour (Angstrom), (E, 3).

        Returns:
            Features, shape (N, n_features).
        """
        soap, elements = self.soap, numbers.index_select(0, neighbor)
        vectors = positions.index_select(0, neighbor) - positions.index_select(0, center) + offsets
        r2 = (vectors * vectors).sum(1)
        radial, weights = soap.basis(r2), pair_weights(soap, r2, elements)
        if weights is not None:
            radial = radial * weights[None, :, None]
        channel, n_channels = soap.channel_of(elements)
        channel = channel.clamp(min=0)
        coefficients = expand_density(
            vectors,
            radial,
            center * n_channels + channel,
            positions.shape[0],
            n_channels,
            soap.cutoff,
        )
        features = power_spectrum(scale_degrees(coefficients), soap.compression["mode"])
        known = (soap.element_of_number[elements] >= 0).all()
        return torch.where(known, features, torch.nan)


def exported(soap: SOAP, dtype: torch.dtype = torch.float64) -> ExportedProgram:
    """Return a program of ``torch.export`` that computes SOAP from positions and pairs.

    Args:
        soap: Descriptor, with the gto basis and no averaging.
        dtype: Precision of the positions that the program takes.

    Raises:
        InputError: For a descriptor that averages, or has the polynomial basis.
    """
    if soap.average != "off" or soap.rbf != "gto":
        raise InputError("only SOAP with rbf='gto' and average='off' can be exported")
    plain = PlainSoap(soap)
    # Sizes that are no products of each other, none of them 0 or 1, so that all stay open.
    device = soap.element_of_number.device
    center = torch.tensor([0, 1, 2, 3, 4, 0, 1], device=device)
    neighbor = torch.tensor([0, 1, 2, 3, 4, 1, 0], device=device)
    positions = torch.arange(15.0, dtype=dtype, device=device).reshape(5, 3)
    numbers = torch.full((5,), soap.species[0], device=device)
    example = positions, numbers, center, neighbor, torch.zeros_like(positions[center])
    # Tables that are made once and kept must not be made while the program is traced.
    plain(*example)
    atoms, pairs = {0: Dim("atoms")}, {0: Dim("pairs")}
    return export(plain, example, dynamic_shapes=(atoms, atoms, pairs, pairs, pairs), strict=False)
