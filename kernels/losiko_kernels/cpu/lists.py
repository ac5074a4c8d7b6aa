"""The nearest of references that are divided into inverted lists: only the nearest lists count.

Lower bounds of the distances come first, from a few leading components and then from some more;
they exclude most references.
"""

from __future__ import annotations

import numpy as np
import torch

from losiko_kernels.cpu.lanes import compiled
from losiko_kernels.cpu.nearest import _insert
from losiko_kernels.cpu.threads import run
from losiko_kernels.cpu.vectors import apart


def nearest_in_lists(
    queries: torch.Tensor,
    leading_queries: torch.Tensor,
    references: torch.Tensor,
    lists: tuple[torch.Tensor, ...],
    known: torch.Tensor,
    k: int,
    probed: int,
    head: int,
    slack: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest of the references in the nearest lists, and of those that are known.

    Args:
        queries: Points, shape (n, r).
        leading_queries: Leading components of the queries for first bounds, shape (n, b), float32.
        references: References, shape (N, r).
        lists: Centroids in the first d components, shape (L, d), float32; number of each list's
            first member, (L + 1,); members list by list, (N,); leading components of the members,
            (N, b), float32; lengths of the members beyond the components of second bounds, (N,),
            float32; list of each reference, (N,), int32.
        known: Different references of each query, shape (n, k), or none, shape (n, 0).
        k: Number of references wanted.
        probed: Number of lists that are visited; all are if these hold fewer than k references.
        head: Number of components of second bounds.
        slack: Rounding error of the lower bounds.

    Returns:
        Distances |q - z|^2 in float64 and indices, both shape (n, k), by distance and then by
        index.
    """
    n = len(queries)
    distances = queries.new_empty((n, k), dtype=torch.float64)
    indices = torch.empty((n, k), dtype=torch.long)
    given = (queries.contiguous(), leading_queries.contiguous(), references, *lists)
    wanted = (known.contiguous(), probed, head, np.float64(slack), distances, indices)
    run(_nearest_in_lists, n, *given, *wanted, worth_a_thread=4)
    return distances, indices


@compiled
def _nearest_in_lists(
    start, stop, queries, leading_queries, references,
    centroids, first, members, leading, beyond, list_of,
    known, probed, head, slack, distances, indices,
):  # fmt: skip
    size, k, n_lists, d = queries.shape[1], distances.shape[1], len(centroids), centroids.shape[1]
    query, short = np.zeros(size, np.float64), np.zeros(d, np.float32)
    found, number = np.empty(k + 1, np.float64), np.empty(k + 1, np.int64)
    away, chosen = np.empty(n_lists + 1, np.float32), np.empty(n_lists + 1, np.int64)
    probing = np.zeros(n_lists, np.bool_)
    lower, places = np.empty(len(members), np.float32), np.empty(len(members), np.int64)
    for atom in range(start, stop):
        for j in range(size):
            query[j] = queries[atom, j]
        for j in range(d):
            short[j] = query[j]
        lower_query, query_head, query_tail = leading_queries[atom], query[:head], query[head:]
        query_beyond = 0.0
        for j in range(head, size):
            query_beyond += query[j] * query[j]
        query_beyond = np.sqrt(query_beyond)
        for one in range(n_lists):
            squared = apart(short, centroids[one])
            if one < probed or squared < away[probed - 1]:
                _insert(squared, one, away, chosen, min(one, probed))
        going, held = probed, 0
        for place in range(probed):
            held += first[chosen[place] + 1] - first[chosen[place]]
        # Lists that hold too few references: all are visited.
        if held < k:
            going = n_lists
            for one in range(n_lists):
                chosen[one] = one
        for place in range(going):
            probing[chosen[place]] = True
        # References beyond the farthest of k that are surely near need not be compared: the known
        # ones, or those of the lowest bounds.
        held = 0
        for place in range(going):
            one = chosen[place]
            for j in range(first[one], first[one + 1]):
                lower[held], places[held] = apart(lower_query, leading[j]), j
                held += 1
        farthest = 0.0
        if known.shape[1] == k:
            for index in known[atom]:
                squared = apart(query, references[index])
                farthest = squared if not squared <= farthest else farthest
        else:
            bound = np.partition(lower[:held], k - 1)[k - 1]
            taken = 0
            for j in range(held):
                if taken < k and not lower[j] > bound:
                    squared = apart(query, references[members[places[j]]])
                    farthest = squared if not squared <= farthest else farthest
                    taken += 1
        reach = np.float32(farthest + slack)
        count = 0
        for index in known[atom]:
            if not probing[list_of[index]]:
                _insert(apart(query, references[index]), index, found, number, count)
                count += 1
        for j in range(held):
            if lower[j] > reach:
                continue
            index = members[places[j]]
            reference = references[index]
            squared = apart(query_head, reference[:head])
            more = query_beyond - beyond[places[j]]
            if squared + more * more > reach:
                continue
            squared += apart(query_tail, reference[head:])
            if count == k and squared > found[k - 1]:
                continue
            _insert(squared, index, found, number, count)
            count = min(count + 1, k)
            if count == k and found[k - 1] < farthest:
                farthest = found[k - 1]
                reach = np.float32(farthest + slack)
        for place in range(going):
            probing[chosen[place]] = False
        for place in range(k):
            distances[atom, place], indices[atom, place] = found[place], number[place]
