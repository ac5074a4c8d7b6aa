"""Targets: the loss is the minimum of its definition, and the gradient is its derivative."""

import numpy as np
import pytest
import torch
from small_database import database, rattled

from losiko_torch import accelerators, relax
from losiko_torch.database.element import Environments
from losiko_torch.errors import InputError
from losiko_torch.loss.settings import make_target
from losiko_torch.loss.targets import locally_linear
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.loss.targets.nearest import Nearest


def problem(n=6, k=5, r=12, seed=0, spread=0.3):
    """Queries near a common point, and references around it, unit vectors."""
    generator = torch.Generator().manual_seed(seed)

    def units(rows):
        vectors = torch.ones(rows, r, dtype=torch.float64) / r**0.5
        vectors = vectors + spread * torch.randn(
            rows, r, generator=generator, dtype=torch.float64
        ) / np.sqrt(r)
        return vectors / vectors.norm(dim=1, keepdim=True)

    references = units(3 * k)
    indices = torch.stack([torch.randperm(3 * k, generator=generator)[:k] for _ in range(n)])
    return units(n), references, indices


def cached(target, references, indices, dtype, weight=None):
    """References (N, r) that are their own components, and what a target keeps of them."""
    n, k = indices.shape
    number, r = torch.arange(len(references)), references.shape[1]
    own = Environments(references, torch.eye(r), number, number, weight)
    cache = target.allocate(n, k, r, references.new_empty(0, dtype=dtype))
    every = torch.ones_like(indices, dtype=torch.bool)
    target.update(cache, torch.arange(n), own, indices, every)
    return own, cache


def values(target, p, references, indices, weight=None):
    """Values of a target, references of ``weight`` (N,), where components lose nothing of p."""
    own, cache = cached(target, references, indices, p.dtype, weight)
    rows, rest = torch.arange(len(p)), p.new_zeros(len(p))
    return target.evaluate(p, rest, own, indices, cache, rows)


def minimum(p, z, reg):
    """Minimum of the target's definition by its Karush-Kuhn-Tucker equations."""
    k = len(z)
    ridge = reg / k * ((z - p) ** 2).sum()
    system = np.zeros((k + 1, k + 1))
    system[:k, :k] = 2 * z @ z.T + 2 * ridge * np.eye(k)
    system[k, :k] = system[:k, k] = 1
    w = np.linalg.solve(system, np.append(2 * z @ p, 1.0))[:k]
    return ((p - w @ z) ** 2).sum() + ridge * (w**2).sum(), w


@pytest.mark.parametrize("k", [1, 2, 5, 30])
@pytest.mark.parametrize("reg", [1e-3, 0.1])
def test_locally_linear_is_the_minimum_of_its_definition(k, reg):
    p, references, indices = problem(k=k)
    found = values(LocallyLinear(k, reg), p, references, indices)
    for row in range(len(p)):
        loss, weights = minimum(p[row].numpy(), references[indices[row]].numpy(), reg)
        assert float(found.loss[row]) == pytest.approx(loss, rel=1e-8)
        np.testing.assert_allclose(found.weights[row].numpy(), weights, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found.weights.sum(1), torch.ones(len(p), dtype=p.dtype))


@pytest.mark.parametrize(
    "target",
    [LocallyLinear(5), LocallyLinear(5, 0.3), LocallyLinear(1), LocallyLinear(30)],
)
def test_gradient_is_the_derivative(target):
    p, references, indices = problem(k=target.n_neighbors)
    gradient = values(target, p, references, indices).slope
    step = 1e-5
    for column in range(p.shape[1]):
        shift = torch.zeros_like(p)
        shift[:, column] = step
        up = values(target, p + shift, references, indices).loss
        down = values(target, p - shift, references, indices).loss
        error = ((up - down) / (2 * step) - gradient[:, column]).abs().max()
        assert error <= 1e-6 * gradient.abs().max()


@pytest.mark.parametrize("target", [LocallyLinear(5), LocallyLinear(30)])
def test_the_order_of_references_does_not_matter(target):
    p, references, indices = problem(k=target.n_neighbors)
    order = torch.randperm(target.n_neighbors, generator=torch.Generator().manual_seed(1))
    one = values(target, p, references, indices)
    other = values(target, p, references, indices[:, order])
    torch.testing.assert_close(one.loss, other.loss, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(one.slope, other.slope, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(one.weights[:, order], other.weights, rtol=1e-6, atol=1e-7)


def test_one_neighbor_is_the_nearest_apart_from_the_ridge():
    p, references, indices = problem(k=1)
    _, (points, _) = cached(Nearest(), references, indices, p.dtype)
    apart = p - points
    linear = values(LocallyLinear(1, 1e-3), p, references, indices)
    torch.testing.assert_close(linear.loss, 1.001 * apart.square().sum(1))
    torch.testing.assert_close(linear.slope, 2.002 * apart)
    torch.testing.assert_close(linear.weights, torch.ones(len(p), 1, dtype=p.dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_references_act_as_one(dtype):
    p, references, indices = problem(k=8)
    same = references[:1].expand(8, -1).contiguous()
    found = values(LocallyLinear(8), p.to(dtype), same.to(dtype), indices % 8)
    alone = (p - same[0]).square().sum(1)
    torch.testing.assert_close(found.loss.double(), alone * (1 + 1e-3 / 8), rtol=1e-3, atol=0)
    torch.testing.assert_close(
        found.weights.double(), torch.full((len(p), 8), 1 / 8).double(), rtol=0.05, atol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 2, 8, 64])
def test_all_references_equal_to_the_descriptor_leave_nothing(k, dtype):
    """Losses of descriptors against copies of themselves are rounding alone."""
    for seed in range(20):
        p, _, _ = problem(n=1, r=200, seed=seed)
        p = p.to(dtype)
        references = p.expand(k, -1).contiguous()
        found = values(LocallyLinear(k), p, references, torch.arange(k)[None])
        assert 0 <= float(found.loss) <= 20 * torch.finfo(dtype).eps
        assert found.slope.norm() <= 1e-4 if dtype == torch.float32 else 1e-10
        assert torch.isfinite(found.weights).all()
        assert found.weights.abs().max() <= 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_descriptor_equal_to_a_reference_takes_it(dtype):
    p, references, indices = problem(k=5)
    p = references[indices[:, 2]].to(dtype)
    found = values(LocallyLinear(5, 1e-6), p, references.to(dtype), indices)
    assert found.loss.max() < 1e-5
    assert found.weights.argmax(1).tolist() == [2] * len(p)
    _, (points, _) = cached(Nearest(), references, indices[:, 2:3], dtype)
    assert torch.equal(points, p)


def test_blocks_of_any_size_give_the_same(monkeypatch):
    p, references, indices = problem(n=50)
    wanted = values(LocallyLinear(5), p, references, indices)
    monkeypatch.setattr("losiko_torch.search.exact.BLOCK_BYTES", 3000)
    for one, other in zip(wanted, values(LocallyLinear(5), p, references, indices), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("room", [2**28, 0], ids=["a table", "none"])
def test_distances_of_a_table_are_those_of_each_atom(monkeypatch, room, dtype):
    """As on a GPU, which has no kernel for them; identical references among them."""
    _, references, indices = problem(n=50)
    references[1] = references[0]
    references = references.to(dtype)
    monkeypatch.setattr(locally_linear, "kernels_for", lambda device: None)
    expected = locally_linear.distances_among(references[indices].double())
    monkeypatch.setattr(locally_linear, "avoids_waits", lambda device: True)
    monkeypatch.setattr(locally_linear, "TABLE_BYTES", room)
    table = locally_linear.distance_table(references, dtype)
    assert (table is None) == (room == 0)
    assert table is locally_linear.distance_table(references, dtype)
    assert table is None or table[0, 1] == 0
    _, (among,) = cached(LocallyLinear(5), references, indices, dtype)
    limit = 1e-14 if dtype == torch.float64 else 1e-7
    torch.testing.assert_close(among.double(), expected, rtol=limit, atol=limit)


def test_a_structure_relaxes_alike_by_a_table(monkeypatch):
    options = {"targets": "locally-linear", "dtype": "float64", "max_steps": 8}
    found = []
    monkeypatch.setattr(accelerators, "_kernels", lambda device: None)
    for by_table in (False, True):
        monkeypatch.setattr(locally_linear, "avoids_waits", lambda device, yes=by_table: yes)
        found.append(relax(rattled("CH3OH"), database(), **options)[0])
    assert found[0].n_steps == found[1].n_steps
    np.testing.assert_allclose(found[0].atoms.positions, found[1].atoms.positions, atol=1e-9)


def test_names_and_numbers_are_checked():
    assert make_target("nearest") == Nearest()
    assert make_target("locally-linear") == LocallyLinear(64, 1e-3)
    assert make_target("locally-linear", 7, 0.5) == LocallyLinear(7, 0.5)
    for arguments, sentence in [
        (("closest",), "none of nearest, locally-linear"),
        (("nearest", 3), "take no n_neighbors"),
        (("nearest", None, 0.1), "take no n_neighbors and no reg"),
        (("locally-linear", 0), "n_neighbors must be an integer from 1 on, not 0"),
        (("locally-linear", -2), "n_neighbors must be an integer from 1 on, not -2"),
        (("locally-linear", None, 0.0), "reg must be positive, not 0"),
        (("locally-linear", None, float("nan")), "reg must be positive, not nan"),
    ]:
        with pytest.raises(InputError, match=sentence):
            make_target(*arguments)
