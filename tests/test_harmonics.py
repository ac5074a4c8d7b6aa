"""Solid harmonics: the definition, the derivatives, the edges."""

import math

import numpy as np
import pytest
import torch
from scipy.special import eval_gegenbauer

from losiko_torch.descriptors.soap.harmonics import solid_harmonics


def reference(vectors: np.ndarray, l_max: int) -> np.ndarray:
    """r^l times real spherical harmonics, made of scipy's Gegenbauer polynomials.

    P_l^m(cos t) = (2m - 1)!! sin(t)^m C_{l-m}^{(m + 1/2)}(cos t), without the phase (-1)^m.
    """
    x, y, z = vectors.T
    r = np.linalg.norm(vectors, axis=1)
    polar = np.arctan2(np.hypot(x, y), z)
    azimuth = np.arctan2(y, x)
    columns = []
    for degree in range(l_max + 1):
        for m in range(-degree, degree + 1):
            order = abs(m)
            ratio = math.factorial(degree - order) / math.factorial(degree + order)
            norm = math.sqrt((2 * degree + 1) / (4 * math.pi) * ratio)
            factor = norm * math.prod(range(1, 2 * order, 2))
            polynomial = eval_gegenbauer(degree - order, order + 0.5, np.cos(polar))
            value = factor * np.sin(polar) ** order * polynomial
            if m < 0:
                value = math.sqrt(2) * value * np.sin(order * azimuth)
            elif m > 0:
                value = math.sqrt(2) * value * np.cos(order * azimuth)
            columns.append(r**degree * value)
    return np.stack(columns, 1)


def some_vectors(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    special = [[0, 0, 0], [0, 0, 1], [0, 0, -2], [1, 0, 0], [0, -0.5, 0], [1e-9, 0, 1]]
    return np.concatenate([special, generator.normal(size=(count, 3))])


def test_equal_scipys_spherical_harmonics_to_degree_20():
    vectors = some_vectors(200)
    r = np.linalg.norm(vectors, axis=1, keepdims=True)
    degrees = np.repeat(np.arange(21), 2 * np.arange(21) + 1)
    error = solid_harmonics(torch.tensor(vectors), 20).numpy() - reference(vectors, 20)
    assert np.abs(error / np.maximum(r**degrees, 1e-30)).max() < 1e-12


def test_addition_theorem():
    unit = torch.nn.functional.normalize(torch.tensor(some_vectors(20)[1:]), dim=1)
    values = solid_harmonics(unit, 20)
    for degree in range(21):
        norm = values[:, degree**2 : (degree + 1) ** 2].square().sum(1)
        expected = torch.full_like(norm, (2 * degree + 1) / (4 * math.pi))
        torch.testing.assert_close(norm, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("l_max", [0, 1, 3])
def test_derivatives_of_first_and_second_order(l_max):
    vectors = torch.tensor(some_vectors(2)).requires_grad_()
    assert torch.autograd.gradcheck(
        solid_harmonics, (vectors, l_max), check_forward_ad=True, check_backward_ad=True
    )
    assert torch.autograd.gradgradcheck(solid_harmonics, (vectors, l_max), check_fwd_over_rev=True)


def test_gradient_at_degree_20_obeys_eulers_theorem():
    """A solid harmonic is homogeneous: r . grad R_l = l R_l."""
    vectors = torch.tensor(some_vectors(5))
    values, slopes = torch.func.jvp(lambda v: solid_harmonics(v, 20), (vectors,), (vectors,))
    degrees = torch.repeat_interleave(torch.arange(21), 2 * torch.arange(21) + 1)
    torch.testing.assert_close(slopes, degrees * values, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("l_max", [0, 3])
def test_no_vectors(l_max):
    vectors = torch.zeros(0, 3, requires_grad=True)
    values = solid_harmonics(vectors, l_max)
    assert values.shape == (0, (l_max + 1) ** 2)
    values.sum().backward()
    assert vectors.grad.shape == (0, 3)


def test_degree_zero_is_constant_with_zero_gradient():
    vectors = torch.tensor(some_vectors(3), requires_grad=True)
    values = solid_harmonics(vectors, 0)
    torch.testing.assert_close(values, torch.full_like(values, math.sqrt(0.25 / math.pi)))
    values.sum().backward()
    assert not vectors.grad.any()


@pytest.mark.parametrize(("l_max", "bound"), [(6, 2e-6), (20, 4e-5)])
def test_single_precision(l_max, bound):
    """Largest of 20,000 errors in the unit ball: 1.3e-6 at l = 6 and 2.1e-5 at l = 20."""
    vectors = torch.tensor(some_vectors(20000)[1:])
    vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1)
    exact = solid_harmonics(vectors.float().double(), l_max)
    assert (solid_harmonics(vectors.float(), l_max) - exact).abs().max() < bound
