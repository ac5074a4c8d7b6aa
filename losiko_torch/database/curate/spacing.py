"""Near neighbours among many points: thinning the points, and spreading a few among them.

Points are the descriptors of an element's references, (N, r) with |p| <= 1. An N x N matrix of
separations |p - z| would be too large for a million points, and is not needed: leading components
bound all separations from below (see ``search.warm_start``), and only pairs that the bound calls
near are compared whole. A carbon of 1,500 QM9 molecules has on average 1.1 of the 9,568 others
within 0.05, and the bound calls 1.8 near.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from losiko_torch.search.exact import FLOAT32_ERROR
from losiko_torch.search.warm_start import leading_of

#: Points compared at once, and the others they are compared with: their bounds stay in cache.
POINTS, OTHERS = 512, 8192
#: Numbers (components of points) gathered at once.
GATHERED = 2**21

#: Called with the number of points done since the last call.
Progress = Callable[[int], None]


class Points(NamedTuple):
    """Points, and the lower bounds of their separations.

    Attributes:
        whole: The points, shape (n, r).
        leading: Leading components, never farther from each other than the points, shape (n, l).
        squares: Squared lengths of ``leading``, shape (n,).
    """

    whole: torch.Tensor
    leading: torch.Tensor
    squares: torch.Tensor

    @classmethod
    def of(cls, whole: torch.Tensor) -> Points:
        leading = leading_of(whole)
        return cls(whole, leading, leading.square().sum(1))

    def at(self, rows: torch.Tensor | slice) -> Points:
        return Points(*(column[rows] for column in self))


def near_others(
    points: Points, others: Points, separation: float, rows: torch.Tensor | None = None
) -> torch.Tensor:
    """Mask (n,) of the points that have one of the others nearer than ``separation``.

    The mask is exact: float64 decides. With ``rows`` (m,) the k-th of the others has the leading
    components k and is, whole, row ``rows[k]`` of ``others.whole``.
    """
    limit = separation**2
    found = torch.zeros(len(points.whole), dtype=torch.bool, device=points.whole.device)
    for some in _slices(len(found), POINTS):
        part = points.at(some)
        waiting = torch.arange(len(part.whole), device=found.device)  # not found near one yet
        for columns in _slices(len(others.squares), OTHERS):
            lower = _bounds(part, others.leading[columns], others.squares[columns], waiting)
            least, first = lower.min(1)
            likely = (least < limit + FLOAT32_ERROR).nonzero().squeeze(1)
            if not len(likely):
                continue
            column_rows = columns.start + torch.arange(lower.shape[1], device=found.device)
            which = column_rows if rows is None else rows[column_rows]
            # If any is near, the one of the lowest bound mostly is.
            near = torch.zeros(len(waiting), dtype=torch.bool, device=found.device)
            chosen = which[first[likely]]
            near[likely] = _nearer(part.whole, waiting[likely], others.whole, chosen, limit)
            left = likely[~near[likely]]
            i, j = (lower[left] < limit + FLOAT32_ERROR).nonzero().unbind(1)
            among = _nearer(part.whole, waiting[left[i]], others.whole, which[j], limit)
            near[left[i[among]]] = True
            found[some.start + waiting[near]] = True
            waiting = waiting[~near]
            if not len(waiting):
                break
    return found


def thinned_out(
    vectors: torch.Tensor, separation: float, progress: Progress | None = None
) -> torch.Tensor:
    """Mask (N,) of the points (N, r) that stay if near-duplicates of earlier ones go.

    A point goes if an earlier point that stays is nearer than ``separation``. No two points that
    stay are nearer than that to each other, and each that goes has one that stays nearer than that.
    """
    points = Points.of(vectors)
    limit = separation**2
    stays = torch.zeros(len(vectors), dtype=torch.bool, device=vectors.device)
    rows = torch.empty(len(vectors), dtype=torch.long, device=vectors.device)
    leading, squares = torch.empty_like(points.leading), torch.empty_like(points.squares)
    count = 0
    for some in _slices(len(vectors), POINTS):
        part = points.at(some)
        kept = Points(vectors, leading[:count], squares[:count])
        new = (~near_others(part, kept, separation, rows[:count])).nonzero().squeeze(1)
        new = new[_first_ones(part.at(new), limit)]
        after = count + len(new)
        rows[count:after] = some.start + new
        leading[count:after], squares[count:after] = part.leading[new], part.squares[new]
        count = after
        if progress is not None:
            progress(len(part.whole))
    stays[rows[:count]] = True
    return stays


def _first_ones(points: Points, limit: float) -> torch.Tensor:
    """Indices of the points that are far from all earlier points that stay."""
    lower = _bounds(points, points.leading, points.squares)
    i, j = (lower < limit + FLOAT32_ERROR).tril(-1).nonzero().unbind(1)
    near = _nearer(points.whole, i, points.whole, j, limit)
    stays = [True] * len(points.whole)
    # The pairs are sorted by i, then by j: whether j stays is decided before i needs it.
    for later, earlier in zip(i[near].tolist(), j[near].tolist(), strict=True):
        if stays[earlier]:
            stays[later] = False
    return torch.tensor(stays, dtype=torch.bool, device=i.device).nonzero().squeeze(1)


def farthest_points(
    vectors: torch.Tensor, count: int, progress: Progress | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Farthest-point sampling (Gonzalez, Theor. Comput. Sci. 38, 293, 1985) of points (N, r).

    The point nearest to the mean of all comes first, then always the one farthest from those chosen
    (the first of equally far ones). The sampling ends early if all others are copies of chosen
    points.

    Returns:
        Indices in the order chosen, and after each the covering radius, the largest separation of a
        point from its nearest chosen one; both shape (m,), m <= count.
    """
    # By the triangle inequality a new chosen point c can be nearer to a point p than p's nearest
    # chosen point q is only if |c - q| < 2 |p - q|. Other points are left out, lower bounds rule
    # out most of the rest, and the remaining ones are compared whole.
    points = Points.of(vectors)
    n, device = len(vectors), vectors.device
    nearest = torch.full((n,), torch.inf, device=device)  # distance from the nearest chosen one
    owner = torch.zeros(n, dtype=torch.long, device=device)  # number of that one
    centers = torch.empty_like(points.leading[:count])
    squares = torch.empty_like(points.squares[:count])
    chosen, radii = [], []
    new = _nearest_to_mean(vectors)
    for k in range(min(count, n)):
        center = points.at(slice(new, new + 1))
        rows = torch.arange(n, device=device)
        if k:
            apart = _bounds(center, centers[:k], squares[:k])[0] - FLOAT32_ERROR
            rows = (apart[owner] < 4 * nearest).nonzero().squeeze(1)
            lower = _bounds(center, points.leading[rows], points.squares[rows])[0]
            rows = rows[lower - FLOAT32_ERROR < nearest[rows]]
        for some in rows.split(max(1, GATHERED // vectors.shape[1])):
            found = (vectors[some] - center.whole).square_().sum(1)
            closer = found < nearest[some]
            nearest[some[closer]], owner[some[closer]] = found[closer], k
        centers[k], squares[k] = center.leading[0], center.squares[0]
        chosen.append(new)
        radii.append(nearest.max().sqrt())
        if progress is not None:
            progress(1)
        if radii[-1] == 0:
            break
        new = int(nearest.argmax())
    return torch.tensor(chosen, device=device), torch.stack(radii)


def _nearest_to_mean(vectors: torch.Tensor) -> int:
    mean = vectors.mean(0, dtype=torch.float64).to(vectors.dtype)
    parts = vectors.split(max(1, GATHERED // vectors.shape[1]))
    return int(torch.cat([(part - mean).square().sum(1) for part in parts]).argmin())


def _bounds(
    points: Points,
    leading: torch.Tensor,
    squares: torch.Tensor,
    rows: torch.Tensor | slice = slice(None),
) -> torch.Tensor:
    """Lower bounds, up to ``FLOAT32_ERROR``, of the distances of rows from others, (n, m)."""
    bounds = torch.addmm(squares, points.leading[rows], leading.T, alpha=-2)
    return bounds.add_(points.squares[rows][:, None])


def _nearer(
    whole: torch.Tensor, i: torch.Tensor, others: torch.Tensor, j: torch.Tensor, limit: float
) -> torch.Tensor:
    """Mask (m,) of the pairs of rows whose distance, in float64, is below ``limit``."""
    size = max(1, GATHERED // whole.shape[1])
    parts = [
        (whole[a].double() - others[b].double()).square_().sum(1) < limit
        for a, b in zip(i.split(size), j.split(size), strict=True)
    ]
    return torch.cat(parts)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
