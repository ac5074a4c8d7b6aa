r"""Finding the nearest references of an atom that moved a little, from those that it had.

The farthest of k references known before is at least as far as the k-th nearest now. So nothing
beyond it needs to be looked at, and a lower bound of all distances tells what that is: with the
descriptors' first principal components a and the length t of what these leave over,

    |p - z|^2 >= |a_p - a_z|^2 + (t_p - t_z)^2,

a matrix product in few dimensions. What is left are hardly more than the k themselves; exact
distances decide among them, and the answer is that of going through all references in float64.
Where no references are known yet, those of a sample that come first by the lower bound serve.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from losiko_torch.accelerators import kernels_for
from losiko_torch.search.exact import FLOAT32_ERROR

#: Principal components of the lower bound.
LEADING = 32
#: Entries of a matrix of bounds worked on at once: as many as a processor keeps at hand.
ENTRIES = 2**22

#: References of a sample from which the first are taken, and how many for each asked for.
SAMPLE, SAMPLE_EACH = 2048, 16

#: ``(components (n, r), k, known references (n, k)) -> (squared distances, indices)``, both (n, k).
NearKnown = Callable[[torch.Tensor, int, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor]]


def near_known_search(references: torch.Tensor) -> NearKnown | None:
    """The search among ``references`` (N, r), or None where no kernel serves their device."""
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
                # Queries that are not finite compare with nothing, but have to find something.
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
    """What lower bounds are made of: the first components and the length of the others.

    (n, count + 1) or fewer, float32.
    """
    tail = vectors[:, count:].norm(dim=1, keepdim=True)
    return torch.cat([vectors[:, :count], tail], 1).float()
