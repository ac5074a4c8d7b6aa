"""Inverted lists: the search among very many references visits only the nearest lists.

k-means divides the references of an element into lists by their first components, once, when the
database is built; its file keeps the centroids and the list of each reference. A search visits the
lists whose centroids are nearest, and exact distances decide among their members. A nearer
reference may be in a list that is not visited; ``recall`` measures how often it is not
(benchmarks/README.md). References known from an earlier search are never lost. The result for an
atom depends neither on the other atoms of the search nor on chance.

This is an inverted file (Jegou, Douze and Schmid, IEEE TPAMI 33, 117, 2011) without its compression
of vectors: relaxations need the vectors themselves.
"""

from __future__ import annotations

import warnings
from math import ceil

import torch

from losiko_torch.accelerators import kernels_for
from losiko_torch.search.exact import FLOAT32_ERROR, Search
from losiko_torch.search.warm_start import NearKnown, leading_of

#: Number of references above which an element gets lists; fewer are all compared.
SEARCHED_WHOLE = 50_000
#: Number of lists, in units of the square root of the number of references.
LISTS = 4.0
#: Leading components by which references are divided into lists.
DIMENSIONS = 64
#: References of a list that k-means uses at most, and its iterations.
EACH, ITERATIONS = 64, 10
#: References that a search compares, in as many lists as hold them on average, in units of the
#: square root of the number of references.
LOOKED_AT = 6.0
#: Components of the first lower bound, and of the second, for references that the first keeps.
LEADING, HEAD = 48, 128
#: References by whose nearest others recall is measured.
SAMPLE = 200


def divided(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Centroids (L, d), float32, and the list of each vector (N,), int32. None without FAISS.

    Equal vectors are always divided alike.
    """
    try:
        import faiss
    except ImportError:
        warnings.warn(
            "faiss is not installed: all references of an element are searched, however many "
            "(`pip install faiss-cpu` helps)",
            stacklevel=2,
        )
        return None
    short = vectors[:, :DIMENSIONS].float().cpu().contiguous().numpy()
    n_lists = int(LISTS * len(short) ** 0.5)
    means = faiss.Kmeans(
        short.shape[1], n_lists, niter=ITERATIONS, seed=0, max_points_per_centroid=EACH
    )
    means.train(short)
    _, lists = means.index.search(short, 1)
    device = vectors.device
    centroids = torch.tensor(means.centroids, device=device)
    return centroids, torch.from_numpy(lists[:, 0]).int().to(device)


def probed_lists(n: int, n_lists: int) -> int:
    """Number of lists that a search among ``n`` references visits."""
    return min(n_lists, ceil(LOOKED_AT * n_lists / n**0.5))


def list_search(
    references: torch.Tensor, centroids: torch.Tensor, lists: torch.Tensor
) -> NearKnown:
    """The search, on a CPU, among ``references`` (N, r) that are divided into lists."""
    members = lists.argsort(stable=True)
    first = lists.new_zeros(len(centroids) + 1, dtype=torch.long)
    torch.cumsum(torch.bincount(lists, minlength=len(centroids)), 0, out=first[1:])
    leading = leading_of(references, LEADING)[members]
    head = min(HEAD, references.shape[1])
    beyond = references[:, head:].norm(dim=1)[members]
    probed = probed_lists(len(references), len(centroids))
    kernels = kernels_for(references.device)

    def by_kernel(
        components: torch.Tensor, k: int, known: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if known is None:
            known = torch.empty((len(components), 0), dtype=torch.long)
        distances, indices = kernels.nearest_in_lists(  # type: ignore[union-attr]
            components,
            leading_of(components, LEADING),
            references,
            (centroids, first, members, leading, beyond, lists),
            known,
            k,
            probed,
            head,
            FLOAT32_ERROR,
        )
        return distances.to(components.dtype), indices

    def plainly(
        components: torch.Tensor, k: int, known: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        distances, indices = [], []
        short = components[:, : centroids.shape[1]].float()
        for row, query in enumerate(components.double()):
            away = (short[row] - centroids).square().sum(1)
            nearest = away.argsort(stable=True)[:probed]
            candidates = torch.cat([members[first[one] : first[one + 1]] for one in nearest])
            if len(candidates) < k:
                candidates = members
            if known is not None:
                candidates = torch.cat([candidates, known[row]])
            candidates = candidates.unique()
            squared = (references[candidates].double() - query).square().sum(1)
            found, order = squared.sort(stable=True)
            distances.append(found[:k])
            indices.append(candidates[order[:k]])
        return torch.stack(distances).to(components.dtype), torch.stack(indices)

    return by_kernel if hasattr(kernels, "nearest_in_lists") else plainly


def recall(listed: Search, exact: Search, vectors: torch.Tensor, k: int) -> float:
    """Recall: share of the ``k`` nearest others, for a sample of references, that a search finds.

    Args:
        listed: Search to measure.
        exact: Search that visits all references.
        vectors: The references, shape (N, r).
        k: Number of nearest others.
    """
    rows = torch.linspace(0, len(vectors) - 1, SAMPLE, dtype=torch.float64).long()
    queries = vectors[rows.to(vectors.device)]
    found, wanted = (
        find(queries, queries.new_zeros(len(rows)), k + 1)[1] for find in (listed, exact)
    )
    # Each reference of the sample finds itself, or a copy.
    others = (wanted[:, :, None] == found[:, None, :]).any(2).sum(1) - 1
    return float(others.sum()) / (k * len(rows))
