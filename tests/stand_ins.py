"""Kernels that a GPU alone has, in plain torch: they stand in for it on a processor."""

from __future__ import annotations

import torch

from losiko_torch.descriptors.soap.neighbor_weights import smooth_cutoff, smooth_cutoff_slope
from losiko_torch.optimizers import lbfgs

#: Names of the kernels that have a function of the same name here.
NAMES = ("two_loop", "pair_geometry", "gradient_of_atoms", "mix")


def two_loop(gradient, steps, changes, curvature, first, largest, usual):
    assert usual == lbfgs.FIRST_CURVATURE
    assert largest == first.diff().max()
    return lbfgs._two_loop(gradient, steps, changes, curvature, _numbers(first))


def pair_geometry(positions, center, neighbor, channel, cutoff, width):
    vectors = positions[neighbor] - positions[center]
    r2 = vectors.square().sum(1)
    near = r2 <= cutoff**2
    weights, slopes = torch.ones_like(r2), torch.zeros_like(r2)
    if width > 0:
        weights, slopes = smooth_cutoff(r2, cutoff, width), smooth_cutoff_slope(r2, cutoff, width)
    nearby = [torch.where(near, each, 0.0) for each in (weights, slopes)]
    return torch.where(near[:, None], vectors, 0.0), *nearby, channel[neighbor]


def gradient_of_atoms(by_vectors, by_weights, vectors, slopes, first, incoming, first_incoming):
    pull = by_vectors + (2 * by_weights * slopes)[:, None] * vectors
    none = pull.new_zeros((len(first) - 1, 3))
    ahead = none.index_add(0, _numbers(first_incoming), pull[incoming])
    return ahead - none.index_add(0, _numbers(first), pull)


def mix(values, rows, element, matrices, back):
    matrices = matrices.transpose(2, 3) if back else matrices
    orders = 2 * torch.arange(matrices.shape[1]) + 1
    of_rows = matrices.repeat_interleave(orders, 1)
    out = values.new_full((*values.shape[:2], matrices.shape[3]), torch.nan)
    for tile, own in zip(rows, of_rows[element], strict=True):
        some = tile[tile >= 0]
        out[some] = torch.einsum("nma,mab->nmb", values[some], own)
    return out


def _numbers(first):
    """Return the number of each entry, given the first one of each number."""
    return torch.repeat_interleave(torch.arange(len(first) - 1), first.diff())
