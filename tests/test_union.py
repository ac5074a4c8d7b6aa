"""Unions: as if all structures had been described together, and refused where that is not so."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from small_database import NAMES, PARAMETERS, database, rattled, soap

from losiko_torch import ACSF, SOAP, EnvironmentDatabase, InputError, score
from losiko_torch.database.curate import union
from losiko_torch.database.curate.union import united

MOLECULES = [rattled(name, seed) for seed, name in enumerate(NAMES[:24])]


def build(structures, descriptor=None, **options):
    return EnvironmentDatabase.build(structures, descriptor or soap(), **options)


def changed(**changes):
    return SOAP(**{**PARAMETERS, **changes})


def full(made, number):
    part = made.environments[number]
    return part.vectors.double() @ part.basis.double().T


def gram(made, number):
    vectors = made.environments[number].vectors.double()
    return vectors @ vectors.T


def places(made):
    return {
        number: list(zip(part.structure.tolist(), part.atom.tolist(), strict=True))
        for number, part in made.environments.items()
    }


def distances(queries, made, number):
    """|p - z|^2 of unit descriptors (n, F) to all references of an element, (n, N), float64."""
    part = made.environments[number]
    components, rest = part.project(queries)
    return (components[:, None] - part.vectors.double()).square().sum(2) + rest[:, None]


def test_the_union_of_parts_is_the_database_of_all():
    whole = build(MOLECULES, components=None)
    parts = [build(MOLECULES[:9]), build(MOLECULES[9:10]), build(MOLECULES[10:])]
    made = united(parts, None)
    assert made.structures == whole.structures
    assert places(made) == places(whole)
    for number in whole.environments:
        # In single precision, unit vectors of other batches differ by 2.5e-6 in length, each.
        torch.testing.assert_close(gram(made, number), gram(whole, number), rtol=0, atol=5e-6)
        torch.testing.assert_close(full(made, number), full(whole, number), rtol=0, atol=5e-6)
        basis = made.environments[number].basis.double()
        torch.testing.assert_close(
            basis.T @ basis, torch.eye(basis.shape[1]).double(), rtol=0, atol=1e-6
        )
    again = parts[0].union(*parts[1:], components=None)
    assert all(torch.equal(full(made, z), full(again, z)) for z in made.environments)


def test_distances_stay_what_they_were():
    """Distances of a union are those of its parts, also if these keep few components."""
    parts = [build(MOLECULES[:12], components=20), build(MOLECULES[12:], components=15)]
    made = united(parts, None)
    queries = torch.as_tensor(soap().create(rattled("CH3CONH2", 99)))
    queries = queries / queries.norm(dim=1, keepdim=True)
    for number in (1, 6, 8):
        before = torch.cat([distances(queries, part, number) for part in parts], 1)
        torch.testing.assert_close(distances(queries, made, number), before, rtol=0, atol=2e-6)


def test_what_has_the_same_basis_keeps_every_bit():
    whole = build(MOLECULES)
    made = united([whole.without(range(12, 24)), whole.without(range(12))])
    for number, part in whole.environments.items():
        assert torch.equal(made.environments[number].basis, part.basis)
        order = np.argsort(part.structure.numpy() >= 12, kind="stable")
        assert torch.equal(made.environments[number].vectors, part.vectors[order])
    one = united([whole])
    assert all(
        torch.equal(one.environments[z].vectors, whole.environments[z].vectors)
        for z in one.environments
    )


def test_fewer_components_are_the_best_ones():
    parts = [build(MOLECULES[:12]), build(MOLECULES[12:])]
    whole = united(parts, None)
    lost = []
    for components in (5, 20, 60):
        made = united(parts, components)
        part = made.environments[1]
        assert part.vectors.shape == (len(whole.environments[1]), components)
        assert part.basis.shape == (made.n_features, components)
        left = (full(made, 1) - full(whole, 1)).square().sum()
        singular = torch.linalg.svdvals(full(whole, 1))
        torch.testing.assert_close(left, singular[components:].square().sum(), rtol=1e-3, atol=1e-6)
        lost.append(float(left))
    assert lost[0] > 2 * lost[1] > 4 * lost[2]


def test_a_rare_reference_is_not_lost(monkeypatch):
    """A rare reference off the span of 1,000 others is kept, as in a database built at once."""
    scale = 0.9 ** torch.arange(41)
    scale[-1] = 0
    vectors = torch.randn(1000, 41, generator=torch.Generator().manual_seed(0)) * scale
    vectors /= vectors.norm(dim=1, keepdim=True)
    rare, eye = torch.eye(41)[-1:], torch.eye(41)
    parts = [vectors[:300], rare, vectors[300:]], [eye, eye, eye.flip(1)]
    parts[0][2] = parts[0][2].flip(1)
    found, _ = union._in_one_basis(*parts, 20)
    assert found[300].norm() < 0.5
    monkeypatch.setattr(union, "SAMPLE", 30)
    monkeypatch.setattr(union, "AT_ONCE", 70)
    found, basis = union._in_one_basis(*parts, 20)
    assert basis.shape == (41, 20)
    assert found[300].norm() > 0.95
    whole = torch.cat([vectors[:300], rare, vectors[300:]])
    torch.testing.assert_close(found, whole @ basis, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["off", "mu2", "mu1nu1", "crossover"])
@pytest.mark.parametrize("weighted", [False, True])
def test_elements_of_the_descriptors_are_united(mode, weighted):
    """Descriptors of other elements are united: oxygen lies between the others, or at the end."""
    counts = {"H": 1.0, "C": 2.0, "N": 3.0, "O": 4.0, "Cl": 5.0}

    def descriptor(species):
        own = {symbol: counts[symbol] for symbol in species} if weighted else None
        return changed(species=species, compression={"mode": mode, "species_weighting": own})

    groups = [["H", "C", "O"], ["H", "O", "Cl"], ["N", "H"]]
    structures = [["CH3OH", "CO2"], ["HOCl", "H2O"], ["NH3", "N2H4"]]
    parts = [
        build([rattled(name) for name in names], descriptor(species))
        for names, species in zip(structures, groups, strict=True)
    ]
    made = united(parts, None)
    everything = [rattled(name) for names in structures for name in names]
    whole = build(everything, descriptor(["H", "C", "N", "O", "Cl"]), components=None)
    assert made.descriptor.parameters_dict() == whole.descriptor.parameters_dict()
    assert places(made) == places(whole)
    for number in whole.environments:
        torch.testing.assert_close(full(made, number), full(whole, number), rtol=0, atol=2e-6)
    ours, theirs = (score(rattled("CH3OH", 5), each)[0] for each in (made, whole))
    np.testing.assert_allclose(ours.distances, theirs.distances, atol=1e-5)


def test_weights_are_kept():
    light = build(MOLECULES[:3]).weighted([0.5, 1.0, 0.0])
    made = united([light, build(MOLECULES[3:6])])
    for part in made.environments.values():
        wanted = [[0.5, 1.0, 0.0, 1.0, 1.0, 1.0][k] for k in part.structure.tolist()]
        assert (torch.ones(len(part)) if part.weight is None else part.weight).tolist() == wanted
        assert (part.weight is None) == (set(wanted) == {1.0})
    plain = united([build(MOLECULES[:3]), build(MOLECULES[3:6])])
    assert all(part.weight is None for part in plain.environments.values())


def test_other_descriptors_unite_too():
    acsf = ACSF(r_cut=4.0, g2_params=[[4, 1], [4, 2]], species=["H", "O"])
    made = united([build(molecule("H2O"), acsf), build(molecule("H2O2"), acsf)])
    assert len(made) == 7

    class Scaled(torch.nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.functions, self.factor = acsf, factor

        def forward(self, batch):
            return self.functions(batch) ** self.factor

    water = build(molecule("H2O"), Scaled(1.0))
    assert len(united([water, build(molecule("H2O2"), Scaled(1.0))])) == 7
    with pytest.raises(InputError, match=r"different descriptors: .*describes atoms differently"):
        united([water, build(molecule("H2O2"), Scaled(2.0))])


# Provenance


def test_sources_and_licences_are_told(tmp_path):
    notes = [
        {"title": "one", "licence": "CC0", "level_of_theory": "B3LYP"},
        {"title": "two", "licence": "CC BY 4.0", "where": ["a<1"]},
        {"level_of_theory": "B3LYP"},
    ]
    parts = [build(MOLECULES[k], metadata=note) for k, note in enumerate(notes)]
    made = united([united([parts[0].thinned(0.2), parts[1]]), parts[2]])
    assert made.metadata["title"] == "one + two + database 2"
    assert made.metadata["licence"] == "CC0 (one); CC BY 4.0 (two); not given (database 2)"
    assert made.metadata["level_of_theory"] == ("B3LYP (one); not given (two); B3LYP (database 2)")
    sources = made.metadata["made_from"]
    assert [source["title"] for source in sources] == ["one", "two", "database 2"]
    assert [source["structures"] for source in sources] == [1, 1, 1]
    assert [source["environments"] for source in sources] == [
        len(parts[0].thinned(0.2)),
        len(parts[1]),
        len(parts[2]),
    ]
    assert sources[1]["where"] == ["a<1"]
    thin, first, second = made.metadata["curation"]
    assert thin.startswith("one + two: one: thinned to a separation of 0.2")
    assert first.startswith("one + two: 2 databases united")
    assert second.startswith("2 databases united")
    assert second.endswith(f"= {len(made)} environments")
    same = united([parts[0], build(MOLECULES[4], metadata=notes[0])])
    assert same.metadata["licence"] == "CC0"
    assert same.metadata["title"] == "one"
    assert "licence" not in united([parts[2], parts[2]]).metadata
    made.save(tmp_path / "made.losiko")
    assert EnvironmentDatabase.load(tmp_path / "made.losiko").metadata == made.metadata


def test_what_was_skipped_stays_told():
    made = united([build([molecule("SiH4"), molecule("H2O")]), build([molecule("H2O"), bulk("C")])])
    assert [text.split(":")[0] for text in made.skipped] == ["structure 0", "structure 1"]


# Bad input


def test_different_descriptors_are_refused():
    one = build(molecule("H2O"), metadata={"title": "water"})
    for other, sentence in [
        (database(sigma=0.5), "water and database 2 .*: sigma is 0.3 in one and 0.5 in the other"),
        (database(r_cut=3.5), "r_cut is 3.0 in one and 3.5"),
        (database(smooth_width=0.5, sigma=0.4), "sigma is 0.3"),
        (build(molecule("H2O"), soap(periodic=True)), "periodic is False"),
        (build(molecule("H2O"), changed(compression={"mode": "mu2"})), "compression is"),
        (
            build(molecule("H2O"), ACSF(r_cut=4.0, g2_params=[[4, 1]], species=["H", "O"])),
            "SOAP and ACSF",
        ),
    ]:
        with pytest.raises(InputError, match=sentence):
            united([one, other])


def test_elements_that_cannot_be_united_are_refused():
    pair = [
        build(molecule(name), ACSF(r_cut=4.0, g2_params=[[4, 1]], species=species))
        for name, species in (("H2O", ["H", "O"]), ("NH3", ["H", "N"]))
    ]
    with pytest.raises(InputError, match=r"\(H O and H N\).*build both with the same species"):
        united(pair)
    weighed = [
        build(
            molecule("H2O"),
            changed(
                species=["H", "O"],
                compression={"mode": "mu2", "species_weighting": {"H": hydrogen, "O": 8}},
            ),
        )
        for hydrogen in (1, 2)
    ]
    with pytest.raises(InputError, match="species_weighting of H is 1 in one and 2 in another"):
        united(weighed)


def test_unusable_calls_are_refused():
    made = build(molecule("H2O"))
    for call, sentence in [
        (lambda: united([]), "at least one database"),
        (lambda: united([made, made], 0), "components must be an integer from 1 on"),
        (lambda: united([made, made.restricted([1])]), "a restricted database cannot be curated"),
    ]:
        with pytest.raises(InputError, match=sentence):
            call()
