"""Problems of known solution, which compiled kernels solve before they are used.

Those of a processor and of a GPU expand densities; pairs, mixing, networks and steps of many
structures are a GPU's alone, and plain torch works on them elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import ModuleType

import torch
from losiko_kernels.radial_table import LANES, TERMS, RadialTable

#: Results, each with the numbers that are known to be right.
Known = Iterable[tuple[torch.Tensor, Sequence[float]]]


def solves(kernels: ModuleType, device: str) -> bool:
    """Return whether a module of kernels gives right numbers on a device."""
    problems = problems_for(kernels)
    if device == "cuda":
        kernels.ahead.compile_ahead(partial(problem, "meta") for problem in problems)
    return all(_all_close(problem(device)) for problem in problems)


def problems_for(kernels: ModuleType) -> list[Callable[[str], Known]]:
    """Return the problems that a module of kernels solves on a device of a given name.

    On the meta device results have no values.
    """
    problems = [_density]
    if hasattr(kernels, "pair_geometry"):
        problems += [_pairs, _networks, _steps]
    return [partial(problem, kernels) for problem in problems]


def _density(kernels: ModuleType, device: str) -> Known:
    """Solve the case of a center with one neighbour 1 Angstrom above it.

    The radial function is 1 up to degree 1, so c is the sum of the harmonics: 2 Y_00 and Y_10.
    """
    coefficients = torch.zeros(1, TERMS, 2, LANES, device=device)
    coefficients[:, 0, :, 0] = 1
    table = RadialTable(coefficients, inverse_width=0.25, n_max=1, l_max=1, scale=1.0)
    vectors = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], device=device)
    first, element = (torch.tensor(each, device=device) for each in ([0, 2], [0, 0]))
    shape = (vectors, None, first, element, 1, table)
    c = kernels.expand_density(*shape)
    p, length = kernels.unit_power_spectrum(c, 1)
    apart, by_c = kernels.distance(c, torch.zeros_like(p), 1)
    along, _ = kernels.expand_density_backward(c, None, *shape)
    back = kernels.power_spectrum_backward(c, length, torch.eye(2, device=device)[:1], 1)
    s, z = math.sqrt(1 / math.pi), math.sqrt(3 / (4 * math.pi))
    size = math.hypot(s * s, z * z)
    unit = s * s / size, z * z / size
    return (
        (c.flatten(), [s, 0.0, z, 0.0]),
        (length, [size]),
        (p.flatten(), unit),
        (apart, [1.0]),
        (along[1], [0.0, 0.0, z * z]),
        (by_c.flatten(), [0.0] * 4),
        # The slope by the first feature alone, less what would change the length.
        (back.flatten(), [2 * s * unit[1] ** 2 / size, 0.0, -2 * z * unit[0] * unit[1] / size, 0]),
    )


def _pairs(kernels: ModuleType, device: str) -> Known:
    """Solve the case of two atoms 1 Angstrom apart that see each other.

    At half the width in which neighbours fade, w is 1/2 and dw/d(r^2) is -15/16 per Angstrom^2.
    """
    positions, ones = torch.zeros(2, 3, device=device), torch.ones(4, device=device)
    positions[1, 2] = 1
    center, neighbor, incoming, first = (
        torch.tensor(each, device=device)
        for each in ([0, 0, 1, 1], [0, 1, 0, 1], [0, 2, 1, 3], [0, 2, 4])
    )
    channel = torch.zeros_like(incoming[:2])
    vectors, weights, slopes, _ = kernels.pair_geometry(
        positions, center, neighbor, channel, 1.5, 1.0
    )
    gradient = kernels.gradient_of_atoms(vectors, ones, vectors, slopes, first, incoming, first)
    one = ones[:1].view(1, 1, 1)
    mixed = kernels.mix(one, *_an_atom(device), 3 * one[None], False)
    return (
        (vectors[:, 2], [0.0, 1.0, -1.0, 0.0]),
        (weights, [1.0, 0.5, 0.5, 1.0]),
        (slopes, [0.0, -0.9375, -0.9375, 0.0]),
        (gradient.flatten(), [0.0, 0.0, 1.75, 0.0, 0.0, -1.75]),
        (mixed.flatten(), [3.0]),
    )


def _networks(kernels: ModuleType, device: str) -> Known:
    """Solve the case of one atom and layers of 16 that change nothing.

    Where s(z) = z / (1 + exp(-z)) is zero its slope is 1/2, twice in a row here.
    """
    z1, w2 = torch.zeros(1, 16, device=device), torch.eye(16, device=device).view(1, 1, 16, 16)
    b2, w3 = torch.zeros(1, 1, 16, device=device), torch.full((1, 1, 16), 4.0, device=device)
    values, constant = torch.zeros(1, 1, device=device), torch.full((1, 1), 2.0, device=device)
    between = torch.zeros_like(z1)
    kernels.inner_layers(z1, between, values, *_an_atom(device), w2, b2, w3, constant)
    return (values.flatten(), [2.0]), (z1.flatten(), [1.0] * 16)


def _steps(kernels: ModuleType, device: str) -> Known:
    """Take the first step of one atom, which converges where it began."""
    along, zero = torch.zeros(1, 3, device=device), torch.zeros(1, device=device)
    along[0, 2] = 1
    yes, none = zero == 0, torch.zeros_like(zero, dtype=torch.long)
    rows = {"first": torch.tensor([0, 1], device=device), "largest": 1}
    held, size, *steep = kernels.measure(
        along, 0 * along, along, zero + 1, 2 * along, hold=2.0, stiffness=3.0, **rows
    )
    names = ("trial", "position", "gradient", "direction")
    state = {name: torch.zeros_like(along) for name in names}
    state |= {name: torch.zeros_like(along)[None] for name in ("steps", "changes")}
    state |= {"loss": zero + torch.inf, "length": zero, "slope": zero, "curvature": zero[None]}
    search = {"armijo": 1e-4, "usual": 0.02, "shortest": 1e-3, "cosine": 1e-8, "longest": 1.0}
    after, accepted = kernels.lbfgs_step(state, zero, along, ~yes, **rows, **search)
    before = {"best": 0 * along, "best_loss": zero + torch.inf, "loss": zero + torch.inf}
    before |= {"steps": none, "ended": ~yes, "system": none, "atom": none}
    ends = {"last": 0 * along, "best": 0 * along, "converged": ~yes, "broken": ~yes}
    ends["n_steps"] = none.clone()
    kernels.conclude(before, ends, along, along, zero + 1, zero, yes, fmax=1.0, max_steps=9, **rows)
    return (
        *((held, [2.0]), (size, [4.0]), (steep[0], [6.0]), (steep[1].flatten(), [0.0, 0.0, 12.0])),
        *((accepted.float(), [1.0]), (after["trial"].flatten(), [0.0, 0.0, -0.02])),
        *((ends["last"].flatten(), [0.0, 0.0, 1.0]), (ends["best"].flatten(), [0.0, 0.0, 1.0])),
        *((ends[name].float(), [value]) for name, value in (("converged", 1.0), ("n_steps", 1.0))),
    )


def _an_atom(device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return rows, tiles and places of elements of a hydrogen atom."""
    rows = torch.zeros(1, dtype=torch.long, device=device)
    tiles = torch.tensor([[1, 0, 1]], dtype=torch.int32, device=device)
    return rows, tiles, torch.zeros(2, dtype=torch.int32, device=device)


def _all_close(known: Known) -> bool:
    """Return whether results are what is known of them."""
    return all(
        torch.allclose(found.cpu(), torch.tensor(expected), atol=1e-5) for found, expected in known
    )
