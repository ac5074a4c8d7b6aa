"""The nearest references: the same answer as going through all of them in float64."""

import sys
import warnings
from importlib.util import find_spec

import pytest
import torch

from losiko_torch.search import exact as index
from losiko_torch.search.exact import (
    default_candidates,
    faiss_candidates,
    nearest_references,
    squared_distances,
    torch_candidates,
)

KINDS = {"torch": torch_candidates}
if find_spec("faiss"):
    KINDS["faiss"] = faiss_candidates


def unit(n, seed, n_features=40):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(n, n_features, generator=generator, dtype=torch.float64)
    return vectors / vectors.norm(dim=1, keepdim=True)


def scattered():
    return unit(300, 0).float()


def with_duplicates():
    """Vectors of only 5 kinds, 60 copies each: more ties than candidates are fetched."""
    return unit(5, 1).float()[torch.arange(300) % 5]


def with_near_duplicates():
    """Groups of 30 that differ by 1e-8, as symmetry-equivalent atoms do, shuffled."""
    groups = unit(10, 2)[torch.arange(300) % 10] + 1e-8 * unit(300, 3)
    return (groups / groups.norm(dim=1, keepdim=True)).float()


def brute_force(queries, references, k):
    difference = queries.double()[:, None] - references.double()[None]
    distances, order = difference.square().sum(2).sort(dim=1, stable=True)
    return distances[:, :k], order[:, :k]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [scattered, with_duplicates, with_near_duplicates])
def test_equals_brute_force(make, dtype, kind):
    references = make()
    # Far from every reference, near one, and exactly one.
    near = references[:40].double() + 1e-3 * unit(40, 4)
    queries = torch.cat([unit(40, 5), near, references[100:140].double()]).to(dtype)
    candidates = KINDS[kind](references)
    for k in (1, 2, 16, 17, 59, 61, 284, 285, 299, 300):
        distances, indices = nearest_references(queries, references, k, candidates)
        wanted, order = brute_force(queries, references, k)
        assert distances.dtype == dtype
        assert torch.equal(indices, order)
        torch.testing.assert_close(distances, wanted.to(dtype), rtol=1e-6, atol=1e-15)


def test_ties_go_to_the_lowest_index():
    references = unit(1, 0).float().expand(200, -1).contiguous()
    for make in KINDS.values():
        _, indices = nearest_references(references[:3], references, 5, make(references))
        assert indices.tolist() == [[0, 1, 2, 3, 4]] * 3


def test_more_than_there_are_gives_all():
    references = scattered()[:7]
    distances, indices = nearest_references(unit(3, 1), references, 7, torch_candidates(references))
    assert distances.shape == indices.shape == (3, 7)
    assert torch.equal(indices.sort(1).values, torch.arange(7).expand(3, -1))


def test_incomplete_candidates_are_caught_where_the_margin_proves_nothing(monkeypatch):
    """Candidates misordered by float32's rounding need a new search."""
    references = with_near_duplicates()
    queries = unit(20, 6)
    exact = torch_candidates(references.double())
    searches = []
    again = index._candidates_in_float64

    def sloppy(asked, k):
        distances, indices = exact(asked, len(references))
        generator = torch.Generator().manual_seed(0)
        noise = 2 * torch.rand(distances.shape, generator=generator) - 1
        distances, order = (distances + 0.9 * index.FLOAT32_ERROR / 2 * noise).sort(dim=1)
        return distances[:, :k], indices.gather(1, order)[:, :k]

    def counted(asked, references, k):
        searches.append(len(asked))
        return again(asked, references, k)

    monkeypatch.setattr(index, "_candidates_in_float64", counted)
    for k in (1, 14, 15, 29):
        _, indices = nearest_references(queries, references, k, sloppy)
        assert torch.equal(indices, brute_force(queries, references, k)[1])
    assert sum(searches) > 0


def test_a_proven_answer_is_not_searched_again(monkeypatch):
    references = scattered()
    monkeypatch.setattr(index, "_candidates_in_float64", None)
    nearest_references(unit(20, 6), references, 5, torch_candidates(references))


def test_float32_distances_stay_within_the_assumed_error():
    references, queries = unit(500, 0, 512).float(), unit(200, 1, 512)
    queries[:100] = references[:100].double() + 1e-5 * queries[:100]
    for make in KINDS.values():
        approximate, indices = make(references)(queries, 500)
        exact = squared_distances(queries, references, indices)
        assert (approximate - exact).abs().max() < index.FLOAT32_ERROR / 2


def test_blocks_of_any_size_give_the_same(monkeypatch):
    references, queries = with_near_duplicates(), unit(30, 7)
    wanted = nearest_references(queries, references, 20, torch_candidates(references))
    monkeypatch.setattr(index, "BLOCK_BYTES", 1)
    monkeypatch.setattr(index, "MATRIX_ENTRIES", 700)
    found = nearest_references(queries, references, 20, torch_candidates(references))
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])


@pytest.mark.skipif("faiss" not in KINDS, reason="FAISS is not installed")
def test_faiss_takes_tensors_where_they_are(monkeypatch):
    references, queries = scattered(), unit(10, 8).float()
    (wanted, order) = torch_candidates(references)(queries, 9)

    def to_host(self):
        raise AssertionError("a tensor went to the host")

    for name in ("numpy", "cpu", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, to_host)
    (found, places) = faiss_candidates(references)(queries, 9)
    monkeypatch.undo()
    assert torch.equal(places, order)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_without_faiss_a_warning_once_and_the_same_answer(monkeypatch):
    references, queries = with_near_duplicates(), unit(10, 8)
    wanted = nearest_references(queries, references, 9, default_candidates(references))
    monkeypatch.setitem(sys.modules, "faiss", None)

    def candidates():
        return default_candidates(references)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        found = [nearest_references(queries, references, 9, candidates()) for _ in range(3)][-1]
    assert len(caught) == 1
    assert "faiss is not installed" in str(caught[0].message)
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])
