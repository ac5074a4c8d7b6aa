"""Finding nearest references among very many: those of the nearest lists only are gone through.

k-means divides the references of an element into lists by their first components, once, when the
database is built; centroids and the list of each reference are kept in its file. A search goes
through the lists whose centroids are nearest, and the exact distances to their members decide. So
what it finds is near, but something nearer may be in a list that it left out: how often is measured
by ``recall`` and told in benchmarks/README.md. References known from an earlier search are never
lost. The answer for an atom does not depend on what else is searched for, or on chance.

An inverted file (Jegou, Douze and Schmid, IEEE TPAMI 33, 117, 2011), without the compression of
vectors that belongs to it there: relaxations need the vectors themselves.
"""

from __future__ import annotations

import warnings
from math import ceil

import torch

from losiko_torch.accelerators import kernels_for
from losiko_torch.search.exact import FLOAT32_ERROR, Search
from losiko_torch.search.warm_start import NearKnown, leading_of

#: An element with more references than this gets lists; fewer are gone through all.
SEARCHED_WHOLE = 50_000
#: Lists for N references: so many times the square root of N.
LISTS = 4.0
#: Components that references are divided by.
DIMENSIONS = 64
#: References that k-means looks at for each list, and how often.
EACH, ITERATIONS = 64, 10
#: References that a search goes through, in as many lists as hold them on average: so many times
#: the square root of N.
LOOKED_AT = 6.0
#: Components of a first lower bound, and of a second one where it does not tell enough.
LEADING, HEAD = 48, 128
#: References of which the nearest others are sought to measure recall.
SAMPLE = 200


def divided(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Centroids (L, d), and the list of each vector, (N,), int32; None without FAISS.

    The same vectors are always divided alike.
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
    """Lists that a search among ``n`` references goes through."""
    return min(n_lists, ceil(LOOKED_AT * n_lists / n**0.5))


def list_search(
    references: torch.Tensor, centroids: torch.Tensor, lists: torch.Tensor
) -> NearKnown:
    """The search among ``references`` (N, r) that are divided so; on a CPU."""
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
    """Share of the ``k`` nearest others of a sample of the references that a search finds."""
    rows = torch.linspace(0, len(vectors) - 1, SAMPLE, dtype=torch.float64).long()
    queries = vectors[rows.to(vectors.device)]
    found, wanted = (
        find(queries, queries.new_zeros(len(rows)), k + 1)[1] for find in (listed, exact)
    )
    # Each of them finds itself, or one just like it.
    others = (wanted[:, :, None] == found[:, None, :]).any(2).sum(1) - 1
    return float(others.sum()) / (k * len(rows))
