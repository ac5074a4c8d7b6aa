r"""Radial functions as piecewise polynomials in r^2: one table lookup for any basis.

In each of many intervals of equal width in x = r^2 every g_nl is a polynomial of degree 5 in
t = -1..1, through its values at six Chebyshev nodes. The intervals are made so narrow that what it
is off by lies below the rounding of the precision it is used in. The functions themselves are
computed in float64, in which alone some of their sums keep their digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

#: Polynomial coefficients of an interval.
TERMS = 6
#: The last axis is padded to a multiple of this, the width of a vector register in float32.
LANES = 8
#: Error allowed, of the largest value of a function's degree.
TOLERANCE = {torch.float32: 3e-8, torch.float64: 1e-13}
#: Error below which it may be that of rounding, and good enough where intervals cannot be narrower.
RESOLVED = 1e-8
#: Intervals of the first table that is tried, and of the last.
FEWEST, MOST = 128, 8192


class RadialTable(NamedTuple):
    """Piecewise polynomials.

    Attributes:
        coefficients: (intervals, 6, l_max + 1, n_pad), rising powers of t; zero beyond n_max.
        inverse_width: Intervals for each unit of r^2, 1/Angstrom^2.
        n_max, l_max: Radial functions, highest degree.
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
    """Tabulate ``radial``, (E,) squared distances to (l_max + 1, E, n_max), up to ``cutoff``.

    None where even the narrowest intervals do not resolve it.
    """
    intervals, before = FEWEST, float("inf")
    while True:
        values, error = _interpolated(radial, cutoff**2, intervals)
        # Halving the intervals divides the error by 64, until it is that of rounding: narrower
        # ones would only make slopes of it.
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
    """Coefficients (intervals, 6, l_max + 1, n_max), and their largest relative error."""
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
