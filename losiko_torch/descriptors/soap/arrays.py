"""DScribe's calls of SOAP by kernels for processors, from NumPy arrays to NumPy arrays.

Neighbours are listed around the centers that are asked for, and only there. Results are written
where they stay: derivatives need no array larger than what is returned, and what is returned as
sparse is made so in parts of ``AT_ONCE`` numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from losiko_kernels.radial_table import RadialTable

from losiko_torch.accelerators import kernels_for
from losiko_torch.descriptors.dscribe_arguments import (
    centers_of,
    sparse_package,
    stack_if_alike,
)
from losiko_torch.descriptors.soap.pair_weights import pair_weight_slopes, pair_weights
from losiko_torch.descriptors.soap.table import table_of
from losiko_torch.systems.batch import regular_cell
from losiko_torch.systems.names import UNREADABLE
from losiko_torch.systems.validity import COINCIDENCE, FARTHEST

#: Numbers of a part of a result that is computed apart, if it is to be rounded or made sparse.
AT_ONCE = 2**21
#: Centers whose coefficients are kept at once.
CENTERS_AT_ONCE = 1024

_DOUBLE = torch.empty(0, dtype=torch.float64)
_NO_CELL, _NOT_PERIODIC = np.eye(3), np.zeros(3, dtype=bool)


class Site(NamedTuple):
    """A structure and n centers.

    Attributes:
        positions, numbers: Atoms, shapes (N, 3) and (N,).
        cell, pbc: Cell vectors, none missing, and periodic directions, shapes (3, 3) and (3,).
        own: Atom of each center, -1 for one that is free, shape (n,).
        places: Positions of the centers, shape (n, 3).
    """

    positions: np.ndarray
    numbers: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    own: np.ndarray
    places: np.ndarray


class Around(NamedTuple):
    """Neighbours of centers, sorted by center; of E pairs, as the kernels take them.

    Attributes:
        first: Number of each center's first pair, and E, shape (n + 1,).
        neighbor: Atom of each pair, shape (E,).
        vectors: Vectors to the neighbours, Angstrom, shape (E, 3).
        element: Number of each neighbour's density, shape (E,).
        weights: Weights of the neighbours and their derivatives by r^2, shape (2, E), or (2, 0)
            for weights of 1.
    """

    first: np.ndarray
    neighbor: np.ndarray
    vectors: np.ndarray
    element: np.ndarray
    weights: np.ndarray


class Arrays:
    """``create`` and ``derivatives`` of a ``SOAP`` by kernels, on some threads."""

    def __init__(self, soap: Any, kernels: ModuleType, table: RadialTable, n_jobs: int):
        self.soap, self.kernels, self.table = soap, kernels, table
        self.threads = (os.cpu_count() or 1) if n_jobs < 0 else max(n_jobs, 1)
        self.mode, self.n_max = soap.compression["mode"], soap.n_max
        self.cutoff = soap.cutoff
        self.n_features = soap.get_number_of_features()
        self.known = soap.element_of_number.numpy()
        self.channel = np.zeros_like(self.known) if self.mode == "mu2" else self.known
        self.n_channels = 1 if self.mode == "mu2" else len(soap.species)

    def created(self, structures: list[Atoms], centers: Sequence) -> Any:
        """Return what ``create`` does."""
        sites = [
            self.site(number, *each)
            for number, each in enumerate(zip(structures, centers, strict=True))
        ]
        shapes = [self._shape(site) for site in sites]
        if not sites:
            return []
        if self.soap.sparse:
            rows = [self._sparse_features(site) for site in sites]
            return rows[0] if len(rows) == 1 else stack_if_alike(rows)
        if len(set(shapes)) == 1:
            whole = np.empty((len(sites), *shapes[0]), self.soap.dtype)
            self._each(sites, list(whole))
            return whole[0] if len(sites) == 1 else whole
        apart = [np.empty(shape, self.soap.dtype) for shape in shapes]
        self._each(sites, apart)
        return apart

    def site(self, number: int, atoms: Atoms, centers: Sequence | None) -> Site:
        """Return a structure with its centers, checked; ``number`` is its place in a list."""
        here = self._unchecked(atoms)
        noted = UNREADABLE in atoms.info or "occupancy" in atoms.info
        if noted or not self.kernels.is_plausible(
            here.positions, here.numbers, self.known, atoms.cell.array, here.cell, here.pbc,
            FARTHEST, COINCIDENCE,
        ):  # fmt: skip
            here = self._unchecked(self.soap.checked(number, atoms))
        if centers is None:
            return here
        own, places = centers_of(number, atoms, centers)
        return here._replace(own=own, places=places)

    def around(self, site: Site, places: np.ndarray) -> Around:
        """Return the neighbours of some places."""
        first, neighbor, vectors = self.kernels.neighbors_within(
            places, site.positions, site.cell, site.pbc, self.cutoff
        )
        numbers = site.numbers[neighbor]
        both = np.empty((2, 0))
        if self.soap.weighs_neighbors:
            r2 = torch.from_numpy(vectors).square().sum(1)
            of = self.soap, r2, torch.from_numpy(numbers)
            weights = pair_weights(*of)
            assert weights is not None
            both = torch.stack([weights, pair_weight_slopes(*of)]).numpy()
        return Around(first, neighbor, vectors, self.channel[numbers], both)

    def density(self, site: Site, places: np.ndarray) -> np.ndarray:
        """Return the density's coefficients around some places of a structure."""
        if self.soap.weighs_neighbors:
            return self.coefficients(self.around(site, places))
        given = (site.positions, self.channel[site.numbers], site.cell, site.pbc, self.cutoff)
        return self.kernels.density_around(
            places, *given, self.n_channels, self.table, self.threads
        )

    def coefficients(self, around: Around) -> np.ndarray:
        """Return the density's coefficients, shape (n, (l_max + 1)^2, n_channels * n_max)."""
        weights = torch.from_numpy(around.weights[0]) if around.weights.size else None
        vectors, first, element = (
            torch.from_numpy(each) for each in (around.vectors, around.first, around.element)
        )
        given = (vectors, weights, first, element, self.n_channels, self.table)
        return self.kernels.expand_density(*given, threads=self.threads).numpy()

    def spectra(self, coefficients: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return the features of coefficients, in ``out`` if that is given."""
        if out is None:
            out = np.empty((len(coefficients), self.n_features))
        self.kernels.power_spectra(coefficients, self.n_max, self.mode, out, self.threads)
        return out

    def parts(self, count: int, numbers_each: int) -> Iterator[slice]:
        """Consecutive rows of ``count``, each part with up to ``AT_ONCE`` numbers or one row."""
        at_once = max(1, AT_ONCE // max(numbers_each, 1))
        for start in range(0, count, at_once):
            yield slice(start, min(start + at_once, count))

    def _each(self, sites: list[Site], out: list[np.ndarray]) -> None:
        """Write the features of all structures, several at once if there are enough of them."""
        if self.threads == 1 or len(sites) < self.threads:
            for each in zip(sites, out, strict=True):
                self._write(*each)
            return
        alone = Arrays(self.soap, self.kernels, self.table, 1)
        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(alone._write, sites, out):
                pass

    def _write(self, site: Site, out: np.ndarray) -> None:
        if self.soap.average != "off":
            out[:] = self._mean(site)
            return
        for rows in self._runs(site):
            c = self.density(site, site.places[rows])
            if out.dtype == np.float64:
                self.spectra(c, out[rows])
            else:
                out[rows] = self.spectra(c)

    def _runs(self, site: Site) -> Iterator[slice]:
        for start in range(0, len(site.places), CENTERS_AT_ONCE):
            yield slice(start, start + CENTERS_AT_ONCE)

    def _mean(self, site: Site) -> np.ndarray:
        """Average over the centers of one structure, shape (F,)."""
        total: Any = 0.0
        for rows in self._runs(site):
            c = self.density(site, site.places[rows])
            values = c if self.soap.average == "inner" else self.spectra(c)
            total = total + values.sum(0)
        mean = total / len(site.places)
        return self.spectra(mean[None])[0] if self.soap.average == "inner" else mean

    def _sparse_features(self, site: Site) -> Any:
        if self.soap.average != "off":
            return self.to_sparse([self._mean(site)[None]])[0]

        def rows() -> Iterator[np.ndarray]:
            for part in self.parts(len(site.places), self.n_features):
                yield self.spectra(self.density(site, site.places[part]))

        return self.to_sparse(rows())

    def to_sparse(self, blocks: Iterable[np.ndarray]) -> Any:
        """Return blocks of rows, (rows, ...) each, as one ``sparse.COO``."""
        return _joined(blocks, self.soap.dtype)

    def _shape(self, site: Site) -> tuple[int, ...]:
        rows = (len(site.places),) if self.soap.average == "off" else ()
        return (*rows, self.n_features)

    def _unchecked(self, atoms: Atoms) -> Site:
        """Return a structure with all its atoms as centers."""
        cell, pbc = _NO_CELL, _NOT_PERIODIC
        if self.soap.periodic and atoms.pbc.any():
            cell, pbc = np.ascontiguousarray(regular_cell(atoms)), atoms.pbc
        positions = np.ascontiguousarray(atoms.positions, dtype=np.float64)
        numbers = np.ascontiguousarray(atoms.numbers, dtype=np.int64)
        return Site(positions, numbers, cell, pbc, np.arange(len(numbers)), positions)


def arrays_for(soap: Any, n_jobs: int) -> Arrays | None:
    """Return the calls by kernels. None means that there are none for this descriptor."""
    device = soap.element_of_number.device
    kernels = kernels_for(device) if device.type == "cpu" else None
    return None if kernels is None else _arrays(soap, kernels, n_jobs)


@lru_cache(maxsize=16)
def _arrays(soap: Any, kernels: ModuleType, n_jobs: int) -> Arrays | None:
    # A molecule takes as long as this: the last few descriptors keep what was made.
    table = table_of(soap, _DOUBLE)
    return None if table is None else Arrays(soap, kernels, table, n_jobs)


def _joined(blocks: Iterable[np.ndarray], dtype: str) -> Any:
    coordinates, values, rows = [], [], 0
    shape: tuple[int, ...] = ()
    for block in blocks:
        rounded = block.astype(dtype, copy=False)
        places = np.nonzero(rounded)
        values.append(rounded[places])
        coordinates.append(np.stack([places[0] + rows, *places[1:]]))
        rows, shape = rows + len(block), block.shape[1:]
    return sparse_package().COO(
        np.concatenate(coordinates, 1),
        np.concatenate(values),
        (rows, *shape),
        sorted=True,
        has_duplicates=False,
    )
