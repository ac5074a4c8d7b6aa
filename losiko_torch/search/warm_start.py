r"""Warm start of the search for an atom that moved a little, from its references before.

The farthest of k references known before is at least as far as the k-th nearest now. References
beyond it need not be compared, and a lower bound of all distances excludes them: with the
descriptors' first principal components a and the length t of the remaining components,

    |p - z|^2 >= |a_p - a_z|^2 + (t_p - t_z)^2

by the triangle inequality, a matrix product in few dimensions. Hardly more than the k references
themselves remain; exact distances decide among them, and the result is that of comparing all
references in float64. If no references are known yet, those with the lowest bounds in a sample take
their place.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from losiko_torch.accelerators import kernels_for
from losiko_torch.search.exact import FLOAT32_ERROR

#: Principal components of the lower bound.
LEADING = 32
#: Entries of a matrix of bounds worked on at once: as many as a processor's cache holds.
ENTRIES = 2**22

#: References of the sample that stands in for known ones: at least so many, and at least so many
#: for each reference wanted.
SAMPLE, SAMPLE_EACH = 2048, 16

#: ``(components (n, r), k, known references (n, k)) -> (distances, indices)``, both (n, k). None as
#: known references means that there are none.
NearKnown = Callable[[torch.Tensor, int, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor]]


def near_known_search(references: torch.Tensor) -> NearKnown | None:
    """The search among ``references`` (N, r). None if no kernel serves their device."""
    kernels = kernels_for(references.device)
    if kernels is None or not hasattr(kernels, "nearest_within"):
        return None
    leading = leading_of(references)
    squares = leading.square().sum(1)

    def search(
        components: torch.Tensor, k: int, known: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        n = len(components)
        distances, indices = components.new_empty((n, k)), torch.empty((n, k), dtype=torch.long)
        step = max(1, len(references) // max(SAMPLE, SAMPLE_EACH * k))
        queries = leading_of(components)
        own = queries.square().sum(1, keepdim=True)
        at_once = max(1, ENTRIES // len(references))
        for begin in range(0, n, at_once):
            rows = slice(begin, begin + at_once)
            lower = torch.addmm(squares, queries[rows], leading.T, alpha=-2).add_(own[rows])
            if known is None:
                # NaN compares with nothing, but queries that are not finite need some indices.
                sample = lower[:, ::step].nan_to_num(nan=torch.inf)
                first = step * sample.topk(k, dim=1, largest=False, sorted=False).indices
            else:
                first = known[rows]
            distances[rows], indices[rows] = kernels.nearest_within(
                components[rows], references, lower, first, FLOAT32_ERROR
            )
        return distances, indices

    return search


def leading_of(vectors: torch.Tensor, count: int = LEADING) -> torch.Tensor:
    """First components of vectors (n, r), and the length of the others, for lower bounds.

    The shape is (n, count + 1), or (n, r + 1) if there are fewer components; float32.
    """
    tail = vectors[:, count:].norm(dim=1, keepdim=True)
    return torch.cat([vectors[:, :count], tail], 1).float()
