"""Search for the nearest references: candidates from FAISS or torch, then exact distances.

FAISS and float32 products order candidates only up to rounding, and FAISS breaks ties in no fixed
order. Some more candidates than needed are therefore fetched, and exact distances decide among them
(ties go to the lowest index). If the margin behind the last candidate does not prove the result
complete, that query is searched again in float64. Both kinds of candidates give the same result:
that of comparing all references in float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from losiko_torch.accelerators import kernels_for

#: Bound on the rounding error of a distance D of unit vectors in float32.
FLOAT32_ERROR = 4e-6
#: Bound on the same rounding error in float64.
FLOAT64_ERROR = 1e-12
#: Candidates fetched beyond the number wanted.
EXTRA = 16
#: Bytes of gathered reference vectors worked on at once: the cache of a processor, or enough to
#: keep a GPU busy.
BLOCK_BYTES, GPU_BLOCK_BYTES = 16 * 2**20, 2**30
#: Entries of a matrix of distances worked on at once.
MATRIX_ENTRIES = 2**25

#: ``(components, rest, k) -> (distances |p - z|^2 of the nearest references, indices)``, both
#: (n, k); ``rest`` (n,) is the part of |p|^2 beyond the components (n, r) of the descriptors.
Search = Callable[[torch.Tensor, torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]
#: ``(queries, k) -> (approximate distances, indices)``, both (n, k), nearest first.
Candidates = Callable[[torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]


def nearest_references(
    queries: torch.Tensor, references: torch.Tensor, k: int, candidates: Candidates
) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``k`` nearest of the ``references`` to each query, all of length 1 or less.

    Args:
        queries: Points, shape (n, r).
        references: Points to search, shape (N, r) with N >= k.
        k: Number of references wanted.
        candidates: Result of ``faiss_candidates`` or ``torch_candidates`` for these references.

    Returns:
        Distances |q - z|^2, in the dtype of the queries, and indices, both shape (n, k), ordered by
        distance and then by index.
    """
    fetched = min(k + EXTRA, len(references))
    approximate, indices = candidates(queries, fetched)
    # FAISS returns -1 for queries that are not finite.
    indices = indices.clamp(min=0)
    distances, indices = _nearest_of(queries, references, indices, k)
    if fetched < len(references):
        # No reference left out can be nearer than the farthest candidate, up to rounding.
        unproven = distances[:, -1] + FLOAT32_ERROR >= approximate[:, -1]
        if unproven.any():
            for rows in chunks(unproven.nonzero().squeeze(1), references):
                exact = _candidates_in_float64(queries[rows], references, k)
                distances[rows], indices[rows] = _nearest_of(queries[rows], references, exact, k)
    return distances.to(queries.dtype), indices


def plain_search(references: torch.Tensor) -> Search:
    """The search among references (N, r) of equal weight."""
    candidates = default_candidates(references)

    def search(
        queries: torch.Tensor, rest: torch.Tensor, k: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        distances, indices = nearest_references(queries, references, k, candidates)
        return distances + rest[:, None], indices

    return search


def squared_distances(
    queries: torch.Tensor, references: torch.Tensor, indices: torch.Tensor
) -> torch.Tensor:
    """Exact distances |q - z|^2 of each query from its references ``indices``, both (n, k)."""
    out = queries.new_empty(indices.shape)
    for rows in row_blocks(indices.shape[0], indices.shape[1], references):
        gathered = references[indices[rows]].to(queries.dtype)
        out[rows] = (gathered - queries[rows, None]).square().sum(2)
    return out


def row_blocks(n_rows: int, k: int, references: torch.Tensor) -> list[slice]:
    """Slices of the rows, each with as many as have their ``k`` gathered references in a block."""
    block = BLOCK_BYTES if references.device.type == "cpu" else GPU_BLOCK_BYTES
    size = max(1, block // (max(k, 1) * references.shape[1] * 8))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def torch_candidates(references: torch.Tensor) -> Candidates:
    """Candidates by a float32 matrix product, on the device of the references."""
    single = references.float()
    norms = single.square().sum(1)

    def candidates(queries: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        parts = []
        for chunk in chunks(queries.float(), single):
            distances = torch.addmm(norms, chunk, single.T, alpha=-2)
            found = torch.topk(distances, k, dim=1, largest=False)
            parts.append((found.values + chunk.square().sum(1, keepdim=True), found.indices))
        return torch.cat([d for d, _ in parts]), torch.cat([i for _, i in parts])

    return candidates


def faiss_candidates(references: torch.Tensor) -> Candidates:
    """Candidates from FAISS's flat index, on the GPU of the references where FAISS has one.

    Tensors are handed over where they are: none passes through the host.
    """
    import faiss
    import faiss.contrib.torch_utils  # FAISS's indexes take tensors from here on

    index: Any = faiss.IndexFlatL2(references.shape[1])
    device = references.device
    if device.type == "cuda" and hasattr(faiss, "StandardGpuResources"):
        resources = faiss.StandardGpuResources()
        index = faiss.index_cpu_to_gpu(resources, device.index or 0, index)
    index.add(references.float().contiguous())

    def candidates(queries: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        distances, indices = index.search(queries.float().contiguous(), k)
        return distances.to(queries.dtype), indices

    return candidates


def default_candidates(references: torch.Tensor) -> Candidates:
    """Candidates from FAISS if it is installed and serves the device, else from torch."""
    try:
        import faiss
    except ImportError:
        # Python shows a repeated warning from one place once.
        warnings.warn(
            "faiss is not installed: references are searched with torch (same results; "
            "`pip install faiss-cpu` may be faster)",
            stacklevel=2,
        )
        return torch_candidates(references)
    if references.device.type == "cuda" and not hasattr(faiss, "StandardGpuResources"):
        return torch_candidates(references)
    return faiss_candidates(references)


def _nearest_of(
    queries: torch.Tensor, references: torch.Tensor, indices: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``k`` nearest of the candidates, by exact distance and then by index, in float64."""
    kernels = kernels_for(queries.device)
    if kernels is not None and hasattr(kernels, "nearest_of"):
        return kernels.nearest_of(queries, references, indices, k)
    indices = indices.sort(dim=1).values
    distances = squared_distances(queries.double(), references, indices)
    distances, order = distances.sort(dim=1, stable=True)
    return distances[:, :k], indices.gather(1, order[:, :k])


def _candidates_in_float64(queries: torch.Tensor, references: torch.Tensor, k: int) -> torch.Tensor:
    """Indices of the ``k`` nearest by float64 products and of all that may be as near."""
    distances = []
    # The references are converted in blocks; |q|^2 does not change the order and is left out.
    for block in references.split(4096):
        double = block.double()
        distances.append(double.square().sum(1) - 2 * (queries.double() @ double.T))
    everything = torch.cat(distances, 1)
    farthest = torch.topk(everything, k, dim=1, largest=False).values[:, -1:]
    count = int((everything <= farthest + FLOAT64_ERROR).sum(1).max())
    return torch.topk(everything, count, dim=1, largest=False).indices


def chunks(rows: torch.Tensor, references: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Parts of the rows, each with no more than ``MATRIX_ENTRIES`` distances from references."""
    return rows.split(max(1, MATRIX_ENTRIES // max(len(references), 1)))
