"""Compiled kernels against plain torch; ``test_kernels`` runs this in a process of its own.

    LOSIKO_KERNELS=losiko_kernels.cpu pytest tests/kernel_checks.py    # numba's
    TRITON_INTERPRET=1 pytest tests/kernel_checks.py                   # Triton's without a GPU
    pytest tests/kernel_checks.py                                      # with one

Errors are relative to the largest number of the result, or to 0.1. In double precision they are
those of the radial table; single precision is compared with double on the same, rounded inputs.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib import import_module
from typing import NamedTuple

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from losiko_torch import SOAP, Batch, EnvironmentDatabase, accelerators
from losiko_torch.descriptors.soap import density
from losiko_torch.descriptors.soap.compiled import table_of
from losiko_torch.descriptors.soap.power_spectrum import power_spectrum, scale_degrees
from losiko_torch.known_problems import solves
from losiko_torch.learned.folded import Folded
from losiko_torch.learned.networks import Networks
from losiko_torch.learned.together import Together
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear, combine, distances_among
from losiko_torch.loss.targets.nearest import Nearest
from losiko_torch.systems.neighbors import find_pairs
from losiko_torch.systems.pieces import pieces_of

NAME = os.environ.get("LOSIKO_KERNELS", "losiko_kernels.gpu")
DEVICE = "cpu" if NAME.endswith("cpu") or os.environ.get("TRITON_INTERPRET") == "1" else "cuda"

KERNELS = import_module(NAME)
expand_density, distance = KERNELS.expand_density, KERNELS.distance
expand_density_backward = KERNELS.expand_density_backward
unit_power_spectrum = KERNELS.unit_power_spectrum
power_spectrum_backward = KERNELS.power_spectrum_backward

#: Largest error by precision. In single precision the interpreter's values are off by 2e-7 at most
#: here and its gradients by 6e-7 (3e-6 of 0.1 where the gradient is zero); a GPU's quotients and
#: roots are a little less exact.
VALUE_ERROR = {torch.float64: 1e-10, torch.float32: 1e-6}
GRADIENT_ERROR = {torch.float64: 1e-10, torch.float32: 1e-5}
PRECISIONS = [torch.float64, torch.float32]
#: Triton's interpreter takes seconds for what a processor does in no time.
INTERPRETED = DEVICE == "cpu" and not NAME.endswith("cpu")


class Case(NamedTuple):
    """Pairs of a structure, in double precision, and the descriptor."""

    soap: SOAP
    vectors: torch.Tensor
    weights: torch.Tensor
    first: torch.Tensor
    element: torch.Tensor

    @property
    def n(self) -> int:
        return len(self.first) - 1

    @property
    def n_elements(self) -> int:
        return len(self.soap.species)

    def inputs(self, dtype: torch.dtype, weighted: bool) -> tuple:
        """Arguments of ``expand_density``."""
        weights = self.weights.to(DEVICE, dtype) if weighted else None
        vectors = self.vectors.to(DEVICE, dtype)
        indices = self.first.to(DEVICE), self.element.to(DEVICE)
        return vectors, weights, *indices, self.n_elements, table_of(self.soap, vectors)

    def rounded(self, dtype: torch.dtype) -> Case:
        """Case with inputs rounded to ``dtype``, kept in double precision."""
        rounded = [tensor.to(dtype).double() for tensor in (self.vectors, self.weights)]
        return self._replace(vectors=rounded[0], weights=rounded[1])

    def coefficients(self) -> list[torch.Tensor]:
        """Coefficients of the density by plain torch."""
        center = torch.repeat_interleave(torch.arange(self.n), self.first.diff())
        radial = self.soap.basis(self.vectors.square().sum(1)) * self.weights[None, :, None]
        slot = center * self.n_elements + self.element
        size = self.n, self.n_elements, self.soap.cutoff
        return scale_degrees(density.expand_density(self.vectors, radial, slot, *size))


def case(atoms: Atoms, without: tuple[int, ...] = (), **parameters) -> Case:
    """Case of a structure; the atoms ``without`` have no neighbours."""
    soap = SOAP(**{"r_cut": 3.0, "sigma": 0.5, **parameters})
    batch = Batch.from_atoms(atoms)
    pairs = find_pairs(batch, soap.cutoff, False)
    pairs = pairs.keep(~torch.isin(pairs.center, torch.tensor(without, dtype=torch.long)))
    counts = torch.bincount(pairs.center, minlength=len(atoms))
    first = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    weights = torch.rand(len(pairs.center), generator=generator()).double() + 0.5
    element = soap.element_of_number[batch.numbers][pairs.neighbor]
    return Case(soap, pairs.vectors(batch), weights, first, element)


def cluster(numbers: str, size: float = 4.0, seed: int = 0) -> Atoms:
    """Atoms at random in a box, and so with few or many neighbours."""
    points = np.random.default_rng(seed).uniform(0, size, (len(Atoms(numbers)), 3))
    return Atoms(numbers, points)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(), dtype=torch.float64)


def stacked(blocks: list[torch.Tensor]) -> torch.Tensor:
    """Coefficients as the kernels lay them out, (n, M, C)."""
    return torch.cat([block.flatten(1, 2).transpose(1, 2) for block in blocks], 1)


def blocks_of(c: torch.Tensor, n_max: int) -> list[torch.Tensor]:
    """Coefficients (n, M, C) of the kernels as blocks by degree: the inverse of ``stacked``."""
    degrees = round(c.shape[1] ** 0.5)
    rows = [c[:, degree**2 : (degree + 1) ** 2] for degree in range(degrees)]
    return [block.transpose(1, 2).unflatten(1, (-1, n_max)) for block in rows]


def features(c: torch.Tensor, n_max: int) -> torch.Tensor:
    """Unit power spectra by plain torch."""
    return torch.nn.functional.normalize(power_spectrum(blocks_of(c, n_max), "off"), dim=1)


def error(value: torch.Tensor, expected: torch.Tensor) -> float:
    assert value.shape == expected.shape
    if expected.numel() == 0:
        return 0.0
    largest = expected.abs().max().clamp(min=0.1)
    return float((value.double().cpu() - expected).abs().max() / largest)


CASES = {
    "molecule": lambda: case(molecule("H2O"), species=["H", "O"], n_max=3, l_max=3),
    "one atom": lambda: case(Atoms("C"), species=["C"], n_max=1, l_max=0),
    "empty centers": lambda: case(
        cluster("HCNO", 3), without=(0, 2), species=["H", "C", "N", "O"], n_max=3, l_max=1
    ),
    "high degrees": lambda: case(
        molecule("CO"), without=(1,), species=["C", "O"], n_max=1, l_max=10
    ),
    # Within 5 A nine functions are so alike that the last digits are the processor's.
    "n_max above 8": lambda: case(
        cluster("CO2", 3), species=["C", "O"], n_max=9, l_max=1, r_cut=7.0
    ),
    "ten elements": lambda: case(
        cluster("HFAlP", 3), species=list(range(1, 20, 2)), n_max=4, l_max=1
    ),
    "polynomial": lambda: case(
        cluster("H2O", 3), species=["H", "O"], n_max=4, l_max=3, rbf="polynomial"
    ),
}


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_density_and_its_gradient(name, dtype):
    given = CASES[name]()
    exact = given.rounded(dtype)
    for weighted in (True, False) if name == "empty centers" else (True,):
        if not weighted:
            exact = exact._replace(weights=torch.ones_like(exact.weights))
        vectors, weights = exact.vectors.requires_grad_(), exact.weights.requires_grad_()
        expected = stacked(exact._replace(vectors=vectors, weights=weights).coefficients())
        inputs = given.inputs(dtype, weighted)
        c = expand_density(*inputs)
        assert c.dtype == dtype
        assert error(c, expected.detach()) < VALUE_ERROR[dtype]

        upstream = noise(*expected.shape).to(dtype).double()
        factor = noise(given.n).to(dtype).double() if weighted else torch.ones(given.n)
        loss = (factor[:, None, None] * upstream * expected).sum()
        of_vectors, of_weights = torch.autograd.grad(loss, [vectors, weights])
        result = expand_density_backward(
            upstream.to(DEVICE, dtype), factor.to(DEVICE, dtype) if weighted else None, *inputs
        )
        assert error(result[0], of_vectors) < GRADIENT_ERROR[dtype]
        if weighted:
            assert error(result[1], of_weights) < GRADIENT_ERROR[dtype]
        else:
            assert result[1] is None


#: Elements, n_max, l_max: below a warp's width, one tile, several of them, and many elements.
SIZES = [(1, 1, 0), (1, 3, 6), (2, 3, 2), (5, 6, 2), (5, 8, 1), (10, 5, 0), (2, 12, 1)]


def random_coefficients(n_elements: int, n_max: int, l_max: int, dtype) -> torch.Tensor:
    """Random coefficients of two centers, the second of which has no neighbours."""
    c = noise(2, (l_max + 1) ** 2, n_elements * n_max).to(dtype).double()
    c[1] = 0
    return c


#: Sizes and precisions; interpreted, single precision of one size only: the code is the same.
SIZES_AND_PRECISIONS = [
    pytest.param(size, dtype, id=f"{size}-{dtype}")
    for size in SIZES
    for dtype in PRECISIONS
    if dtype == torch.float64 or size == (2, 3, 2) or not INTERPRETED
]


@pytest.mark.parametrize(("size", "dtype"), SIZES_AND_PRECISIONS)
def test_power_spectrum_and_its_gradient(size, dtype):
    c = random_coefficients(*size, dtype).requires_grad_()
    given = c.detach().to(DEVICE, dtype)
    p, length = unit_power_spectrum(given, size[1])
    assert p.dtype == length.dtype == dtype
    expected = features(c, size[1])
    assert error(p, expected.detach()) < VALUE_ERROR[dtype]
    norm = power_spectrum(blocks_of(c, size[1]), "off").norm(dim=1).detach()
    assert error(length, norm) < VALUE_ERROR[dtype]

    slope = noise(*expected.shape).to(dtype).double()
    (gradient,) = torch.autograd.grad((slope * expected).sum(), c)
    slope = slope.to(DEVICE, dtype)
    result = power_spectrum_backward(given, length, slope, size[1])
    assert error(result, gradient) < GRADIENT_ERROR[dtype]
    if size == (2, 3, 2):
        check_some_centers(given, p, length, slope, result, size[1])


def check_some_centers(c, p, length, slope, by_c, n_max):
    """Numbers of some centers, in another order, are bit by bit those of all."""
    every = torch.cat([c, c.flip(2), 2 * c])
    rows = torch.tensor([4, 0, 1], device=DEVICE)
    some, lengths = unit_power_spectrum(every, n_max, rows)
    assert torch.equal(some[1:], p)
    assert torch.equal(lengths[1:], length)
    out = torch.full_like(every, torch.nan)
    slopes = torch.cat([slope[:1], slope])
    found = power_spectrum_backward(every, lengths, slopes, n_max, rows, out)
    assert found is out
    assert torch.equal(out[:2], by_c)
    # Twice the coefficients, half the gradient.
    assert error(2 * out[4], by_c[0].double().cpu()) < GRADIENT_ERROR[c.dtype]
    assert out[[2, 3, 5]].isnan().all()


@pytest.mark.parametrize(("size", "dtype"), SIZES_AND_PRECISIONS)
def test_distance_and_its_gradient(size, dtype):
    c = random_coefficients(*size, dtype).requires_grad_()
    p = features(c, size[1])
    target = (p.detach() + 0.1 * noise(*p.shape)).to(dtype).double()
    expected = (p - target).square().sum(1)
    (gradient,) = torch.autograd.grad(expected.sum(), c)
    inputs = c.detach().to(DEVICE, dtype), target.to(DEVICE, dtype)
    d, grad_c = distance(*inputs, size[1])
    assert d.dtype == grad_c.dtype == dtype
    assert error(d, expected.detach()) < VALUE_ERROR[dtype]
    assert error(grad_c, gradient) < GRADIENT_ERROR[dtype]
    assert not grad_c[1].any()


def test_single_precision_sees_small_distances():
    """Distances of 1e-8 keep their digits in single precision; 1 - p . t would have none left."""
    c = random_coefficients(2, 4, 3, torch.float32)[:1]
    p = features(c, 4)
    target = (p + 1e-4 * torch.nn.functional.normalize(noise(*p.shape), dim=1)).float().double()
    expected = (p - target).square().sum(1)
    d, _ = distance(c.to(DEVICE, torch.float32), target.to(DEVICE, torch.float32), 4)
    assert abs(float(d) / float(expected) - 1) < 1e-2


def near_points(n: int, k: int, size: int, dtype) -> tuple:
    """Points, references near them, and indices of some references for each point."""
    center, *others = torch.nn.functional.normalize(noise(n + 41, size), dim=1)
    near = (center + 0.2 * torch.stack(others)).to(dtype)
    drawn = generator()
    indices = torch.stack([torch.randperm(40, generator=drawn)[:k] for _ in range(n)])
    return near[40:], near[:40], indices


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("shape", [(3, 1, 5), (2, 7, 33), (4, 21, 64)], ids=str)
def test_combination(shape, dtype):
    """Combine references that several atoms share, each with its own ridge or all with one."""
    n, k, _ = shape
    p, references, indices = near_points(*shape, dtype)
    rows = torch.arange(n + 2).flip(0)[:n]
    among = torch.full((n + 2, k + 3, k + 3), torch.nan, dtype=dtype)
    z = references[indices].double()
    among[rows, :k, :k] = distances_among(z).to(dtype)
    for ridges in (torch.full((1, 1), 1e-2), noise(n, k).square() + 1e-2):
        ridges = ridges.to(dtype)
        given = p, references, indices, among, rows, ridges
        found = KERNELS.combine(*(each.to(DEVICE) for each in given))
        expected = combine(p.double(), z, distances_among(z), ridges.double())
        for value, known in zip(found, expected, strict=True):
            assert value.dtype == dtype
            assert error(value, known) < (1e-10 if dtype == torch.float64 else 1e-4)


@pytest.mark.skipif(NAME.endswith("cpu"), reason="they solve systems of all sizes alike")
@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("spread", [0.2, 0.0], ids=["apart", "on one spot"])
def test_systems_are_solved_alike_in_registers_and_by_torch(dtype, spread):
    combination = import_module("losiko_kernels.gpu.combination")
    z = spread * noise(3, 17, 6)
    apart, among = (z - spread * noise(3, 1, 6)).square().sum(2), distances_among(z)
    given = apart, among, torch.arange(3), torch.full((1, 1), 1e-2)
    given = [each.to(DEVICE, dtype if each.is_floating_point() else None) for each in given]
    limit = 1e-10 if dtype == torch.float64 else 1e-4
    for one, other in zip(
        combination.solve(*given), combination.solve_by_torch(*given), strict=True
    ):
        assert torch.isfinite(one).all()
        assert error(one, other.cpu().double()) < limit


@pytest.mark.parametrize("shape", [(3, 5, 5), (2, 40, 33)], ids=str)
def test_nearest_of_candidates(shape):
    p, references, indices = near_points(*shape, torch.float32)
    references[indices[0, 1]] = references[indices[0, 0]]
    k = shape[1] // 2
    distances, nearest = KERNELS.nearest_of(*(t.to(DEVICE) for t in (p, references, indices)), k)
    every = (references[indices].double() - p[:, None].double()).square().sum(2)
    for row in range(len(p)):
        ranked = sorted(zip(every[row].tolist(), indices[row].tolist(), strict=True))[:k]
        assert nearest[row].tolist() == [index for _, index in ranked]
        np.testing.assert_allclose(distances[row].cpu(), [d for d, _ in ranked], rtol=1e-12)


def test_all_kernels_together():
    """Distances of features from others, and their gradients by pair vectors, equal autograd's."""
    given = CASES["empty centers"]()
    n_max = given.soap.n_max
    inputs = given.inputs(torch.float64, False)
    c = expand_density(*inputs)
    p, _ = unit_power_spectrum(c, n_max)
    target = p.roll(1, 0).contiguous()
    d, grad_c = distance(c, target, n_max)
    gradient, _ = expand_density_backward(grad_c, None, *inputs)

    vectors = given.vectors.requires_grad_()
    exact = given._replace(vectors=vectors, weights=torch.ones_like(given.weights))
    expected = (features(stacked(exact.coefficients()), n_max) - target.cpu()).square().sum(1)
    assert error(d, expected.detach()) < 1e-10
    assert error(gradient, torch.autograd.grad(expected.sum(), vectors)[0]) < 1e-10


@pytest.mark.parametrize("n", [0, 2])
def test_without_pairs(n):
    given = CASES["molecule"]()
    vectors, weights, _, element, *rest = given.inputs(torch.float32, True)
    first = torch.zeros(n + 1, dtype=torch.long, device=DEVICE)
    inputs = vectors[:0], weights[:0], first, element[:0], *rest
    c = expand_density(*inputs)
    assert c.shape == (n, 16, 6)
    assert not c.any()
    p, length = unit_power_spectrum(c, 3)
    assert p.shape == (n, 84)
    assert not p.any()
    assert not length.any()
    d, grad_c = distance(c, torch.ones_like(p), 3)
    assert d.tolist() == [84.0] * n
    assert not power_spectrum_backward(c, length, p, 3).any()
    of_vectors, of_weights = expand_density_backward(grad_c, None, *inputs)
    assert of_vectors.shape == (0, 3)
    assert of_weights is not None
    assert of_weights.shape == (0,)


@pytest.mark.skipif(NAME.endswith("cpu"), reason="they take all degrees at once")
def test_ranges_of_degrees():
    from losiko_kernels.gpu.harmonics import degree_ranges

    for l_max in range(21):
        ranges = degree_ranges(l_max)
        assert [low for low, _ in ranges] == [0, *(high for _, high in ranges[:-1])]
        assert ranges[-1][1] == l_max + 1
    assert degree_ranges(9) == [(0, 10)]


def test_the_known_problem_is_solved():
    assert solves(KERNELS, DEVICE)


def test_wrong_numbers_are_noticed(monkeypatch):
    right = KERNELS.expand_density
    monkeypatch.setattr(KERNELS, "expand_density", lambda *given: 1.01 * right(*given))
    assert not solves(KERNELS, DEVICE)


@pytest.mark.parametrize("target", [Nearest(), LocallyLinear(4)], ids=["nearest", "linear"])
def test_the_loss_and_its_gradient(target, monkeypatch):
    """Loss and gradient of a molecule against a few others agree between kernels and autograd."""
    parameters = {"r_cut": 3.0, "n_max": 2, "l_max": 1, "sigma": 0.4, "smooth_width": 0.5}
    soap = SOAP(species=["H", "O"], **parameters).to(DEVICE)
    found = []
    for kernels in (KERNELS, None):
        monkeypatch.setattr(accelerators, "_kernels", lambda device, chosen=kernels: chosen)
        references = [molecule(name) for name in ("H2O", "H2O2", "O3")]
        database = EnvironmentDatabase.build(references, soap)
        atoms = molecule("H2O2")
        atoms.rattle(0.1, seed=1)
        objective, batch = Objective(database, target), Batch.from_atoms(atoms, device=DEVICE)
        here = objective.evaluate(batch)
        weights = objective.search_at(batch).weights
        found.append((here.loss, here.gradient, here.distances, weights))
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours.cpu(), plain.cpu(), rtol=1e-6, atol=1e-8)


#: Members, width and atoms of each element: a tile and less, more, one atom; several blocks.
NETWORKS = [(1, 16, (1, 64, 3)), (2, 96, (65, 1)), (2, 48, (70, 5))]


@pytest.mark.skipif(not hasattr(KERNELS, "inner_layers"), reason="plain torch evaluates layers")
@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize(("members", "width", "counts"), NETWORKS)
def test_inner_layers_of_networks(members, width, counts, dtype):
    generator = torch.Generator().manual_seed(4)
    numbers = torch.repeat_interleave(torch.tensor([8, 1, 6][: len(counts)]), torch.tensor(counts))
    order = torch.randperm(len(numbers), generator=generator)
    (piece,) = pieces_of(numbers[order].to(DEVICE))
    whitening, shift = torch.randn(9, 5, generator=generator), torch.randn(5, generator=generator)
    made = Networks.random(whitening, shift, members, width, generator).to(noise(1))
    networks = {z: replace(made, w2=z**0.5 * made.w2, offset=noise(members)) for z in (1, 6, 7, 8)}
    z1 = (3 * noise(len(numbers), members * width)).to(dtype)
    # Of two atoms that are in no piece nothing is written.
    known, wanted = z1.clone().double(), torch.zeros(members, len(numbers) + 2).double()
    for number, some in piece.elements:
        rounded = networks[number].to(z1).to(known)
        own = wanted.new_empty(members, some.stop - some.start)
        Folded.of(rounded, known).inner(known[some], own)
        wanted[:, piece.rows[some].cpu()] = own
    inner = Together.of(networks, z1).inner
    assert inner is not None
    given, values = z1.to(DEVICE), torch.zeros_like(wanted, dtype=dtype, device=DEVICE)
    inner = [each.to(DEVICE) for each in inner]
    between = torch.full_like(given, torch.nan)
    KERNELS.inner_layers(given, between, values, piece.rows, piece.tiles, *inner)
    limit = {torch.float64: 1e-12, torch.float32: 5e-6}[dtype]
    assert error(values, wanted) < limit
    assert error(given, known) < limit


@pytest.mark.skipif(not hasattr(KERNELS, "inner_layers"), reason="plain torch evaluates layers")
def test_an_atom_that_is_no_number_spoils_no_other():
    generator = torch.Generator().manual_seed(5)
    made = Networks.random(torch.eye(4), torch.zeros(4), 2, 16, generator)
    inner = [each.to(DEVICE) for each in Together.of({6: made}, torch.empty(0)).inner]
    (piece,) = pieces_of(torch.full((3,), 6, device=DEVICE))
    z1 = noise(3, 32).float()
    found = []
    for broken in (False, True):
        given, values = z1.clone().to(DEVICE), torch.empty(2, 3, device=DEVICE)
        given[1] = torch.nan if broken else 0
        between = torch.empty_like(given)
        KERNELS.inner_layers(given, between, values, piece.rows, piece.tiles, *inner)
        found.append((given[[0, 2]], values[:, [0, 2]]))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
