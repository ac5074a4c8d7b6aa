"""Calls that compile ahead what an evaluation of an objective will launch on a GPU.

This follows ``Objective.evaluate`` and what it calls for molecules; a test compares it with what is
launched. What is left out is compiled where it is first launched.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch

from losiko_torch.descriptors.soap.compiled import serves, serves_mixed
from losiko_torch.descriptors.soap.table import table_of
from losiko_torch.learned.together import WIDTHS
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear


def evaluation_calls(objective: Objective, like: torch.Tensor, ahead: ModuleType) -> Iterator[Any]:
    """Yield calls for ``ahead.compile_ahead``, which do nothing but compile.

    Args:
        objective: Objective, restricted to the elements that it will see.
        like: Tensor in the precision and on the device of the evaluations.
        ahead: Module ``losiko_kernels.gpu.ahead``.
    """
    descriptor, mixed = objective.descriptor, serves_mixed(objective.descriptor, like)
    if not (mixed or serves(descriptor, like)):
        return
    soap: Any = descriptor.soap if mixed else descriptor
    table = table_of(soap, like)
    assert table is not None
    _, n_elements = soap.channel_of(soap.element_of_number[:0])
    sizes = ahead.Density(like.dtype, n_elements, soap.n_max, soap.l_max, len(table.coefficients))
    channels, n_max = sizes.channels, soap.n_max
    faded = soap.smooth_width > 0
    yield from ahead.of_density(sizes, objective.to_point, faded)
    yield from ahead.of_pairs(like.dtype, faded)
    if mixed:
        channels = n_max = descriptor.n_channels
        yield from ahead.of_mixing(sizes, channels)
    shape = sizes, channels, n_max
    if objective.by_model:
        # Features are there for a piece of the atoms at a time.
        yield from ahead.of_features(*shape, some=True)
        yield from ahead.of_slopes(*shape, some=True)
        members, _, width = next(iter(objective.model.networks.values())).w1.shape
        if width % WIDTHS == 0:
            yield from ahead.of_networks(like.dtype, members, width)
        return
    yield from ahead.of_features(*shape, some=False)
    if objective.to_point:
        # Atoms whose references are searched again are described, all others not.
        yield from ahead.of_features(*shape, some=True)
        yield from ahead.of_distances(*shape)
    else:
        yield from ahead.of_slopes(*shape, some=False)
    yield from _reference_calls(objective, like.dtype, ahead)


def _reference_calls(objective: Objective, dtype: torch.dtype, ahead: ModuleType) -> Iterator[Any]:
    """Yield the calls that search the references of each element and combine them."""
    for references in objective.database.environments.values():
        k = min(objective.target.n_neighbors, references.usable)
        components = references.basis.shape[1]
        if k == 0:
            continue
        if references.weight is None:
            yield from ahead.of_candidates(dtype, components)
        if isinstance(objective.target, LocallyLinear):
            most, weighted = objective.most_neighbors, references.weight is not None
            yield from ahead.of_references(dtype, k, most, components, weighted)
