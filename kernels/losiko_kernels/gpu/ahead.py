"""Kernels compiled before they are needed, many at once.

Triton compiles a kernel when it is first launched with new sizes, one after the other, for seconds
each, and keeps it on disk. Here the wrappers of kernels are called with tensors on the meta device,
which compile what they would launch (``launching.launch``), on all processors. Each function yields
such calls for one part of a step; what a launch is compiled for follows from the precision and the
sizes that it takes, and from nothing else that tensors hold.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import torch
import triton

from losiko_kernels.gpu.combination import combine, nearest_of
from losiko_kernels.gpu.density import expand_density, expand_density_backward
from losiko_kernels.gpu.distance import distance
from losiko_kernels.gpu.lbfgs import lbfgs_step
from losiko_kernels.gpu.mixing import mix
from losiko_kernels.gpu.networks import inner_layers
from losiko_kernels.gpu.pairs import gradient_of_atoms, pair_geometry
from losiko_kernels.gpu.power_spectrum import power_spectrum_backward, unit_power_spectrum
from losiko_kernels.gpu.trials import conclude, measure
from losiko_kernels.radial_table import LANES, TERMS, RadialTable

LOGGER = logging.getLogger(__name__)
#: Triton's context in which kernels are compiled by threads; None before Triton 3.5.
ASYNC: Any = getattr(triton, "AsyncCompileMode", None)
#: Call of a wrapper with tensors on the meta device.
Call = Callable[[], object]
#: Atoms, pairs and structures of the calls: more than one, of which Triton makes a case of its own.
SOME = 3


def compile_ahead(calls: Iterable[Call]) -> None:
    """Compile for the current device what calls would launch, and wait for it.

    Where one fails nothing is lost: the launch itself will compile the kernel, or tell why not. So
    it does with a Triton that cannot compile several at once.
    """
    if ASYNC is None:
        return
    # Triton mostly lets go of Python's lock; threads beyond the cores would only wait for it.
    threads = ThreadPoolExecutor(os.cpu_count())
    with threads, ASYNC(threads, ignore_errors=True):
        for call in calls:
            try:
                call()
            except Exception as error:
                LOGGER.debug("a kernel is not compiled ahead: %s", error)


class Density(NamedTuple):
    """Sizes of the density of a SOAP.

    Attributes:
        dtype: Numbers that are computed with.
        n_elements, n_max, l_max: Numbers of elements and radial functions, highest degree.
        intervals: Intervals of the table of the radial functions.
    """

    dtype: torch.dtype
    n_elements: int
    n_max: int
    l_max: int
    intervals: int

    @property
    def channels(self) -> int:
        """Number of elements times radial functions."""
        return self.n_elements * self.n_max

    def coefficients(self, channels: int) -> torch.Tensor:
        """Coefficients of some atoms in so many channels."""
        return _numbers(self.dtype, SOME, (self.l_max + 1) ** 2, channels)

    def features(self, channels: int) -> torch.Tensor:
        """Features of some atoms that follow from these."""
        return _numbers(self.dtype, SOME, channels * (channels + 1) // 2 * (self.l_max + 1))


def of_pairs(dtype: torch.dtype, fading: bool) -> Iterator[Call]:
    """Yield the calls from positions to pairs and back; neighbours fade before the cutoff or not.

    Args:
        dtype: Numbers that are computed with.
        fading: Whether neighbours fade before the cutoff.
    """
    rows, numbers = _numbers(dtype, SOME, 3), _numbers(dtype, SOME)
    yield partial(pair_geometry, rows, _whole(), _whole(), _whole(), 2.0, float(fading))
    yield partial(gradient_of_atoms, rows, numbers, rows, numbers, _whole(), _whole(), _whole())


def of_density(sizes: Density, factored: bool, faded: bool) -> Iterator[Call]:
    """Yield the calls from pairs to coefficients and back.

    Args:
        sizes: Sizes of the density.
        factored: Whether atoms have factors on the way back.
        faded: Whether neighbours fade; else they are once seen without weights, too.
    """
    pad = -(-sizes.n_max // LANES) * LANES
    coefficients = _numbers(sizes.dtype, sizes.intervals, TERMS, sizes.l_max + 1, pad)
    table = RadialTable(coefficients, 1.0, sizes.n_max, sizes.l_max, 1.0)
    vectors, weights = _numbers(sizes.dtype, SOME, 3), _numbers(sizes.dtype, SOME)
    others = _whole(), _whole(), sizes.n_elements, table
    by_c, factor = sizes.coefficients(sizes.channels), weights if factored else None
    # What takes longest begins first.
    yield partial(expand_density_backward, by_c, factor, vectors, weights, *others)
    yield partial(expand_density, vectors, weights, *others)
    if not faded:
        yield partial(expand_density, vectors, None, *others)


def of_mixing(sizes: Density, mixed: int) -> Iterator[Call]:
    """Yield the calls that mix the channels of a density into so many, and back."""
    tiles, place = _whole(SOME, 3, dtype=torch.int32), _whole(dtype=torch.int32)
    matrices = _numbers(sizes.dtype, 1, sizes.l_max + 1, sizes.channels, mixed)
    for channels, back in ((sizes.channels, False), (mixed, True)):
        values = sizes.coefficients(channels)
        yield partial(mix, values, _whole(), tiles, place, matrices, back)


def of_features(sizes: Density, channels: int, n_max: int, some: bool) -> Iterator[Call]:
    """Yield the call from coefficients to features, of all atoms or of ``some``.

    Args:
        sizes: Sizes of the density.
        channels: Channels of the coefficients; those of ``sizes``, or mixed ones.
        n_max: Channels of an element, or all mixed ones.
        some: Whether the atoms are numbered.
    """
    yield partial(
        unit_power_spectrum, sizes.coefficients(channels), n_max, _whole() if some else None
    )


def of_slopes(sizes: Density, channels: int, n_max: int, some: bool) -> Iterator[Call]:
    """Yield the calls from slopes by features back to coefficients; see ``of_features``."""
    c, rows = sizes.coefficients(channels), _whole() if some else None
    slope = sizes.features(channels)
    yield partial(power_spectrum_backward, c, slope[:, 0], slope, n_max, rows)
    if some:
        # Slopes of several members lie behind each other, and begin anywhere.
        anywhere = _numbers(sizes.dtype, slope.numel() + 1)[1:].view_as(slope)
        yield partial(power_spectrum_backward, c, slope[:, 0], anywhere, n_max, rows)


def of_distances(sizes: Density, channels: int, n_max: int) -> Iterator[Call]:
    """Yield the call that measures distances from points of feature space, likewise."""
    yield partial(distance, sizes.coefficients(channels), sizes.features(channels), n_max)


def of_networks(dtype: torch.dtype, members: int, width: int) -> Iterator[Call]:
    """Yield the call for the inner layers of so many members of a width."""
    z1, values = _numbers(dtype, SOME, members * width), _numbers(dtype, members, SOME)
    tiles, place = _whole(SOME, 3, dtype=torch.int32), _whole(dtype=torch.int32)
    inner = [_numbers(dtype, 1, members, *shape) for shape in ((width, width), (width,), (width,))]
    constants = _numbers(dtype, 1, members)
    yield partial(inner_layers, z1, z1, values, _whole(), tiles, place, *inner, constants)


def of_references(
    dtype: torch.dtype, k: int, most: int, components: int, weighted: bool
) -> Iterator[Call]:
    """Yield the call that combines references.

    Args:
        dtype: Numbers that are computed with.
        k: References that are combined.
        most: References that any element's atoms have.
        components: Components of the references.
        weighted: Whether each reference has a ridge of its own.
    """
    p, indices = _numbers(dtype, SOME, components), _whole(SOME, k)
    among = _numbers(dtype, SOME, most, most)
    ridges = _numbers(dtype, SOME, k) if weighted else _numbers(dtype, 1, 1)
    yield partial(combine, p, p, indices, among, _whole(), ridges)


def of_candidates(dtype: torch.dtype, components: int) -> Iterator[Call]:
    """Yield the call that finds the nearest of any number of candidates."""
    points, references = (_numbers(of, SOME, components) for of in (dtype, torch.float32))
    yield partial(nearest_of, points, references, _whole(SOME, SOME), 1)


def of_measures(dtype: torch.dtype, largest: int, hold: float, stiffness: float) -> Iterator[Call]:
    """Yield the call that measures trials of structures of up to ``largest`` atoms."""
    rows, of_each = _numbers(dtype, SOME, 3), _numbers(dtype, SOME)
    given = rows, rows, rows, of_each, rows, _whole(), largest
    yield partial(measure, *given, hold, stiffness)


def of_lbfgs(
    dtype: torch.dtype, largest: int, memory: int, longest: float, **numbers: float
) -> Iterator[Call]:
    """Yield the call that steps structures of up to ``largest`` rows; see ``lbfgs_step``."""
    rows, of_each = _numbers(dtype, SOME, 3), _numbers(dtype, SOME)
    state = dict.fromkeys(("trial", "position", "gradient", "direction"), rows)
    state |= dict.fromkeys(("loss", "length", "slope"), of_each)
    state |= dict.fromkeys(("steps", "changes"), _numbers(dtype, memory, SOME, 3))
    state["curvature"] = _numbers(dtype, memory, SOME)
    given = state, of_each, rows, _whole(dtype=torch.bool), _whole(), largest
    yield partial(lbfgs_step, *given, longest=longest, **numbers)


def of_ends(dtype: torch.dtype, largest: int, fmax: float) -> Iterator[Call]:
    """Yield the call that decides what becomes of structures of up to ``largest`` rows."""
    rows, of_each = _numbers(dtype, SOME, 3), _numbers(dtype, SOME)
    yes, whole = _whole(dtype=torch.bool), _whole()
    before = {"best": rows, "best_loss": of_each, "loss": of_each, "steps": whole}
    before |= {"ended": yes, "system": whole, "atom": whole}
    ends = {"last": rows, "best": rows, "converged": yes, "broken": yes, "n_steps": whole}
    given = before, ends, rows, rows, of_each, of_each, yes, whole, largest
    yield partial(conclude, *given, fmax, SOME)


def _numbers(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _whole(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.empty(shape or (SOME,), dtype=dtype, device="meta")
