r"""Radial functions as piecewise polynomials in r^2: one table lookup for any basis.

In each of many intervals of equal width in x = r^2 every g_nl is a polynomial of degree 5 in
t = -1..1, through its values at six Chebyshev nodes. The intervals are so narrow that its error is
below the rounding of the precision it is used in. The functions themselves are computed in float64,
because in float32 some of their sums lose their digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

#: Polynomial coefficients of an interval.
TERMS = 6
#: Multiple to which the last axis is padded: the width of a vector register in float32.
LANES = 8
#: Largest error allowed, relative to the largest value of all functions of a degree.
TOLERANCE = {torch.float32: 3e-8, torch.float64: 1e-13}
#: Error that may be due to rounding alone, accepted if narrower intervals do not reduce it.
RESOLVED = 1e-8
#: Number of intervals of the first table that is tried, and of the last.
FEWEST, MOST = 128, 8192


class RadialTable(NamedTuple):
    """Piecewise polynomials of all radial functions.

    Attributes:
        coefficients: Coefficients of rising powers of t, zero beyond n_max, shape (intervals, 6,
            l_max + 1, n_pad).
        inverse_width: Inverse width of an interval of r^2, 1/Angstrom^2.
        n_max, l_max: Number of radial functions, highest degree.
        scale: Unit of length (Angstrom) of the solid harmonics that they are multiplied with.
    """

    coefficients: torch.Tensor
    inverse_width: float
    n_max: int
    l_max: int
    scale: float

    def to(self, device: torch.device) -> RadialTable:
        return self._replace(coefficients=self.coefficients.to(device))


def make_radial_table(
    radial: Callable[[torch.Tensor], torch.Tensor], cutoff: float, dtype: torch.dtype
) -> RadialTable | None:
    """Tabulate ``radial`` up to ``cutoff`` (Angstrom).

    ``radial`` maps r^2, shape (E,), to the radial functions, shape (l_max + 1, E, n_max). None is
    returned if even the narrowest intervals do not resolve them.
    """
    intervals, before = FEWEST, float("inf")
    while True:
        values, error = _interpolated(radial, cutoff**2, intervals)
        # Halving the intervals divides the error by 64, until only rounding is left: narrower
        # intervals would only turn rounding into slopes.
        if error <= TOLERANCE[dtype] or before / 8 < error < RESOLVED:
            break
        if intervals == MOST:
            if not error < RESOLVED:
                return None
            break
        intervals, before = 2 * intervals, error
    n_max = values.shape[3]
    padded = values.new_zeros((*values.shape[:3], -(-n_max // LANES) * LANES))
    padded[..., :n_max] = values
    return RadialTable(
        padded.to(dtype), intervals / cutoff**2, n_max, values.shape[2] - 1, float(cutoff)
    )


def _interpolated(
    radial: Callable[[torch.Tensor], torch.Tensor], end: float, intervals: int
) -> tuple[torch.Tensor, float]:
    """Coefficients, shape (intervals, 6, l_max + 1, n_max), and the largest relative error."""
    nodes = np.cos(np.pi * (np.arange(TERMS) + 0.5) / TERMS)
    between = np.linspace(-1, 1, TERMS + 1)
    lefts = torch.arange(intervals, dtype=torch.float64)[:, None]
    width = end / intervals

    def at(places: np.ndarray) -> torch.Tensor:
        x = (lefts + torch.as_tensor(places + 1) / 2) * width
        found = radial(x.flatten().clamp(max=end))
        return found.reshape(len(found), intervals, len(places), -1).permute(1, 2, 0, 3)

    solve = torch.as_tensor(np.linalg.inv(np.vander(nodes, TERMS, increasing=True)))
    coefficients = torch.einsum("qp,kpln->kqln", solve, at(nodes))
    there = torch.as_tensor(np.vander(between, TERMS, increasing=True))
    exact = at(between)
    wrong = (torch.einsum("pq,kqln->kpln", there, coefficients) - exact).abs().amax((0, 1, 3))
    size = exact.abs().amax((0, 1, 3))
    return coefficients.contiguous(), float((wrong / size).max())
