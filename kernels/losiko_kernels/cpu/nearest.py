"""The nearest references of queries, by as few exact distances in float64 as possible.

``nearest_of`` compares candidates. ``nearest_within`` compares all references that cheap lower
bounds do not exclude.
"""

from __future__ import annotations

import numpy as np
import torch

from losiko_kernels.cpu.lanes import all_above, compiled
from losiko_kernels.cpu.threads import run
from losiko_kernels.cpu.vectors import apart


def nearest_of(
    queries: torch.Tensor, references: torch.Tensor, candidates: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``k`` nearest of the candidates (n, m) of each query.

    Args:
        queries: Points, shape (n, r), float32 or float64.
        references: References, shape (N, r), float32 or float64.
        candidates: Indices of references, shape (n, m).
        k: Number of references wanted.

    Returns:
        Distances |q - z|^2 in float64 and indices, both shape (n, k), by distance and then by
        index.
    """
    n = len(queries)
    distances = queries.new_empty((n, k), dtype=torch.float64)
    indices = candidates.new_empty((n, k))
    queries, candidates = queries.contiguous(), candidates.contiguous()
    run(_nearest_of, n, queries, references, candidates, distances, indices)
    return distances, indices


def nearest_within(
    queries: torch.Tensor,
    references: torch.Tensor,
    lower: torch.Tensor,
    known: torch.Tensor,
    slack: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest of all references, in the form of ``nearest_of``.

    Args:
        queries: Points, shape (n, r).
        references: References, shape (N, r).
        lower: Lower bounds of their distances, up to rounding, shape (n, N), float32.
        known: Different references of each query, shape (n, k), the nearer the better: references
            beyond the farthest of them are not compared.
        slack: Rounding error of the bounds.
    """
    n, k = known.shape
    distances = queries.new_empty((n, k), dtype=torch.float64)
    indices = known.new_empty((n, k))
    given = (queries.contiguous(), references, lower, known.contiguous(), np.float64(slack))
    # The more references, the fewer queries keep a thread busy.
    worth = max(1, 32 * 2000 // max(len(references), 1))
    run(_nearest_within, n, *given, distances, indices, worth_a_thread=worth)
    return distances, indices


def keep_places(before: torch.Tensor, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Reorder ``found`` (n, k) so that references which were there ``before`` keep their places.

    Returns:
        Indices, shape (n, k), and a mask of the new ones among them, shape (n, k).
    """
    arranged, new = before.clone(), torch.empty_like(before, dtype=torch.bool)
    run(_keep_places, len(before), found.contiguous(), arranged, new)
    return arranged, new


@compiled
def _keep_places(start, stop, found, arranged, new):
    k = found.shape[1]
    for atom in range(start, stop):
        here, now = np.sort(arranged[atom]), np.sort(found[atom])
        for place in range(k):
            new[atom, place] = not _among(now, arranged[atom, place])
        place = 0
        for index in found[atom]:
            # New references, in their order, take the places of those that are gone.
            if not _among(here, index):
                while place < k and not new[atom, place]:
                    place += 1
                if place == k:  # ``before`` had a reference twice
                    break
                arranged[atom, place] = index
                place += 1


@compiled
def _among(ordered, number):
    place = np.searchsorted(ordered, number)
    return place < len(ordered) and ordered[place] == number


@compiled
def _nearest_within(
    start, stop, queries, references, lower, known, slack, distances, indices
):  # fmt: skip
    size, k = queries.shape[1], known.shape[1]
    query = np.zeros(size, np.float64)
    found, number = np.empty(k + 1, np.float64), np.empty(k + 1, np.int64)
    for atom in range(start, stop):
        for j in range(size):
            query[j] = queries[atom, j]
        farthest = 0.0
        for place in range(k):
            squared = apart(query, references[known[atom, place]])
            # A query that is not finite finds everything.
            farthest = squared if not squared <= farthest else farthest
        bounds = lower[atom]
        count = 0
        reach = bounds.dtype.type(farthest + slack)
        for begin in range(0, len(bounds), 8):
            end = min(begin + 8, len(bounds))
            # Most bounds are too large, and skipped eight at a time.
            if end == begin + 8 and all_above(bounds, begin, reach):
                continue
            for index in range(begin, end):
                if bounds[index] > reach:
                    continue
                _insert(apart(query, references[index]), index, found, number, count)
                count = min(count + 1, k)
                if count == k and found[k - 1] < farthest:
                    farthest = found[k - 1]
                    reach = bounds.dtype.type(farthest + slack)
        # Queries that are not finite have no nearest references.
        for place in range(count, k):
            found[place], number[place] = np.nan, known[atom, place]
        for place in range(k):
            distances[atom, place], indices[atom, place] = found[place], number[place]


@compiled
def _insert(squared, index, found, number, count):
    """Insert into a list of ``count`` with room for one more, by distance and then by index."""
    at = count
    while at > 0 and (
        squared < found[at - 1] or (squared == found[at - 1] and index < number[at - 1])
    ):
        found[at], number[at] = found[at - 1], number[at - 1]
        at -= 1
    found[at], number[at] = squared, index


@compiled
def _nearest_of(start, stop, queries, references, candidates, distances, indices):
    size, m, k = queries.shape[1], candidates.shape[1], distances.shape[1]
    query = np.zeros(size, np.float64)
    found, number = np.empty(k + 1, np.float64), np.empty(k + 1, np.int64)
    for atom in range(start, stop):
        for j in range(size):
            query[j] = queries[atom, j]
        for place in range(m):
            index = candidates[atom, place]
            squared = apart(query, references[index])
            # Candidates come almost in order, so that few have to move.
            if place < k or not squared > found[k - 1]:
                _insert(squared, index, found, number, min(place, k))
        for place in range(k):
            distances[atom, place], indices[atom, place] = found[place], number[place]
