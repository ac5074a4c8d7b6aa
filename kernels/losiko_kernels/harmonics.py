r"""Factors of the recursions for real solid harmonics R_lm = r^l Y_lm and their gradient.

With W_lm = Pbar_lm(z, r^2) (x + iy)^m as in ``losiko_torch.descriptors.soap.harmonics``,

    Pbar_lm = step_lm (z Pbar_{l-1,m} - damp_lm r^2 Pbar_{l-2,m}),

and the gradient of every R_lm is a short sum of harmonics one degree lower.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=64)
def recursion(l_max: int) -> np.ndarray:
    """Factors step and damp at [l, m], shape (2, l_max + 1, l_max + 1); step[m, m] is Pbar_mm."""
    table = np.zeros((2, l_max + 1, l_max + 1))
    diagonal = np.sqrt(0.25 / np.pi)
    for m in range(l_max + 1):
        if m > 0:
            diagonal *= np.sqrt((2 * m + 1) / (2 * m))
        table[0, m, m] = diagonal
        for degree in range(m + 1, l_max + 1):
            table[0, degree, m] = np.sqrt((4 * degree**2 - 1) / (degree**2 - m**2))
            if degree > m + 1:
                below = degree - 1
                table[1, degree, m] = np.sqrt((below**2 - m**2) / (4 * below**2 - 1))
    return table


@lru_cache(maxsize=64)
def gradient_terms(l_max: int) -> tuple[np.ndarray, np.ndarray]:
    """The gradient as a list: dR[row]/d axis = sum of factor * R[column].

    Returns:
        Triples (axis, row, column), shape (T, 3), int64, and their factors, shape (T,).
    """
    terms: list[tuple[int, int, int]] = []
    factors: list[float] = []

    def add(axis: int, row: int, degree: int, m: int, imaginary: bool, factor: float) -> None:
        """Append a term of Re or Im of W_{degree,m}; m may be negative."""
        if abs(m) > degree or factor == 0:
            return
        if m < 0:
            # W_{l,-m} = (-1)^m conj(W_lm)
            factor *= -((-1.0) ** m) if imaginary else (-1.0) ** m
            m = -m
        if m == 0 and imaginary:
            return
        terms.append((axis, row, degree * degree + degree + (-m if imaginary else m)))
        factors.append(factor if m == 0 else factor / np.sqrt(2))

    for degree in range(1, l_max + 1):
        ratio = (2 * degree + 1) / (2 * degree - 1)
        for m in range(degree + 1):
            norm = 1.0 if m == 0 else np.sqrt(2)
            lower = norm * np.sqrt(ratio * (degree + m) * (degree + m - 1)) / 2
            higher = norm * np.sqrt(ratio * (degree - m) * (degree - m - 1)) / 2
            along = norm * np.sqrt(ratio * (degree**2 - m**2))
            for imaginary in (False, True) if m else (False,):
                row = degree * degree + degree + (-m if imaginary else m)
                sign = 1.0 if imaginary else -1.0
                add(0, row, degree - 1, m - 1, imaginary, lower)
                add(0, row, degree - 1, m + 1, imaginary, -higher)
                add(1, row, degree - 1, m - 1, not imaginary, sign * lower)
                add(1, row, degree - 1, m + 1, not imaginary, sign * higher)
                add(2, row, degree - 1, m, imaginary, along)
    return np.array(terms, dtype=np.int64).reshape(-1, 3), np.array(factors)
