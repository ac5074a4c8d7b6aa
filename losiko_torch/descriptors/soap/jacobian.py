"""Derivatives of SOAP features by positions, by kernels for processors.

Moving an atom changes the vectors to it, and those from it if it is a center that moves along.
Which pairs change which row of the result is found at once; the kernel sums them row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from losiko_torch.descriptors.soap.arrays import Arrays, Site


def derived(arrays: Arrays, site: Site, moved: np.ndarray, attach: bool) -> tuple[Any, Any]:
    """Return derivatives by the atoms ``moved`` (indices) and the features of a structure."""
    columns, back = np.unique(moved, return_inverse=True)
    if len(columns) < len(moved):
        jacobian, features = derived(arrays, site, columns, attach)
        return jacobian[:, back], features
    derivatives = Derivatives(arrays, site, moved, attach)
    features = derivatives.features()
    if arrays.soap.sparse:
        return derivatives.sparse(), arrays.to_sparse([features])
    return derivatives.dense(), features.astype(arrays.soap.dtype, copy=False)


class Derivatives:
    """Derivatives of the features of one structure's n centers by k atoms."""

    def __init__(self, arrays: Arrays, site: Site, moved: np.ndarray, attach: bool):
        self.arrays, self.k, self.n = arrays, len(moved), len(site.places)
        self.average = arrays.soap.average
        self.around = arrays.around(site, site.places)
        self.c = arrays.coefficients(self.around)
        self.factor = 1.0 if self.average == "off" else 1 / self.n
        if self.average == "inner":
            self.c = self.c.mean(0, keepdims=True)
        self.n_rows = 1 if self.average != "off" else self.n
        center, atom, pair = self._changes(site, moved, attach)
        # A term has a center, except in the inner average, which has one set of coefficients.
        if self.average == "off":
            term, n_terms, per_row = center * self.k + atom, self.n * self.k, 1
            self.center = np.repeat(np.arange(self.n), self.k)
        elif self.average == "outer":
            term, n_terms, per_row = atom * self.n + center, self.n * self.k, self.n
            self.center = np.tile(np.arange(self.n), self.k)
        else:
            term, n_terms, per_row = atom, self.k, 1
            self.center = np.zeros(self.k, dtype=np.int64)
        self.pair = pair[np.argsort(term, kind="stable")]
        self.first_pair = np.concatenate([[0], np.cumsum(np.bincount(term, minlength=n_terms))])
        self.first_term = np.arange(0, n_terms + 1, per_row)

    def features(self) -> np.ndarray:
        """Features, shape (n or 1, F)."""
        found = self.arrays.spectra(self.c)
        return found.mean(0, keepdims=True) if self.average == "outer" else found

    def dense(self) -> np.ndarray:
        """Derivatives, shape (n or 1, k, 3, F)."""
        out = np.zeros((self.n_rows, self.k, 3, self.arrays.n_features), self.arrays.soap.dtype)
        if out.dtype == np.float64:
            self._add(slice(0, self.n_rows), out)
            return out
        for rows, block in self._blocks():
            out[rows] = block
        return out

    def sparse(self) -> Any:
        """Derivatives as ``sparse.COO``."""
        return self.arrays.to_sparse(block for _, block in self._blocks())

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        numbers = 3 * self.k * self.arrays.n_features
        for rows in self.arrays.parts(self.n_rows, numbers):
            block = np.zeros((rows.stop - rows.start, self.k, 3, self.arrays.n_features))
            self._add(rows, block)
            yield rows, block

    def _add(self, rows: slice, out: np.ndarray) -> None:
        kernels, around = self.arrays.kernels, self.around
        first_term = self.first_term[rows.start * self.k : rows.stop * self.k + 1]
        kernels.feature_derivatives(
            self.c,
            kernels.Moves(first_term, self.first_pair, self.center, self.pair),
            around.vectors,
            around.weights,
            around.element,
            self.arrays.table,
            self.arrays.mode,
            self.factor,
            out.reshape(-1, 3, self.arrays.n_features),
            self.arrays.threads,
        )

    def _changes(
        self, site: Site, moved: np.ndarray, attach: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Center, place of the atom in ``moved``, and signed pair (see ``Moves``) of changes."""
        neighbor, first = self.around.neighbor, self.around.first
        column = np.full(len(site.numbers), -1)
        column[moved] = np.arange(len(moved))
        center = np.repeat(np.arange(self.n), np.diff(first))
        towards = column[neighbor] >= 0
        if not attach:
            (pair,) = np.nonzero(towards)
            return center[pair], column[neighbor[pair]], pair
        # A center does not see itself and its images move.
        own = site.own[center]
        others = own != neighbor
        (pair,) = np.nonzero(towards & others)
        (back,) = np.nonzero((own >= 0) & (column[own] >= 0) & others)
        return (
            np.concatenate([center[pair], center[back]]),
            np.concatenate([column[neighbor[pair]], column[own[back]]]),
            np.concatenate([pair, -1 - back]),
        )
