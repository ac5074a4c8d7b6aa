r"""Expansion coefficients of the neighbour density around each center.

    c^Z_nlm(i) = sum_{j of element Z} w_ij g_nl(r_ij^2) r_ij^l Y_lm(r_ij)

The outer product of the radial and the angular part of each pair is summed over the pairs of each
(center, element), degree by degree.
"""

from __future__ import annotations

import torch

from losiko_torch.descriptors.soap.harmonics import solid_harmonics
from losiko_torch.descriptors.soap.power_spectrum import Coefficients
from losiko_torch.systems.sums import summed


def expand_density(
    vectors: torch.Tensor,
    radial: torch.Tensor,
    slot: torch.Tensor,
    n_centers: int,
    n_elements: int,
    scale: float,
) -> Coefficients:
    """Coefficients of each degree l, shape (n_centers, n_elements, n_max, 2l+1).

    Args:
        vectors: Vectors from center to neighbour in Angstrom, shape (E, 3).
        radial: Weighted radial functions, shape (l_max + 1, E, n_max).
        slot: Center of each pair times ``n_elements`` plus its neighbour's element, shape (E,).
        n_centers, n_elements: Sizes of the result.
        scale: Unit of length (Angstrom) of the solid harmonics, that of the radial functions.
    """
    degrees, _, n_max = radial.shape
    angular = solid_harmonics(vectors / scale, degrees - 1)
    coefficients = []
    for degree in range(degrees):
        width = 2 * degree + 1
        harmonics = angular[:, degree**2 : (degree + 1) ** 2]
        products = (radial[degree][:, :, None] * harmonics[:, None, :]).flatten(1)
        every = summed(products, slot, n_centers * n_elements)
        coefficients.append(every.reshape(n_centers, n_elements, n_max, width))
    return coefficients
