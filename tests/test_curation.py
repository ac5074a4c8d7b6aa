"""Curation: what goes and what stays, against the plain definition of each step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from small_database import NAMES, PARAMETERS, database, rattled, soap

from losiko_torch import SOAP, EnvironmentDatabase, InputError
from losiko_torch.database.curate import spacing as crowding
from losiko_torch.database.curate.select import chosen, farthest, minus, thinned, trimmed
from losiko_torch.database.curate.spacing import Points, farthest_points, near_others, thinned_out

SEPARATIONS = (1e-4, 0.05, 0.2, 0.6, 3.0)


def clustered(n, n_features, seed=0, spread=0.1):
    """Unit vectors around a few centers, some of them twice, as references are."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(6, n_features, generator=generator)
    centers /= centers.norm(dim=1, keepdim=True)
    width = spread * torch.rand(n, 1, generator=generator) / n_features**0.5
    vectors = centers[torch.randint(6, (n,), generator=generator)]
    vectors = vectors + width * torch.randn(n, n_features, generator=generator)
    vectors[n // 2] = vectors[0]
    return vectors / vectors.norm(dim=1, keepdim=True)


def separations(one, other):
    return (one.double()[:, None] - other.double()[None]).norm(dim=2)


def small_blocks(monkeypatch):
    monkeypatch.setattr(crowding, "POINTS", 16)
    monkeypatch.setattr(crowding, "OTHERS", 24)
    monkeypatch.setattr(crowding, "GATHERED", 500)


def references(made, number):
    part = made.environments[number]
    return part.vectors.double() @ part.basis.double().T


def places(made):
    """Every environment by element, structure and atom."""
    return [
        (number, *place)
        for number, part in made.environments.items()
        for place in zip(part.structure.tolist(), part.atom.tolist(), strict=True)
    ]


# Thinning


@pytest.mark.parametrize("n_features", [3, 20, 60])
@pytest.mark.parametrize("blocks", ["usual", "small"])
def test_thinning_is_the_plain_greedy_one(n_features, blocks, monkeypatch):
    if blocks == "small":
        small_blocks(monkeypatch)
    vectors = clustered(200, n_features)
    apart = separations(vectors, vectors)
    sizes = []
    for separation in (1e-4, 0.02, 0.05, 0.1, 3.0):
        kept = []
        for row in range(len(vectors)):
            if not kept or apart[row, kept].min() >= separation:
                kept.append(row)
        assert thinned_out(vectors, separation).nonzero().squeeze(1).tolist() == kept
        sizes.append(len(kept))
    assert sizes[0] == 199
    assert sizes[-1] == 1
    assert 6 < sizes[2] < 190


@given(st.integers(0, 10**6), st.floats(0.005, 0.2), st.integers(2, 70))
@settings(max_examples=30)
def test_no_two_are_near_and_none_is_lost(seed, separation, n_features):
    vectors = clustered(80, n_features, seed)
    stays = thinned_out(vectors, separation)
    left = vectors[stays]
    among = separations(left, left).fill_diagonal_(torch.inf)
    assert len(left) == 1 or among.min() >= separation
    assert (separations(vectors[~stays], left) < separation).any(1).all()
    assert thinned_out(left, separation).all()


def test_thinned_databases_keep_what_they_do_not_drop():
    whole = database()
    made = whole.thinned(0.1)
    assert len(made) < 0.9 * len(whole)
    before = set(places(whole))
    assert before.issuperset(places(made))
    assert made.structures == whole.structures
    for number, part in made.environments.items():
        left = references(made, number)
        among = separations(left, left).fill_diagonal_(torch.inf)
        assert len(part) == 1 or among.min() >= 0.1 - 1e-6
        assert (separations(references(whole, number), left).min(1).values < 0.1 + 1e-6).all()
        assert torch.equal(part.basis, whole.environments[number].basis)


def test_of_weighted_ones_the_heaviest_stays():
    same = [molecule("H2O") for _ in range(4)]
    made = EnvironmentDatabase.build(same, soap()).weighted([0.0, 1.0, 2.0, 2.0])
    left = thinned(made, 0.01)
    assert places(left) == [(1, 2, 1), (8, 2, 0)]
    for part in left.environments.values():
        assert part.weight.tolist() == [2.0]


def test_progress_tells_every_environment(monkeypatch):
    small_blocks(monkeypatch)
    monkeypatch.setattr("losiko_torch.database.curate.select.AT_ONCE", 10)
    made, seen = database(), []
    thinned(made, 0.1, seen.append)
    assert sum(seen) == len(made)
    seen.clear()
    minus(made, EnvironmentDatabase.build(molecule("CH4"), soap()), 0.1, seen.append)
    assert sum(seen) == len(made)
    seen.clear()
    wanted = len(farthest(made, 7, seen.append))
    few = sum(len(part) for part in made.environments.values() if len(part) <= 7)
    assert sum(seen) == wanted - few


# Farthest-point sampling


@pytest.mark.parametrize("blocks", ["usual", "small"])
def test_always_the_farthest_is_next(blocks, monkeypatch):
    if blocks == "small":
        small_blocks(monkeypatch)
    vectors = clustered(150, 40)
    rows, radii = farthest_points(vectors, 100)
    apart = separations(vectors, vectors)
    mean = vectors.double().mean(0)
    assert rows[0] == (vectors.double() - mean).norm(dim=1).argmin()
    nearest = apart[rows[0]]
    for row, radius in zip(rows[1:], radii, strict=False):
        assert nearest[row] > nearest.max() - 1e-6
        assert abs(nearest.max() - radius) < 1e-6
        nearest = torch.minimum(nearest, apart[row])
    assert (radii.diff() <= 0).all()
    assert len(set(rows.tolist())) == 100


def test_a_smaller_choice_is_part_of_a_larger_one():
    whole = database()
    before, sizes = set(), []
    for count in (1, 2, 5, 20, 60, 10**6):
        made = whole.farthest(count)
        now = set(places(made))
        assert before <= now
        for number, part in made.environments.items():
            # Of 60 hydrogens some would be copies, from symmetric molecules.
            assert count == 60 or len(part) == min(count, len(whole.environments[number]))
        before = now
        sizes.append(len(now))
    assert sizes == sorted(sizes)
    assert now == set(places(whole))
    assert places(whole.farthest(20)) == places(whole.farthest(20))


def test_copies_are_not_chosen():
    vectors = clustered(20, 30)[[0, 1, 2] * 5]
    rows, radii = farthest_points(vectors, 10)
    assert sorted((rows % 3).tolist()) == [0, 1, 2]
    assert radii[-1] == 0


def test_what_weighs_nothing_is_not_chosen():
    weights = [float(k % 2) for k in range(len(NAMES))]
    made = database().weighted(weights)
    left = made.farthest(5)
    for number, part in left.environments.items():
        if len(made.environments[number]) > 5 and made.environments[number].usable:
            assert part.weight is None
            assert (part.structure % 2 == 1).all()
        else:
            assert len(part) == len(made.environments[number])


# Taking away


@pytest.mark.parametrize("blocks", ["usual", "small"])
def test_others_that_are_near_are_found(blocks, monkeypatch):
    if blocks == "small":
        small_blocks(monkeypatch)
    points, others = clustered(120, 50, 1), clustered(90, 50, 1, spread=0.2)
    apart = separations(points, others).min(1).values
    for separation in (0.02, 0.05, 0.1, 0.2):
        near = near_others(Points.of(points), Points.of(others), separation)
        assert torch.equal(near, apart < separation)
    assert 0.1 < (apart < 0.05).float().mean() < 0.9
    assert not near_others(Points.of(points), Points.of(others[:0]), 9.0).any()


def test_minus_takes_away_what_the_other_knows():
    """Databases of other components and other elements can be subtracted."""
    whole = database()
    wider = SOAP(**{**PARAMETERS, "species": ["H", "C", "N", "O", "F"]})
    known = EnvironmentDatabase.build([rattled(name, 3, 0.02) for name in NAMES[:12]], wider)
    counts = []
    for separation in SEPARATIONS:
        if separation > 2:
            with pytest.raises(InputError, match=r"no environment is left .* nearer than 3"):
                whole.minus(known, separation)
            continue
        left = whole.minus(known, separation)
        expected = []
        alike = EnvironmentDatabase.build([rattled(n, 3, 0.02) for n in NAMES[:12]], soap())
        for number, part in whole.environments.items():
            apart = separations(references(whole, number), references(alike, number)).min(1).values
            assert ((apart - separation).abs() > 1e-5).all()
            rows = (apart >= separation).nonzero().squeeze(1)
            expected += [(number, int(part.structure[r]), int(part.atom[r])) for r in rows]
        assert places(left) == expected
        counts.append(len(left))
    assert counts[0] == len(whole)
    assert counts[0] > counts[1] > counts[2] > counts[3] > 0


def test_what_weighs_nothing_takes_nothing_away():
    known = EnvironmentDatabase.build([molecule("CH4"), molecule("H2O")], soap())
    left = minus(database(), known.weighted([0.0, 1.0]), 0.01)
    names = {(number, NAMES[structure]) for number, structure, _ in places(left)}
    assert (6, "CH4") in names
    assert (8, "H2O") not in names


def test_filters_on_records():
    molecules = [molecule("H2O"), molecule("CH4"), molecule("CH3OH")]
    for energy, atoms in enumerate(molecules):
        atoms.info["energy"] = energy
    whole = EnvironmentDatabase.build(molecules, soap())
    assert {place[1] for place in places(chosen(whole, "energy>0"))} == {1, 2}
    left = trimmed(chosen(whole, ["energy>0", "formula!=CH4"]))
    assert [record["formula"] for record in left.structures] == ["CH4O"]
    expected = EnvironmentDatabase.build(molecules[2], soap())
    assert places(left) == places(expected)
    for number in left.environments:
        torch.testing.assert_close(
            references(left, number), references(expected, number), rtol=0, atol=2e-6
        )
    with pytest.raises(InputError, match="no environment is left in the database: structures with"):
        chosen(whole, "energy>5")
    with pytest.raises(InputError, match="energy~5"):
        chosen(whole, "energy~5")


# Notes and bad input


def test_every_step_is_told(tmp_path):
    whole = EnvironmentDatabase.build(
        [rattled(name) for name in NAMES[:6]], soap(), metadata={"title": "six", "licence": "CC0"}
    )
    made = whole.thinned(0.2).farthest(3)
    assert {"title": "six", "licence": "CC0"}.items() <= made.metadata.items()
    first, second = made.metadata["curation"]
    middle = len(whole.thinned(0.2))
    assert first.startswith(
        f"thinned to a separation of 0.2: {middle} of {len(whole)} environments"
    )
    assert f"{len(made)} of {middle} environments left" in second
    assert f"(H 3 of {len(whole.thinned(0.2).environments[1])}," in second
    assert "curation" not in whole.metadata
    made.save(tmp_path / "made.losiko")
    back = EnvironmentDatabase.load(tmp_path / "made.losiko")
    assert back.metadata == made.metadata
    assert places(back) == places(made)


def test_a_database_that_is_curated_relaxes():
    from losiko_torch import relax

    made = trimmed(database().thinned(0.05).farthest(40))
    (result,) = relax(rattled("CH3CH2OH"), made)
    assert result.converged


def test_unusable_input_is_refused():
    made = database()
    for call, sentence in [
        (lambda: made.thinned(0.0), "separation must be positive, not 0"),
        (lambda: made.thinned(-0.1), "separation must be positive"),
        (lambda: made.thinned(np.nan), "separation must be positive"),
        (lambda: made.minus(made, -1), "separation must be positive"),
        (lambda: made.farthest(0), "per_element must be an integer from 1 on"),
        (lambda: made.farthest(2.5), "per_element must be an integer"),
        (lambda: made.minus(made, 0.1), "no environment is left"),
        (lambda: made.restricted([1, 6]).thinned(0.1), "a restricted database cannot be curated"),
        (lambda: made.restricted([1, 6]).farthest(1), "a restricted database"),
        (lambda: made.minus(made.restricted([1, 6]), 0.1), "a restricted database"),
        (lambda: made.minus(database(sigma=0.5), 0.1), "sigma is 0.3 in one and 0.5 in the other"),
    ]:
        with pytest.raises(InputError, match=sentence):
            call()
    weighted = made.weighted([1.0] + [0.0] * (len(made.structures) - 1))
    other = EnvironmentDatabase.build(molecule("CH4"), soap())
    with pytest.raises(InputError, match="all environments that are left weigh 0"):
        weighted.minus(other, 0.01)


def test_the_first_stays_wherever_blocks_end(monkeypatch):
    """The references kept depend on the order of the rows alone, not on the size of blocks."""
    made = database()
    wanted = places(made.thinned(0.15))
    small_blocks(monkeypatch)
    assert places(made.thinned(0.15)) == wanted
    part = made.environments[1]
    backwards = replace(made, environments={1: part.kept(torch.arange(len(part)).flip(0))})
    assert places(backwards.thinned(0.15)) != wanted
