"""Lists of references: what is found in them is near, the same each time, and kept in files."""

import json
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from small_database import NAMES, rattled, soap

from losiko_torch import EnvironmentDatabase, InputError, relax
from losiko_torch.cli.app import main
from losiko_torch.database import element as references
from losiko_torch.search import inverted_lists as lists
from losiko_torch.search.exact import nearest_references, torch_candidates
from losiko_torch.search.inverted_lists import divided, list_search, probed_lists

pytest.importorskip("faiss")


def unit(n, seed, decay=0.95):
    """Unit vectors of 150 components, the first of which are the largest."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(n, 150, generator=generator) * decay ** torch.arange(150)
    return vectors / vectors.norm(dim=1, keepdim=True)


@cache
def many():
    """Vectors, centroids and the list of each vector."""
    vectors = unit(4000, 0)
    found = divided(vectors)
    assert found is not None
    return vectors, *found


def near(vectors, seed=1):
    some = vectors[::40]
    return some + 0.03 * unit(len(some), seed)


def all_searched(queries, vectors, k):
    return nearest_references(queries, vectors, k, torch_candidates(vectors))


# The search


def test_lists_divide_all_by_the_nearest_centroid():
    vectors, centroids, which = many()
    assert centroids.shape == (int(lists.LISTS * 4000**0.5), lists.DIMENSIONS)
    apart = torch.cdist(vectors[:, : lists.DIMENSIONS], centroids)
    own = apart.gather(1, which.long()[:, None]).squeeze(1)
    torch.testing.assert_close(own, apart.min(1).values, rtol=1e-4, atol=1e-4)
    again = divided(vectors)
    assert torch.equal(again[0], centroids)
    assert torch.equal(again[1], which)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 7, 64])
def test_all_lists_hold_the_exact_answer(monkeypatch, k, dtype):
    monkeypatch.setattr(lists, "LOOKED_AT", 4000**0.5)
    vectors, centroids, which = many()
    queries = near(vectors).to(dtype)
    distances, indices = list_search(vectors, centroids, which)(queries, k, None)
    wanted = all_searched(queries, vectors, k)
    assert torch.equal(indices, wanted[1])
    assert distances.dtype == dtype
    torch.testing.assert_close(distances, wanted[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("looked_at", [0.01, 1.5, 12.0])
@pytest.mark.parametrize("k", [1, 5, 64])
@pytest.mark.parametrize("known", [False, True])
def test_kernel_and_plain_torch_agree(monkeypatch, looked_at, k, known):
    monkeypatch.setattr(lists, "LOOKED_AT", looked_at)
    vectors, centroids, which = many()
    queries = near(vectors)
    given = None
    if known:
        generator = torch.Generator().manual_seed(3)
        given = torch.stack([torch.randperm(4000, generator=generator)[:k] for _ in queries])
    by_kernel = list_search(vectors, centroids, which)(queries, k, given)
    monkeypatch.setattr(lists, "kernels_for", lambda device: None)
    plainly = list_search(vectors, centroids, which)(queries, k, given)
    assert torch.equal(by_kernel[1], plainly[1])
    torch.testing.assert_close(by_kernel[0], plainly[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kernels", [True, False])
def test_an_atom_finds_the_same_alone(monkeypatch, kernels):
    if not kernels:
        monkeypatch.setattr(lists, "kernels_for", lambda device: None)
    monkeypatch.setattr(lists, "LOOKED_AT", 1.5)
    search = list_search(*many())
    queries = near(many()[0])
    together = search(queries, 9, None)[1]
    alone = [search(queries[k : k + 1], 9, None)[1] for k in range(len(queries))]
    assert torch.equal(torch.cat(alone), together)


def test_most_of_the_nearest_are_found_and_more_the_more_is_looked_at(monkeypatch):
    vectors, centroids, which = many()
    queries = near(vectors)
    wanted = all_searched(queries, vectors, 8)[1]
    shares = []
    for looked_at in (0.5, 5.0, 24.0):
        monkeypatch.setattr(lists, "LOOKED_AT", looked_at)
        found = list_search(vectors, centroids, which)(queries, 8, None)[1]
        shares.append(float((wanted[:, :, None] == found[:, None, :]).any(2).float().mean()))
    assert shares == sorted(shares)
    assert shares[0] < 0.9 < 0.99 < shares[2]


def test_known_references_are_never_lost(monkeypatch):
    """Known references are always found, and do not make a search miss others."""
    monkeypatch.setattr(lists, "LOOKED_AT", 0.01)
    vectors, centroids, which = many()
    queries = near(vectors)
    search = list_search(vectors, centroids, which)
    wanted = all_searched(queries, vectors, 20)
    assert not torch.equal(search(queries, 20, None)[1], wanted[1])
    found = search(queries, 20, wanted[1].flip(1))
    assert torch.equal(found[1], wanted[1])
    found = search(queries, 20, search(queries, 20, None)[1])
    assert torch.equal(found[1], search(queries, 20, None)[1])


def test_duplicates_are_found_by_the_lowest_index(monkeypatch):
    monkeypatch.setattr(lists, "LOOKED_AT", 0.01)
    vectors, centroids, which = many()
    vectors, which = vectors.repeat(3, 1), which.repeat(3)
    found = list_search(vectors, centroids, which)(vectors[:50], 3, None)[1]
    assert torch.equal(found, torch.arange(50)[:, None] + torch.tensor([0, 4000, 8000]))


@pytest.mark.parametrize("kernels", [True, False])
def test_more_than_the_lists_hold_are_sought_in_all(monkeypatch, kernels):
    if not kernels:
        monkeypatch.setattr(lists, "kernels_for", lambda device: None)
    monkeypatch.setattr(lists, "LOOKED_AT", 0.01)
    vectors, centroids, which = many()
    queries = near(vectors)[:5]
    found = list_search(vectors, centroids, which)(queries, 2000, None)[1]
    assert torch.equal(found, all_searched(queries, vectors, 2000)[1])


def test_queries_that_are_not_finite_find_something():
    vectors, centroids, which = many()
    queries = near(vectors)[:3].clone()
    queries[1, 5] = torch.nan
    distances, indices = list_search(vectors, centroids, which)(queries, 4, None)
    assert bool(distances[1].isnan().all())
    assert bool((indices >= 0).all() & (indices < 4000).all())
    assert bool(distances[[0, 2]].isfinite().all())


def test_fewer_references_are_sought_in_more_lists():
    assert probed_lists(1_000_000, 4000) == 24
    assert probed_lists(250_000, 4000) == 48
    assert probed_lists(100, 400) == 240
    assert probed_lists(9, 400) == 400


# Databases


@pytest.fixture
def large(monkeypatch):
    """A database whose hydrogens are many, and the limits that make them so."""
    monkeypatch.setattr(references, "SEARCHED_WHOLE", 300)
    monkeypatch.setattr(lists, "LOOKED_AT", 3.0)
    return made_large()


@cache
def made_large():
    molecules = [rattled(NAMES[k % len(NAMES)], k, 0.05) for k in range(100)]
    return EnvironmentDatabase.build(molecules, soap(n_max=4, l_max=3))


def test_large_elements_are_divided_when_a_database_is_built(large):
    hydrogen, oxygen = large.environments[1], large.environments[8]
    assert len(oxygen) < 300 < len(hydrogen)
    assert oxygen.lists is None is oxygen.probed
    assert hydrogen.probed == probed_lists(len(hydrogen), len(hydrogen.centroids))
    assert 0.5 < large.metadata["search_recall"]["H"] <= 1
    assert set(large.metadata["search_recall"]) == {
        symbol for symbol, z in (("H", 1), ("C", 6)) if large.environments[z].probed
    }


def test_files_keep_the_lists(large, tmp_path):
    path = tmp_path / "db.losiko"
    large.save(path)
    back = EnvironmentDatabase.load(path)
    one, other = large.environments[1], back.environments[1]
    for name in ("centroids", "lists", "vectors"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    queries = one.vectors[::7] + 0.05
    rest = torch.zeros(len(queries))
    assert torch.equal(one.nearest(queries, rest, 5)[1], other.nearest(queries, rest, 5)[1])
    exact = EnvironmentDatabase.load(path, exact=True)
    assert exact.environments[1].probed is None
    assert "search_recall" not in exact.metadata
    wanted = all_searched(queries, one.vectors, 5)[1]
    assert torch.equal(exact.environments[1].nearest(queries, rest, 5)[1], wanted)
    assert torch.equal(exact.with_lists().environments[1].lists, one.lists)


def test_a_part_of_a_database_keeps_its_lists_while_it_is_large(large, monkeypatch):
    out = range(0, 100, 3)
    part = large.without(out).environments[1]
    stays = ~torch.isin(large.environments[1].structure, torch.tensor(list(out)))
    assert torch.equal(part.lists, large.environments[1].lists[stays])
    monkeypatch.setattr(references, "SEARCHED_WHOLE", 200)
    assert part.probed is not None
    itself = part.nearest(part.vectors, torch.zeros(len(part)), 1)[0]
    assert itself.max() < 1e-9
    monkeypatch.setattr(references, "SEARCHED_WHOLE", len(part))
    assert part.probed is None


def test_weighted_references_are_all_searched(large):
    weighted = large.weighted(np.linspace(0.5, 2, 100))
    hydrogen = weighted.environments[1]
    assert hydrogen.probed is None
    assert hydrogen.near_known is None
    assert weighted.weighted(None).environments[1].probed == large.environments[1].probed


def test_relaxing_finds_nearly_the_same_minimum(large):
    """Searches in lists lead to nearly the same minimum, in a batch and restricted to elements."""
    starts = [rattled(name, 7, 0.05) for name in ("CH3OH", "C2H6", "CH3CHO")]
    together = relax(starts, large)
    exact = relax(starts, large.searched_whole())
    for start, one, other in zip(starts, together, exact, strict=True):
        assert one.loss < 1.5 * other.loss + 1e-4
        np.testing.assert_allclose(
            relax(start, large)[0].atoms.positions, one.atoms.positions, atol=1e-4
        )


def test_without_faiss_all_are_searched(large, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.warns(UserWarning, match="faiss is not installed"):
        same = large.searched_whole().with_lists()
    assert same.environments[1].lists is None


def test_info_tells_of_the_search(large, tmp_path, capsys):
    large.save(tmp_path / "db.losiko")
    with pytest.raises(SystemExit):
        main(["info", str(tmp_path / "db.losiko")])
    printed = capsys.readouterr().out
    hydrogen = large.environments[1]
    assert f"{hydrogen.probed} of {len(hydrogen.centroids)} lists" in printed
    assert "all references" in printed
    assert "search recall" in printed


def poisoned(tensor):
    tensor = tensor.clone()
    tensor[0] = torch.nan
    return tensor


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("H/lists", None),
        ("H/centroids", None),
        ("H/lists", lambda t: t[1:].clone()),
        ("H/lists", lambda t: t + 1000),
        ("H/lists", lambda t: t - 1),
        ("H/lists", lambda t: t.long()),
        ("H/centroids", poisoned),
        ("H/centroids", lambda t: t.half()),
        ("H/centroids", lambda t: t.repeat(1, 20)),
        ("H/centroids", lambda t: t[0].clone()),
    ],
)
def test_damaged_lists_are_refused(large, tmp_path, name, change):
    path = tmp_path / "db.losiko"
    replace(large, geometries=None).save(path)
    with safe_open(path, framework="pt") as file:
        tensors = {each: file.get_tensor(each) for each in file.keys()}  # noqa: SIM118
        header = file.metadata()
    assert json.loads(header["version"]) == 3
    tensor = tensors.pop(name)
    if change is not None:
        tensors[name] = change(tensor)
    save_file(tensors, path, metadata=header)
    with pytest.raises(InputError, match="lists of H"):
        EnvironmentDatabase.load(path)
