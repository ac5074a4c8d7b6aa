"""Compiled kernels and plain torch give the same results everywhere."""

import sys
import warnings
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase.build import bulk
from losiko_kernels import radial_table
from small_database import NAMES, database, rattled, soap

from losiko_torch import (
    SOAP,
    EnvironmentDatabase,
    InputError,
    accelerators,
    relax,
    relax_iter,
)
from losiko_torch.accelerators import kernels_for
from losiko_torch.descriptors.evaluation import Plain, evaluation_of
from losiko_torch.descriptors.soap.compiled import CompiledSoap
from losiko_torch.loss import matching
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear, combine, distances_among
from losiko_torch.loss.targets.nearest import Nearest
from losiko_torch.relaxation import ahead
from losiko_torch.relaxation.queues import queues
from losiko_torch.search.warm_start import near_known_search
from losiko_torch.systems.active import ALL_ATOMS, ActiveAtoms
from losiko_torch.systems.batch import Batch

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
kernels = kernels_for(torch.device("cpu"))


def test_kernels_are_used():
    assert kernels is not None


PRECISIONS = [torch.float64, torch.float32]
#: Mode of ``torch.cdist`` without products of matrices, which lose digits.
DIRECT = "donot_use_mm_for_euclid_dist"
#: Largest error of numbers of order one.
ERROR = {torch.float64: 1e-10, torch.float32: 2e-5}


@pytest.fixture
def plainly(monkeypatch):
    """Function that turns compiled kernels off from then on."""
    return lambda: monkeypatch.setattr(accelerators, "_kernels", lambda device: None)


def crystal():
    atoms = bulk("NaCl", "rocksalt", a=5.6) * (2, 1, 1)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.05 * np.triu(np.ones((3, 3)))), scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def described(structures, **changes):
    parameters = {"r_cut": 3.0, "n_max": 5, "l_max": 4, "sigma": 0.4, **changes}
    species = sorted({symbol for atoms in structures for symbol in atoms.symbols})
    return SOAP(species=species, **parameters), Batch.from_atoms(structures)


def surroundings(descriptor, batch, active=ALL_ATOMS):
    return evaluation_of(descriptor, batch)(descriptor, batch, active)


def by_torch(descriptor, batch, active):
    """Surroundings by autograd, without kernels anywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerators, "_kernels", lambda device: None)
        return Plain(descriptor, batch, active)


MOLECULES = [rattled(name) for name in ("CH3CONH2", "H2O", "C6H6", "N2")]
CASES = {
    "molecules": (MOLECULES, {}),
    "smooth": (MOLECULES, {"smooth_width": 0.7}),
    "many functions": (MOLECULES, {"n_max": 9, "l_max": 7, "r_cut": 5.0}),
    "polynomial": (MOLECULES, {"rbf": "polynomial"}),
    "species weighed": (
        MOLECULES,
        {"compression": {"species_weighting": {"H": 0.3, "C": 1.5, "N": 2, "O": 1}}},
    ),
    "elements as one": (MOLECULES, {"compression": {"mode": "mu2"}}),
    "weighed by distance": (
        MOLECULES,
        {"weighting": {"function": "pow", "r0": 2, "c": 1, "d": 1, "m": 4, "w0": 0.5}},
    ),
    "crystals": ([crystal(), crystal()], {"periodic": True, "smooth_width": 0.5}),
    "crystals and molecules": ([crystal(), *MOLECULES], {"periodic": True, "smooth_width": 0.5}),
}


@pytest.mark.parametrize("centers", [None, [1, 4, 5, 7]], ids=["all", "some"])
@pytest.mark.parametrize("name", CASES)
def test_surroundings_are_those_of_autograd(name, centers):
    descriptor, batch = described(*CASES[name][:1], **CASES[name][1])
    active = ALL_ATOMS if centers is None else ActiveAtoms(torch.tensor(centers))
    plain = [by_torch(descriptor, batch, active) for _ in range(2)]
    ours = surroundings(descriptor, batch, active)
    assert isinstance(ours, CompiledSoap)
    p = plain[0].features()
    torch.testing.assert_close(ours.features(), p, rtol=0, atol=1e-11)
    some = torch.tensor([2, 0])
    torch.testing.assert_close(ours.features(some), p[some], rtol=0, atol=1e-11)

    generator = torch.Generator().manual_seed(0)
    slope = torch.randn(p.shape, generator=generator, dtype=p.dtype)
    for one, other in zip(ours.trace_back(slope), plain[0].trace_back(slope), strict=True):
        assert_near(one, other, batch)

    points = p + 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    torch.testing.assert_close(ours.distances(points), plain[1].distances(points))
    factor = torch.rand(len(p), generator=generator, dtype=p.dtype)
    traced = ours.trace_back_distances(factor), plain[1].trace_back_distances(factor)
    for one, other in zip(*traced, strict=True):
        assert_near(one, other, batch)


def assert_near(one, other, batch):
    """Assert that two evaluations agree; virials count only in periodic systems."""
    if one.ndim == 3:
        one, other = one[batch.pbc.any(1)], other[batch.pbc.any(1)]
    if one.numel():
        assert (one - other).abs().max() < 1e-9 * other.abs().max().clamp(min=1)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_broken_structure_stays_alone(broken):
    descriptor, batch = described(MOLECULES)
    spoiled = batch.copy()
    spoiled.positions[0, 0] = broken
    one, other = (surroundings(descriptor, each).features() for each in (batch, spoiled))
    others = batch.system_idx > 0
    assert torch.equal(one[others], other[others])


def test_threads_change_nothing():
    structures = [rattled(name, seed) for name in ("CH3CONH2", "C6H6") for seed in range(20)]
    descriptor, batch = described(structures)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            ours = surroundings(descriptor, batch)
            found.append([ours.features(), *ours.trace_back(ours.features().roll(1, 0))])
        finally:
            torch.set_num_threads(1)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


# --- references


def cloud(n=40, count=150, r=100, dtype=torch.float64, seed=0):
    """Queries and references near each other, unit vectors, with some references twice."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(r, generator=generator, dtype=torch.float64)

    def units(rows):
        spread = torch.randn(rows, r, generator=generator, dtype=torch.float64)
        return torch.nn.functional.normalize(center + 0.3 * spread, dim=1)

    references = units(count)
    references[count // 2 : count // 2 + 10] = references[:10]
    return units(n).to(dtype), references.to(dtype)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("k", [1, 5, 16, 17])
@pytest.mark.parametrize("even", [True, False], ids=["even", "weighed"])
def test_the_combination_is_that_of_plain_torch(dtype, k, even):
    p, references = cloud(dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    chosen = torch.stack([torch.randperm(150, generator=generator)[:k] for _ in p])
    rows = torch.randperm(60, generator=generator)[: len(p)]
    ridges = torch.full((1, 1), 1e-3, dtype=dtype)
    if not even:
        ridges = 1e-2 * (0.1 + torch.rand(chosen.shape, generator=generator)).to(dtype)
    room = torch.zeros(60, k + 2, k + 2, dtype=dtype)
    every = torch.ones_like(chosen, dtype=torch.bool)
    kernels.distances_among(references, chosen, every, room, rows)
    among = distances_among(references[chosen].double())
    torch.testing.assert_close(room[rows, :k, :k].double(), among, rtol=0, atol=ERROR[dtype])
    found = kernels.combine(p, references, chosen, room, rows, ridges)
    expected = combine(p.double(), references[chosen].double(), among, ridges.double())
    for one, other in zip(found, expected, strict=True):
        assert (one.double() - other).abs().max() < ERROR[dtype] * max(1, float(other.abs().max()))


def test_renewed_distances_are_those_made_anew():
    _, references = cloud()
    before = torch.arange(40 * 9).reshape(40, 9) % 150
    generator = torch.Generator().manual_seed(2)
    new = torch.rand(before.shape, generator=generator) < 0.3
    after = torch.where(new, (before + 71) % 150, before)
    room, anew = torch.zeros(2, 40, 9, 9, dtype=references.dtype)
    rows, every = torch.arange(40), torch.ones_like(new)
    kernels.distances_among(references, before, every, room, rows)
    kernels.distances_among(references, after, new, room, rows)
    kernels.distances_among(references, after, every, anew, rows)
    torch.testing.assert_close(room, anew, rtol=0, atol=1e-15)


@pytest.mark.parametrize("k", [1, 4, 30])
def test_places_are_kept_as_by_plain_torch(k, plainly):
    generator = torch.Generator().manual_seed(0)
    before, found = (
        torch.stack([torch.randperm(45, generator=generator)[:k] for _ in range(50)])
        for _ in range(2)
    )
    ours = matching.keep_places(before, found)
    plainly()
    plain = matching.keep_places(before, found)
    assert torch.equal(ours[0], plain[0])
    assert torch.equal(ours[1], plain[1])
    assert torch.equal(ours[0].sort(1).values, found.sort(1).values)
    assert torch.equal(ours[0][~ours[1]], before[~ours[1]])


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("k", [1, 7, 150])
@pytest.mark.parametrize("components", [10, 100])
def test_what_is_known_never_changes_the_answer(dtype, k, components):
    """Searches find the same from any known references, near or far, and with ties of copies."""
    p, references = cloud(dtype=dtype)
    p, references = p[:, :components].contiguous(), references[:, :components].float()
    squared = torch.cdist(p.double(), references.double(), compute_mode=DIRECT).square()
    expected = torch.stack(
        [row.sort(stable=True).indices[:k] for row in squared.round(decimals=14)]
    )
    search = near_known_search(references)
    farthest = squared.argsort(1, descending=True)[:, :k]
    for known in (expected, farthest, expected.roll(1, 0), None):
        distances, indices = search(p, k, known)
        assert torch.equal(indices, expected)
        torch.testing.assert_close(
            distances.double(), squared.gather(1, indices), rtol=0, atol=ERROR[dtype]
        )


@pytest.mark.parametrize("target", [Nearest(), LocallyLinear(8)], ids=["nearest", "linear"])
@pytest.mark.parametrize("weighed", [False, True])
def test_references_searched_again_are_those_of_a_new_search(target, weighed):
    made = database()
    if weighed:
        made = made.weighted(np.random.default_rng(0).uniform(0.2, 2, len(made.structures)))
    batch = Batch.from_atoms([rattled("CH3CONH2"), rattled("C6H6")])
    there = batch.with_positions(batch.positions + 0.05 * torch.randn(batch.positions.shape))
    objective = Objective(made, target)
    known = objective.search_at(batch).matching
    stale = torch.arange(batch.n_atoms) % 3 > 0
    untouched = known.copy()
    found = objective.evaluate(there, known, stale=stale)
    anew = objective.search_at(there).matching
    assert torch.equal(known.indices[stale].sort(1).values, anew.indices[stale].sort(1).values)
    assert torch.equal(known.indices[~stale], untouched.indices[~stale])
    everywhere = objective.evaluate(there, anew)
    torch.testing.assert_close(found.distances[stale], everywhere.distances[stale])


# --- as a whole


@pytest.mark.parametrize("options", [{"targets": "nearest"}, {"n_neighbors": 16}], ids=str)
def test_relaxed_structures_are_those_of_plain_torch(options, plainly):
    starts = [rattled(name, seed=5) for name in ("CH3CH2OH", "C4H4NH", "H2O")]
    options = {**options, "dtype": "float64", "fmax": 1e-3, "max_steps": 40}
    ours = relax(starts, EnvironmentDatabase.build(references(), soap()), **options)
    plainly()
    plain = relax(starts, EnvironmentDatabase.build(references(), soap()), **options)
    for one, other in zip(ours, plain, strict=True):
        assert one.n_steps == other.n_steps
        assert one.loss == pytest.approx(other.loss, rel=1e-6)
        np.testing.assert_allclose(one.atoms.positions, other.atoms.positions, atol=1e-6)


def references():
    return [rattled(name, width=0) for name in NAMES]


def test_kernels_that_fail_are_not_used(monkeypatch):
    class Broken:
        def __getattr__(self, name):
            raise OSError("no such compiler")

    monkeypatch.setitem(sys.modules, "losiko_kernels.cpu", Broken())
    monkeypatch.setattr(accelerators, "import_module", lambda name: Broken())
    with pytest.warns(UserWarning, match="kernels for cpu cannot be used .OSError: .*no such comp"):
        assert accelerators._kernels.__wrapped__("cpu") is None


def test_kernels_are_loaded_where_they_pay(monkeypatch):
    asked = []
    monkeypatch.setattr(accelerators, "MANY_ATOMS", 100)
    monkeypatch.setattr(accelerators, "_loaded", set())
    monkeypatch.setattr(accelerators, "_kernels", lambda device: asked.append(device) or kernels)
    cpu = torch.device("cpu")
    accelerators.expect_atoms(cpu, 99)
    assert not accelerators.kernels_pay(cpu)
    assert asked == []
    accelerators.expect_atoms(cpu, 100)
    assert asked == ["cpu"]
    assert accelerators.kernels_pay(torch.device("cuda"))
    accelerators._loaded.add("cpu")
    assert accelerators.kernels_pay(cpu)


def test_devices_without_kernels_use_torch():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kernels_for(torch.device("meta")) is None


def test_what_stops_compiling_ahead_stops_nothing_else(monkeypatch, caplog):
    monkeypatch.setattr(ahead, "kernels_for", lambda device: SimpleNamespace())
    evaluator = SimpleNamespace(device=torch.device("cuda"))
    ahead.compile_ahead(evaluator, None, [3])
    assert "kernels are compiled one by one" in caplog.text


# --- batches and streams


def queued(numbers, room):
    """Return the queues of structures of these atomic numbers."""
    every = np.concatenate([np.empty(0, int), *numbers])
    made = queues(every, np.array([len(own) for own in numbers], int), room)
    return [places.tolist() for places in made]


def test_queues_are_of_the_same_elements_where_that_pays():
    generator = np.random.default_rng(0)
    kinds = [[1, 6], [1, 6, 8], [1, 6, 7, 8]]
    numbers = [generator.permutation(kinds[k] * 3) for k in generator.integers(0, 3, 200)]
    numbers += [np.array([1, 9])] * 3
    made = queued(numbers, 100)
    assert sorted(place for queue in made for place in queue) == list(range(203))
    assert len(made) == 4
    assert all(len({frozenset(numbers[place]) for place in queue}) == 1 for queue in made)
    few = queued(numbers[:5] + numbers[-3:], 100)
    assert sorted(place for queue in few for place in queue) == list(range(8))
    assert len(few) == 1
    assert queued([np.ones(500, int)], 100) == [[0]]
    assert queued([], 100) == []


def test_queues_of_different_elements_fit_at_once():
    numbers = [np.array([1, kind] * 5) for kind in range(2, 32)]
    made = queued(numbers, 100)
    assert [place for queue in made for place in queue] == list(range(30))
    assert [len(queue) for queue in made] == [10, 10, 10]


def test_a_stream_gives_what_relax_gives():
    structures = [
        rattled(name, seed) for name in ("H2O", "CH4", "N2", "CH3OH") for seed in range(3)
    ]
    structures[4].positions[0] = np.nan
    options = {"targets": "nearest", "batch_atoms": 8, "n_starts": 2, "seed": 1}
    options |= {"max_steps": 12}
    read = []

    def reading():
        for number, atoms in enumerate(structures):
            read.append(number)
            yield atoms

    stream = relax_iter(reading(), database(), **options)
    assert read == []
    first = next(stream)
    assert len(read) < len(structures)
    streamed = [first, *stream]
    for one, other in zip(streamed, relax(structures, database(), **options), strict=True):
        assert one.reason == other.reason
        np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)
    assert streamed[4].failed


def test_a_stream_refuses_at_once():
    with pytest.raises(TypeError, match="speed"):
        relax_iter([], database(), speed=3)
    with pytest.raises(ValueError, match="fmax"):
        relax_iter([], database(), fmax=-1)


# --- at the edges


@pytest.mark.parametrize("sigma", [0.1, 0.3])
def test_functions_too_narrow_for_a_table_are_left_to_autograd(sigma, monkeypatch):
    """Radial functions too narrow for a table go to autograd; for others the table is as good."""
    # The finest table is coarser here: its functions are costly, and sigma may be as much wider.
    monkeypatch.setattr(radial_table, "MOST", 512)
    made = {"rbf": "polynomial", "r_cut": 5.0, "sigma": sigma, "n_max": 6, "l_max": 3}
    descriptor, batch = described([rattled("H2O")], **made)
    ours = surroundings(descriptor, batch)
    assert isinstance(ours, Plain) == (sigma == 0.1)
    plain = by_torch(descriptor, batch, ALL_ATOMS).features()
    torch.testing.assert_close(ours.features(), plain, rtol=0, atol=1e-9)


def test_a_restriction_of_a_restriction_is_one():
    """Restricting twice equals restricting once, also before weights or fewer structures."""
    atoms, whole = rattled("H2O"), database()
    batch = Batch.from_atoms(atoms)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(whole.structures))
    for change in (
        lambda made: made,
        lambda made: made.weighted(weights),
        lambda made: made.without([NAMES.index("H2O")]),
        lambda made: made.restricted([1, 8]),
    ):
        expected = Objective(change(whole), Nearest()).evaluate(batch)
        found = Objective(change(whole.restricted([1, 6, 8])), Nearest()).evaluate(batch)
        assert float(expected.loss) > 0.01
        torch.testing.assert_close(found.loss, expected.loss)
        torch.testing.assert_close(found.gradient, expected.gradient)


def test_a_restricted_database_is_not_saved(tmp_path):
    with pytest.raises(InputError, match="restricted database cannot be saved"):
        database().restricted([1, 8]).save(tmp_path / "some.losiko")


def test_queries_that_are_not_finite_have_some_references():
    p, references = cloud()
    p[3] = torch.nan
    known = torch.arange(5).repeat(len(p), 1)
    for given in (known, None):
        _, indices = near_known_search(references.float())(p, 5, given)
        assert ((indices >= 0) & (indices < len(references))).all()
    _, indices = kernels.nearest_of(p, references, known, 3)
    assert ((indices >= 0) & (indices < 5)).all()


def test_repeated_references_do_no_harm():
    before, found = torch.tensor([[1, 1, 2], [-1, -1, -1]]), torch.tensor([[1, 3, 4], [-1, 3, 4]])
    arranged, _ = kernels.keep_places(before, found)
    assert set(arranged.flatten().tolist()) <= {-1, 1, 2, 3, 4}


def test_many_equal_references_are_taken_by_index():
    p, references = cloud(n=2, count=20)
    same = references[:1].repeat(3000, 1)
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    _, indices = kernels.nearest_of(p, same, order, 7)
    assert indices.tolist() == [list(range(7))] * 2
