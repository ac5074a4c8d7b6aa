"""Weights of references: the search stays exact, and the losses follow their definition."""

import re

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.fd import calculate_numerical_forces
from safetensors import safe_open
from safetensors.torch import save_file
from small_database import NAMES, database, rattled, soap
from test_calculator import crystalline, crystals, relative_error  # noqa: F401
from test_exact_search import scattered, unit, with_duplicates, with_near_duplicates
from test_targets import problem, values

from losiko_torch import EnvironmentDatabase, InputError, LosikoCalculator, relax, score
from losiko_torch.cli import main
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.report.environment_map import environment_map
from losiko_torch.search import exact as index
from losiko_torch.search import weighted as weighted_index
from losiko_torch.search.weighted import weighted_search
from losiko_torch.systems.atom_weights import WEIGHT
from losiko_torch.systems.batch import Batch

# --- the search


def even():
    return torch.ones(300)


def spread():
    """Weights of references over twelve orders of magnitude."""
    generator = torch.Generator().manual_seed(0)
    return 10 ** (12 * torch.rand(300, generator=generator) - 6)


def few():
    """Weights of references of two values, and many zeros."""
    generator = torch.Generator().manual_seed(1)
    return torch.tensor([0.0, 1.0, 2.0])[torch.randint(3, (300,), generator=generator)]


def brute_force(queries, rest, references, weight, k):
    difference = queries.double()[:, None] - references.double()[None]
    distances = difference.square().sum(2) + rest.double()[:, None]
    weighted = torch.where(weight > 0, distances / weight.double(), torch.inf)
    order = weighted.sort(dim=1, stable=True)[1][:, :k]
    return distances.gather(1, order), order


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weights", [even, spread, few])
@pytest.mark.parametrize("make", [scattered, with_duplicates, with_near_duplicates])
def test_equals_brute_force(make, weights, dtype):
    references, weight = make(), weights()
    near = references[:40].double() + 1e-3 * unit(40, 4)
    queries = torch.cat([unit(40, 5), near, references[100:140].double()])
    # Components of descriptors are shorter than 1: the rest then matters for the choice.
    queries[::2] *= 0.9
    rest = (1 - queries.square().sum(1)).clamp(min=0).to(dtype)
    queries = queries.to(dtype)
    search = weighted_search(references, weight)
    usable = int((weight > 0).sum())
    for k in (1, 2, 16, 17, 59, usable - 17, usable - 16, usable - 15, usable):
        distances, indices = search(queries, rest, k)
        wanted, order = brute_force(queries, rest, references, weight, k)
        assert distances.dtype == dtype
        assert torch.equal(indices, order)
        torch.testing.assert_close(distances, wanted.to(dtype), rtol=1e-6, atol=1e-15)


def test_the_rest_decides_between_light_and_heavy():
    references = torch.eye(2)
    search = weighted_search(references, torch.tensor([1.0, 2.0]))
    queries = torch.tensor([[0.6, 0.4], [0.6, 0.4]])
    _, indices = search(queries, torch.tensor([0.0, 0.5]), 1)
    # 0.32 against 0.72/2; then 0.82 against 1.22/2.
    assert indices.tolist() == [[0], [1]]


def test_ties_go_to_the_lowest_index():
    references = unit(1, 0).float().expand(200, -1).contiguous()
    search = weighted_search(references, torch.full((200,), 3.0))
    _, indices = search(references[:3], torch.zeros(3), 5)
    assert indices.tolist() == [[0, 1, 2, 3, 4]] * 3


def test_weights_so_small_that_float32_overflows():
    references = scattered()
    weight = torch.full((300,), 1e-42)
    weight[7] = 1e30
    queries, rest = unit(20, 6), torch.zeros(20, dtype=torch.float64)
    _, indices = weighted_search(references, weight)(queries, rest, 5)
    assert torch.equal(indices, brute_force(queries, rest, references, weight, 5)[1])


def test_a_proven_answer_is_not_searched_again(monkeypatch):
    """A proven answer needs no conversion of vectors to float64, which this block size forbids."""
    monkeypatch.setattr(weighted_index, "BLOCK", None)
    search = weighted_search(scattered(), 1 + few())
    search(unit(20, 6), torch.zeros(20, dtype=torch.float64), 5)
    search = weighted_search(with_duplicates(), even())
    with pytest.raises(TypeError):
        search(unit(20, 6), torch.zeros(20, dtype=torch.float64), 5)


def test_blocks_of_any_size_give_the_same(monkeypatch):
    references, queries, weight = with_near_duplicates(), unit(30, 7), spread()
    rest = torch.zeros(30, dtype=torch.float64)
    wanted = weighted_search(references, weight)(queries, rest, 20)
    monkeypatch.setattr(index, "BLOCK_BYTES", 1)
    monkeypatch.setattr(index, "MATRIX_ENTRIES", 700)
    monkeypatch.setattr(weighted_index, "BLOCK", 11)
    found = weighted_search(references, weight)(queries, rest, 20)
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])


def test_more_than_have_a_weight_is_refused():
    with pytest.raises(ValueError, match="301 references wanted, but only 300"):
        weighted_search(scattered(), even())(unit(1, 0), torch.zeros(1), 301)


# --- the targets


def minimum(p, z, inverse, reg):
    """Minimum of the target's definition by its Karush-Kuhn-Tucker equations."""
    k = len(z)
    ridge = reg / k * ((z - p) ** 2).sum()
    system = np.zeros((k + 1, k + 1))
    system[:k, :k] = 2 * z @ z.T + 2 * ridge * np.diag(inverse)
    system[k, :k] = system[:k, k] = 1
    w = np.linalg.solve(system, np.append(2 * z @ p, 1.0))[:k]
    return ((p - w @ z) ** 2).sum() + ridge * (inverse * w**2).sum(), w


@pytest.mark.parametrize("k", [1, 2, 5, 30])
@pytest.mark.parametrize("reg", [1e-3, 0.1])
def test_locally_linear_is_the_minimum_of_its_definition(k, reg):
    p, references, indices = problem(k=k)
    weight = 0.1 + 3 * torch.rand(len(references), dtype=p.dtype)
    found = values(LocallyLinear(k, reg), p, references, indices, weight)
    inverse = 1 / weight[indices]
    for row in range(len(p)):
        loss, weights = minimum(
            p[row].numpy(), references[indices[row]].numpy(), inverse[row].numpy(), reg
        )
        assert float(found.loss[row]) == pytest.approx(loss, rel=1e-8)
        np.testing.assert_allclose(found.weights[row].numpy(), weights, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("target", [LocallyLinear(5), LocallyLinear(30, 0.3)])
def test_weights_of_one_change_nothing(target):
    p, references, indices = problem(k=target.n_neighbors)
    plain = values(target, p, references, indices)
    found = values(target, p, references, indices, torch.ones(len(references)))
    for one, other in zip(plain, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("target", [LocallyLinear(5), LocallyLinear(5, 0.3), LocallyLinear(30)])
def test_gradient_is_the_derivative(target):
    p, references, indices = problem(k=target.n_neighbors)
    weight = 0.1 + 3 * torch.rand(len(references), dtype=p.dtype)

    def at(p):
        return values(target, p, references, indices, weight)

    found, step = at(p), 1e-5
    way = torch.randn_like(p)
    slope = (at(p + step * way).loss - at(p - step * way).loss) / (2 * step)
    torch.testing.assert_close((found.slope * way).sum(1), slope, rtol=1e-6, atol=1e-8)


def test_a_heavier_reference_enters_more_strongly():
    """A heavier reference has a larger share by size; an affine share may be negative."""
    p, references, indices = problem(k=8)
    target, even = LocallyLinear(8, 0.1), torch.ones(len(references), dtype=p.dtype)
    for atom in range(len(p)):
        weight = even.clone()
        weight[indices[atom, 3]] = 1e3
        before, after = (
            values(target, p[atom, None], references, indices[atom, None], each)
            for each in (even, weight)
        )
        assert after.weights[0, 3].abs() > before.weights[0, 3].abs()
        assert after.weights[0, 3] * before.weights[0, 3] > 0
        assert after.loss <= before.loss


# --- databases


def some():
    return np.random.default_rng(0).uniform(0.2, 5, len(NAMES))


def nearest_by_hand(atoms, made):
    """Loss min_k |p - z_k|^2 / g_k of each atom, from descriptors and lifted references."""
    features = made.descriptor.create(atoms)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    losses = []
    for p, number in zip(features, atoms.numbers.tolist(), strict=True):
        part = made.references_of(number)
        z = (part.vectors.double() @ part.basis.double().T).numpy()
        weight = np.ones(len(part)) if part.weight is None else part.weight.double().numpy()
        with np.errstate(divide="ignore"):
            losses.append((((z - p) ** 2).sum(1) / weight).min())
    return np.array(losses)


def test_nearest_is_the_lower_envelope():
    for weights in (some(), np.arange(len(NAMES)) % 3):
        made = database().weighted(weights)
        atoms = rattled("CH3CONH2")
        (found,) = score(atoms, made, targets="nearest", dtype="float64")
        np.testing.assert_allclose(found.distances, nearest_by_hand(atoms, made), rtol=1e-5)
        taken = np.asarray(weights)[found.matches.structure[:, 0]]
        np.testing.assert_allclose(found.distances * taken, found.matches.distance[:, 0], rtol=1e-5)


def test_the_lower_envelope_has_no_jumps():
    """Finer steps along a line past different nearest references have smaller jumps of the loss."""
    made = database().weighted(some())
    first, second = rattled("CH3CH2OH", 1), rattled("CH3CH2OH", 2)

    def jumps(n):
        line = []
        for mix in np.linspace(0, 1, n):
            atoms = first.copy()
            atoms.positions = (1 - mix) * first.positions + mix * second.positions
            line.append(atoms)
        found = score(line, made, targets="nearest", dtype="float64")
        used = {tuple(one.matches.structure[:, 0]) for one in found}
        return np.abs(np.diff([one.loss for one in found])).max(), used

    (coarse, _), (fine, used) = jumps(40), jumps(400)
    assert len(used) > 2
    assert fine < coarse / 5


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
@pytest.mark.parametrize("degree", [1, 3])
def test_forces(targets, degree):
    made = database(smooth_width=0.5).weighted(some())
    atoms = rattled("CH3CH2OH")
    atoms.calc = LosikoCalculator(made, targets=targets, degree=degree, weights={"H": 0.5})
    expected = calculate_numerical_forces(atoms, eps=1e-4)
    assert relative_error(atoms.get_forces(), expected) < 1e-6


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
def test_gradient_with_references_lossy_in_their_components(targets):
    """Gradients are exact where components lose much: the rest is large, and is weighted too."""
    made = EnvironmentDatabase.build([rattled(name) for name in NAMES], soap(), components=10)
    made = made.weighted(some())
    atoms = rattled("CH3CH2OH", 5)
    atoms.calc = LosikoCalculator(made, targets=targets, n_neighbors=None)
    expected = calculate_numerical_forces(atoms, eps=1e-4)
    assert relative_error(atoms.get_forces(), expected) < 1e-6


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
@pytest.mark.parametrize("ones", [1, 1.0, 1e-8 + 1])
def test_weights_of_one_are_no_weights(targets, ones):
    made = database().weighted([ones] * len(NAMES))
    assert all(part.weight is None for part in made.environments.values())
    options = {"targets": targets, "dtype": "float64"}
    (one,), (other,) = (relax(rattled("CH3OH"), d, **options) for d in (made, database()))
    np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)


def test_weights_alike_are_a_factor_of_the_nearest_loss():
    made = database().weighted(lambda record: 4)
    for one, other in zip(
        score([rattled("CH3OH")], made, targets="nearest", dtype="float64"),
        score([rattled("CH3OH")], database(), targets="nearest", dtype="float64"),
        strict=True,
    ):
        np.testing.assert_allclose(4 * one.distances, other.distances, rtol=1e-9)
        np.testing.assert_array_equal(one.matches.structure, other.matches.structure)


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
def test_weight_zero_is_as_if_it_had_never_been_there(targets):
    gone = {NAMES.index(name) for name in ("CH3OH", "CH3CH2OH", "C6H6")}
    made = database().weighted([0 if k in gone else 1 for k in range(len(NAMES))])
    rest = database().without(gone)
    options = {"targets": targets, "dtype": "float64"}
    for atoms in (rattled("CH3CH2OH"), rattled("C6H6")):
        (one,), (other,) = (score(atoms, each, **options) for each in (made, rest))
        np.testing.assert_allclose(one.distances, other.distances, rtol=1e-9)
        np.testing.assert_array_equal(one.matches.structure, other.matches.structure)


def test_fewer_references_with_a_weight_than_neighbors():
    only = NAMES.index("H2O")
    made = database().weighted(lambda record: record["formula"] == "H2O")
    (found,) = relax(rattled("H2O"), made, n_neighbors=5)
    assert found.loss < found.start_loss
    assert found.matches.structure.max() == only
    assert (found.matches.structure >= 0).sum(1).tolist() == [1, 2, 2]
    np.testing.assert_allclose(found.matches.weight.sum(1), 1, rtol=1e-5)


def test_an_element_without_weight_is_not_there():
    made = database().weighted(lambda record: "N" not in record["formula"])
    (found,) = relax(molecule("NH3"), made)
    assert found.reason == "failed: the database has no environment of N (it has H, C, O)"
    assert relax(molecule("CH4"), made, max_steps=2)[0].reason != "failed"


def test_a_heavy_reference_draws_atoms_to_itself():
    """Halfway between two waters the loss leads to the heavier one."""
    narrow, wide = molecule("H2O"), molecule("H2O")
    wide.set_angle(1, 0, 2, 130, indices=[2])
    middle = molecule("H2O")
    middle.set_angle(1, 0, 2, 117, indices=[2])
    made = EnvironmentDatabase.build([narrow, wide], soap())
    angles = []
    for weights in ([10, 0.1], [0.1, 10]):
        (found,) = relax(middle, made.weighted(weights), targets="nearest", fmax=1e-3)
        angles.append(found.atoms.get_angle(1, 0, 2))
    assert angles[0] < 105 < 128 < angles[1]


def test_crystals_relax_against_weighted_references(crystalline):  # noqa: F811
    made = crystalline.weighted([2, 1, 0.5, 0, 1])
    atoms = crystals()["Si"] * (2, 1, 1)
    atoms.set_cell(atoms.cell * 1.02, scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    (found,) = relax(atoms, made, cell=True, targets="nearest", dtype="float64", fmax=1e-4)
    assert found.converged
    assert found.loss < 1e-3 * found.start_loss


# --- where weights come from, and where they go


def test_keys_sequences_and_functions_say_the_same():
    molecules = [molecule(name) for name in NAMES[:6]]
    given = [0.5, 2, 1, 0, 7, 1]
    for place, (atoms, weight) in enumerate(zip(molecules, given, strict=True)):
        atoms.info["place"] = place
        if weight != 1:
            atoms.info["g"] = np.float64(weight)
    made = EnvironmentDatabase.build(molecules, soap())
    found = [
        made.weighted("g"),
        made.weighted(given),
        made.weighted(np.array(given)),
        made.weighted(torch.tensor(given)),
        made.weighted(lambda record: given[record["place"]]),
        made.weighted([3] * 6).weighted(given),
    ]
    for number, part in made.environments.items():
        wanted = torch.tensor(given)[part.structure.long()]
        for each in found:
            own = each.environments[number]
            assert own.vectors is part.vectors
            assert own.weight is None if (wanted == 1).all() else torch.equal(own.weight, wanted)
    back = found[0].weighted(None)
    assert all(part.weight is None for part in back.environments.values())
    assert all(part.weight is None for part in made.environments.values())


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([1, 2], "2 weights for the 40 structures of the database"),
        ([-1] + [1] * 39, "the weight of the database's structure 0 must be a number .* not -1"),
        ([1] * 39 + [np.nan], "structure 39 must be a number from 0 on, not nan"),
        ([0] * 40, "all references have weight 0"),
        ([1e-60] * 40, "all references have weight 0"),
        ([1e60] * 40, "too large"),
        (np.ones((40, 2)), "structure 0 must be a number"),
        ("energy", r"no structure of the database tells its 'energy' \(they tell formula"),
        ("formula", "'formula' of the database's structure 0 must be a number from 0 on, not CH4"),
        (lambda record: None, "the weight of .* not None"),
        (3, "weights of references are of type int"),
        ({"CH4": 1}, "weights of references are of type dict"),
    ],
)
def test_other_weights_are_refused(weights, sentence):
    with pytest.raises(InputError, match=sentence):
        database().weighted(weights)


def test_arrays_of_structures_weigh_their_environments(tmp_path):
    water, ammonia, methane = molecule("H2O"), molecule("NH3"), molecule("CH4")
    water.arrays[WEIGHT] = np.array([2.0, 1.0, 0.25])
    ammonia.arrays[WEIGHT] = np.array([1, 1, 1, 3])
    bad = molecule("CH3OH")
    bad.arrays[WEIGHT] = -np.ones(6)
    path = tmp_path / "in.extxyz"
    ase.io.write(path, [methane, bad, water, ammonia])
    made = EnvironmentDatabase.build(ase.io.read(path, ":"), soap())
    assert "holds -1.0 for atom 0" in made.skipped[0]
    assert made.environments[8].weight.tolist() == [2]
    assert made.environments[1].weight.tolist() == [1] * 4 + [1, 0.25] + [1, 1, 3]
    assert made.environments[6].weight is made.environments[7].weight is None
    # Later weights replace earlier ones.
    assert made.weighted([5, 1, 1]).environments[1].weight.tolist() == [5] * 4 + [1] * 5
    for atoms in (water, ammonia):
        atoms.arrays[WEIGHT] = np.zeros(len(atoms))
    with pytest.raises(InputError, match="all references have weight 0"):
        EnvironmentDatabase.build([water, ammonia], soap())


@pytest.fixture
def weighted_file(tmp_path):
    path = tmp_path / "db.losiko"
    made = EnvironmentDatabase.build([molecule("H2O"), molecule("CH4")], soap(n_max=3, l_max=2))
    made.weighted([2.0, 1.0]).save(path)
    return path


def test_weights_are_kept_by_everything(weighted_file):
    made = EnvironmentDatabase.load(weighted_file)
    wanted = [2.0] * 2 + [1.0] * 4
    assert made.environments[1].weight.tolist() == wanted
    assert made.environments[8].weight.tolist() == [2]
    assert made.environments[6].weight is None
    assert made.restricted([1, 8]).environments[1].weight.tolist() == wanted
    assert made.without([1]).environments[1].weight.tolist() == [2, 2]
    assert made.without([0]).environments[1].weight is None
    moved = made.environments[1].to("meta")
    assert moved.weight.shape == (6,)
    assert moved.weight.device.type == "meta"
    with pytest.raises(InputError, match="all references have weight 0"):
        made.weighted([0, 1]).without([1])
    with safe_open(weighted_file, framework="pt") as file:
        assert {"H/weight", "O/weight"} == {k for k in file.keys() if "weight" in k}  # noqa: SIM118


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w[:2].clone(), "weights of H do not match its environments"),
        (lambda w: w.double(), "weights of H do not match its environments"),
        (lambda w: -w, "weights of H are not all finite numbers from 0 on"),
        (lambda w: w * torch.nan, "weights of H are not all finite"),
    ],
)
def test_damaged_weights_are_refused(weighted_file, change, sentence):
    with safe_open(weighted_file, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = file.metadata()
    tensors["H/weight"] = change(tensors["H/weight"])
    save_file(tensors, weighted_file, metadata=header)
    with pytest.raises(InputError, match=f"{re.escape(str(weighted_file))}: .*{sentence}"):
        EnvironmentDatabase.load(weighted_file)


def test_a_file_in_which_nothing_weighs_anything_is_refused(weighted_file):
    with safe_open(weighted_file, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = file.metadata()
    for symbol, count in (("H", 6), ("C", 1), ("O", 1)):
        tensors[f"{symbol}/weight"] = torch.zeros(count)
    save_file(tensors, weighted_file, metadata=header)
    with pytest.raises(InputError, match=f"{re.escape(str(weighted_file))}: all references have"):
        EnvironmentDatabase.load(weighted_file)


def test_the_map_shows_references_as_they_lie():
    atoms = rattled("CH3CH2OH")
    one = environment_map(atoms, database(), dtype="float64")
    other = environment_map(atoms, database().weighted(some()), dtype="float64")
    for plain, weighted in zip(one.elements, other.elements, strict=True):
        np.testing.assert_array_equal(plain.separation, weighted.separation)
        np.testing.assert_array_equal(plain.nearest, weighted.nearest)


def test_a_batch_is_its_structures():
    made = Objective(database().weighted(np.arange(len(NAMES)) % 3), LocallyLinear(40))
    structures = [rattled(name, seed) for seed, name in enumerate(NAMES[:12])]
    batch = Batch.from_atoms(structures)
    together = made.evaluate(batch, made.search_at(batch).matching)
    parts = together.gradient.split([len(atoms) for atoms in structures])
    for place, atoms in enumerate(structures):
        alone = Batch.from_atoms(atoms)
        part = made.restricted(alone.numbers)
        found = part.evaluate(alone, part.search_at(alone).matching)
        torch.testing.assert_close(found.loss, together.loss[place : place + 1], rtol=1e-9, atol=0)
        torch.testing.assert_close(found.gradient, parts[place], rtol=0, atol=1e-9)


# --- the command line


@pytest.fixture
def losiko(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(each) for each in arguments])
        return end.value.code, capsys.readouterr()

    return run


def test_from_the_command_line(losiko):
    structures = [molecule(name) for name in ("CH3OH", "H2O", "CH4")]
    for atoms, trust in zip(structures, (1.0, 0.5, 0.0), strict=True):
        atoms.info["trust"] = trust
    structures[0].arrays[WEIGHT] = np.array([3.0, 1, 1, 1, 1, 1])
    ase.io.write("good.extxyz", structures)
    ase.io.write("in.extxyz", rattled("CH3OH"))
    assert losiko("build", "good.extxyz", "-o", "db.losiko", "--n-max", 3)[0] == 0
    _, printed = losiko("info", "db.losiko")
    assert re.search(r"weights +1 environments weigh 3 to 3, the others 1", printed.out)
    made = EnvironmentDatabase.load("db.losiko")
    assert [record["trust"] for record in made.structures] == [1.0, 0.5, 0.0]
    line = ("in.extxyz", "-d", "db.losiko", "--reference-weights", "trust")
    assert losiko("relax", *line, "-o", "out.extxyz", "--dtype", "float64")[0] == 0
    back = ase.io.read("out.extxyz")
    (wanted,) = score(back, made.weighted("trust"), dtype="float64")
    assert back.info["losiko_loss"] == pytest.approx(wanted.loss, rel=1e-5, abs=1e-9)
    code, printed = losiko("score", *line, "--dtype", "float64")
    assert code == 0
    (judged,) = score(rattled("CH3OH"), made.weighted("trust"), dtype="float64")
    assert f"{judged.loss:.2e}" in printed.out
    code, printed = losiko("score", *line[:-1], "charge")
    assert code == 2
    assert "no structure of the database tells its 'charge' (they tell formula" in printed.err
