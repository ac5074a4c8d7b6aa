"""Search for the nearest weighted references: those of smallest weighted distance |p - z|^2 / g.

A reference of weight g = 2 is found from further away, one of weight 0 never. As in
``search.exact``, candidates come from a float32 matrix product, exact distances decide, and queries
for which float32 proves nothing are searched again in float64. The result is that of comparing all
references in float64, ties going to the lowest index. Candidates are taken by a lower bound of
their weighted distance: all other references lie beyond the bound of the last one.
"""

from __future__ import annotations

import torch

from losiko_torch.search.exact import (
    EXTRA,
    FLOAT32_ERROR,
    FLOAT64_ERROR,
    Search,
    chunks,
    squared_distances,
)

#: Largest 1/g in float32, so that bounds do not overflow; with a smaller factor they stay bounds.
LARGEST_SCALE = 1e30
#: References converted to float64 at once.
BLOCK = 4096


def weighted_search(references: torch.Tensor, weight: torch.Tensor) -> Search:
    """The search among ``references`` (N, r) with weights (N,) that are not all zero."""
    usable = weight > 0
    count = int(usable.sum())
    # Weight 0 is a factor 0 and a distance of infinity: 1/0 would turn 0 into NaN.
    scale = torch.where(usable, 1 / weight.double(), 0)
    offset = torch.where(usable, 0.0, torch.inf).double()
    single = references.float()
    norms = single.square().sum(1)
    factor = scale.clamp(max=LARGEST_SCALE).float()
    shift = offset.float() - FLOAT32_ERROR * factor

    def search(
        queries: torch.Tensor, rest: torch.Tensor, k: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if k > count:
            raise ValueError(f"{k} references wanted, but only {count} have a weight")
        parts = [
            one_part(queries[rows], rest[rows], k)
            for rows in chunks(torch.arange(len(queries), device=queries.device), references)
        ]
        distances, indices = (torch.cat(column) for column in zip(*parts, strict=True))
        return distances.to(queries.dtype), indices

    def one_part(
        queries: torch.Tensor, rest: torch.Tensor, k: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        fetched = min(k + EXTRA, count)
        q = queries.float()
        bounds = torch.addmm(norms, q, single.T, alpha=-2)
        bounds += (q.square().sum(1) + rest.float())[:, None]
        bounds = bounds.mul_(factor).add_(shift)
        farthest, candidates = torch.topk(bounds, fetched, dim=1, largest=False)
        distances, weighted, indices = exact(queries, rest, candidates, k)
        if fetched < count:
            unproven = (weighted[:, -1] >= farthest[:, -1]).nonzero().squeeze(1)
            if len(unproven):
                queries, rest = queries[unproven], rest[unproven]
                found = exact(queries, rest, in_float64(queries, rest, k), k)
                distances[unproven], indices[unproven] = found[0], found[2]
        return distances, indices

    def exact(
        queries: torch.Tensor, rest: torch.Tensor, candidates: torch.Tensor, k: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Distances, weighted distances and indices of the ``k`` nearest among candidates."""
        candidates = candidates.sort(dim=1).values
        distances = squared_distances(queries.double(), references, candidates)
        distances += rest.double()[:, None]
        weighted, order = (distances * scale[candidates] + offset[candidates]).sort(
            dim=1, stable=True
        )
        order = order[:, :k]
        return distances.gather(1, order), weighted[:, :k], candidates.gather(1, order)

    def in_float64(queries: torch.Tensor, rest: torch.Tensor, k: int) -> torch.Tensor:
        """Indices of the ``k`` nearest by float64 products and of all that may be as near."""
        q, whole = queries.double(), (queries.double().square().sum(1) + rest.double())[:, None]
        blocks = []
        for block in references.split(BLOCK):
            z = block.double()
            blocks.append(z.square().sum(1) + whole - 2 * (q @ z.T))
        weighted = torch.cat(blocks, 1) * scale + offset
        error = FLOAT64_ERROR * scale
        last = torch.topk(weighted + error, k, dim=1, largest=False).values[:, -1:]
        lower = weighted - error
        as_near = int((lower <= last).sum(1).max())
        return torch.topk(lower, as_near, dim=1, largest=False).indices

    return search
