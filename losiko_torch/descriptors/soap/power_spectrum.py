r"""The power spectrum of density coefficients, in DScribe's feature order.

Let the rows of C_l be the coefficients of degree l of all channels (a channel is a pair of element
and radial function). The power spectrum is then the matrix product

    P_l = C_l C_l^T,     p^{ZZ'}_nn'l = sum_m c^Z_nlm c^Z'_n'lm

of which every distinct entry appears once in the feature vector. Its gradient is another small
product, dL/dC_l = (symmetric matrix) C_l, with no Jacobian in between.

Compressions (Darby, Kermode and Csanyi, npj Comput. Mater. 8, 166, 2022) are other choices of the
rows: ``mu2`` sums the elements into one before the product, ``crossover`` keeps products within an
element, ``mu1nu1`` multiplies each element's rows with the sum over all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

#: Coefficients of each degree l = 0..l_max, a tensor (centers, elements, n_max, 2l + 1).
Coefficients = list[torch.Tensor]

COMPRESSIONS = ("off", "mu2", "mu1nu1", "crossover")


def scale_degrees(coefficients: Coefficients) -> Coefficients:
    """Multiply degree l by the root of pi sqrt(8/(2l+1)), the norm of the SOAP kernel."""
    return [
        block * math.sqrt(math.pi * math.sqrt(8 / (2 * degree + 1)))
        for degree, block in enumerate(coefficients)
    ]


def power_spectrum(coefficients: Coefficients, compression: str) -> torch.Tensor:
    """Features (centers, n_features) of coefficients scaled by ``scale_degrees``."""
    n_centers, n_elements, n_max, _ = coefficients[0].shape
    if compression == "mu1nu1":
        products = [torch.einsum("czim,cjm->czij", block, block.sum(1)) for block in coefficients]
        return torch.stack(products, 2).flatten(1)
    if compression == "crossover":
        rows = [block.flatten(0, 1) for block in coefficients]
        layout = _layout(1, n_max, len(rows), rows[0].device)
        return _SymmetricProducts.apply(layout, *rows).reshape(n_centers, -1)
    # The elements of mu2 were already summed into one.
    rows = [block.flatten(1, 2) for block in coefficients]
    return _SymmetricProducts.apply(_layout(n_elements, n_max, len(rows), rows[0].device), *rows)


def feature_count(n_elements: int, n_max: int, l_max: int, compression: str) -> int:
    """Length of the feature vector."""
    degrees = l_max + 1
    if compression == "mu2":
        return n_max * (n_max + 1) // 2 * degrees
    if compression == "mu1nu1":
        return n_elements * n_max**2 * degrees
    if compression == "crossover":
        return n_elements * n_max * (n_max + 1) // 2 * degrees
    channels = n_elements * n_max
    return channels * (channels + 1) // 2 * degrees


@dataclass(frozen=True)
class _Layout:
    """The map between features and matrix entries, in both directions.

    The matrices of all degrees count as one flat array of l_max+1 x channels x channels entries.

    Attributes:
        entry_of_feature: Matrix entry of each feature, shape (F,).
        feature_of_entry: Feature of each matrix entry, flat.
        channels: Number of rows of a matrix.
    """

    entry_of_feature: torch.Tensor
    feature_of_entry: torch.Tensor
    channels: int


_LAYOUTS: dict[tuple, _Layout] = {}


def _layout(n_elements: int, n_max: int, degrees: int, device: torch.device) -> _Layout:
    """Layout in DScribe's order: pairs of elements, then l, then n, n' (n' >= n in one element)."""
    key = (n_elements, n_max, degrees, device)
    if key not in _LAYOUTS:
        channels = n_elements * n_max
        entry = torch.arange(degrees * channels**2).reshape(degrees, channels, channels)
        features = []
        upper = torch.triu_indices(n_max, n_max)
        for first in range(n_elements):
            for second in range(first, n_elements):
                rows = slice(first * n_max, (first + 1) * n_max)
                columns = slice(second * n_max, (second + 1) * n_max)
                block = entry[:, rows, columns]
                features.append(
                    block[:, upper[0], upper[1]].flatten() if first == second else block.flatten()
                )
        entry_of_feature = torch.cat(features)
        feature_of_entry = torch.empty(degrees * channels**2, dtype=torch.long)
        feature_of_entry[entry.transpose(1, 2).flatten()[entry_of_feature]] = torch.arange(
            len(entry_of_feature)
        )
        feature_of_entry[entry_of_feature] = torch.arange(len(entry_of_feature))
        _LAYOUTS[key] = _Layout(entry_of_feature.to(device), feature_of_entry.to(device), channels)
    return _LAYOUTS[key]


class _SymmetricProducts(torch.autograd.Function):
    """Distinct entries of C_l C_l^T for all l; rows (centers, channels, 2l+1) -> (centers, F)."""

    generate_vmap_rule = False

    @staticmethod
    def forward(layout: _Layout, *rows: torch.Tensor) -> torch.Tensor:
        products = torch.stack([block @ block.transpose(1, 2) for block in rows], 1)
        return products.flatten(1).index_select(1, layout.entry_of_feature)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.layout, *rows = inputs
        ctx.save_for_backward(*rows)
        ctx.save_for_forward(*rows)

    @staticmethod
    def backward(ctx, grad: torch.Tensor):
        layout, rows = ctx.layout, ctx.saved_tensors
        channels = layout.channels
        matrices = grad.index_select(1, layout.feature_of_entry)
        matrices = matrices.reshape(len(grad), len(rows), channels, channels)
        # A diagonal entry is a square and counts twice in the derivative.
        matrices.diagonal(dim1=2, dim2=3).mul_(2)
        return None, *(matrices[:, degree] @ block for degree, block in enumerate(rows))

    @staticmethod
    def jvp(ctx, _, *tangents: torch.Tensor):
        products = []
        for block, tangent in zip(ctx.saved_tensors, tangents, strict=True):
            half = tangent @ block.transpose(1, 2)
            products.append(half + half.transpose(1, 2))
        return torch.stack(products, 1).flatten(1).index_select(1, ctx.layout.entry_of_feature)
