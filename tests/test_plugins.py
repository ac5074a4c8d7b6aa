"""Parts that another package brings: a target, a term, an optimizer and a descriptor of its own."""

import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import ClassVar

import ase.io
import numpy as np
import pytest
import torch
from ase.collections import g2
from small_database import database, rattled, water_database

from losiko_torch import (
    Adam,
    AutogradTarget,
    EnvironmentDatabase,
    InputError,
    LosikoCalculator,
    Nearest,
    Optimizer,
    Result,
    Target,
    Term,
    relax,
    score,
)
from losiko_torch.cli import main
from losiko_torch.io.table import table_of
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.interface import IN_COMPONENTS, TargetValues
from losiko_torch.loss.targets.registry import TARGETS
from losiko_torch.loss.terms.registry import TERMS
from losiko_torch.optimizers import interface
from losiko_torch.optimizers.registry import OPTIMIZERS
from losiko_torch.options import Option
from losiko_torch.registry import Registry
from losiko_torch.systems.batch import Batch, sum_by_system
from losiko_torch.systems.neighbors import find_pairs


def squares(p, z):
    """Squared distance to the nearest reference, in components."""
    return (p[:, None] - z).square().sum(2).amin(1)


@dataclass(frozen=True)
class Softened:
    """Target F = D / (1 + D) of the nearest reference, D its squared distance."""

    name: ClassVar[str] = "softened"
    slope: ClassVar[str] = IN_COMPONENTS

    n_neighbors: int = 1

    @classmethod
    def make(cls, n_neighbors, reg, defaults):
        return cls(1 if n_neighbors is None else n_neighbors)

    def allocate(self, n, k, n_features, like):
        return (like.new_zeros((n, like.shape[1])),)

    def update(self, cache, rows, references, indices, new):
        nearest = references.vectors_in(cache[0].dtype)[indices[:, 0]]
        cache[0][rows, : nearest.shape[1]] = nearest

    def evaluate(self, values, rest, references, indices, cache, rows):
        difference = values - cache[0][rows, : values.shape[1]]
        squared = difference.square().sum(1) + rest
        factor = (1 + squared) ** -2
        weights = values.new_zeros(indices.shape)
        weights[:, 0] = 1
        slope = 2 * factor[:, None] * difference
        return TargetValues(squared / (1 + squared), slope, weights, factor[:, None])

    def bytes_per_atom(self, k, dtype, device):
        return 0

    def identity(self):
        return {"name": self.name, "n_neighbors": self.n_neighbors}


@dataclass(frozen=True)
class Constant:
    """Target that needs no references: components pulled to one number, and no rest."""

    name: ClassVar[str] = "constant"
    slope: ClassVar[str] = IN_COMPONENTS
    n_neighbors: ClassVar[int] = 0

    number: float = 0.1

    @classmethod
    def make(cls, n_neighbors, reg, defaults):
        return cls()

    def allocate(self, n, k, n_features, like):
        return ()

    def update(self, cache, rows, references, indices, new):
        raise AssertionError("no reference is searched")

    def evaluate(self, values, rest, references, indices, cache, rows):
        difference = values - self.number
        loss = difference.square().sum(1) + rest
        return TargetValues(loss, 2 * difference, values.new_zeros(indices.shape))

    def bytes_per_atom(self, k, dtype, device):
        return 0

    def identity(self):
        return {"name": self.name, "number": self.number}


@dataclass(frozen=True)
class Floor:
    """Term k sum_i min(z_i, 0)^2: atoms stay above a floor."""

    name: ClassVar[str] = "floor"
    option: ClassVar[Option] = Option("Keep atoms above z = 0.", metavar="K", text=float)

    stiffness: float = 1.0

    @classmethod
    def parse(cls, value):
        return cls(value)

    def __call__(self, batch):
        below = self.stiffness * batch.positions[:, 2].clamp(max=0).square()
        return sum_by_system(below, batch.system_idx, batch.n_systems)

    def identity(self):
        return {"name": self.name, "stiffness": self.stiffness}


@dataclass(frozen=True)
class Momentum(interface.State):
    """State of heavy-ball descent: velocity (N, 3), and the number of its steps (B,)."""

    of_systems: ClassVar = ("count",)

    velocity: torch.Tensor
    count: torch.Tensor


@dataclass(frozen=True)
class HeavyBall:
    """Gradient descent with momentum."""

    name: ClassVar[str] = "heavy-ball"

    rate: float = 0.02
    friction: float = 0.4

    def init(self, positions, n_systems):
        still = torch.zeros_like(positions)
        return Momentum(positions, positions, still, positions.new_zeros(n_systems))

    def step(self, state, loss, gradient, system_idx, fresh):
        velocity = (1 - self.friction) * state.velocity - self.rate * gradient
        step = interface.limited(velocity, 0.1, system_idx, len(loss))
        taken = Momentum(state.trial + step, state.trial, velocity, state.count + 1)
        return taken, torch.ones_like(fresh)


class Shells(torch.nn.Module):
    """Descriptor: distances to the neighbours, smeared over shells, by the neighbour's element."""

    cutoff = 3.0

    def forward(self, batch):
        pairs = find_pairs(batch, self.cutoff, True)
        apart = (pairs.vectors(batch).square().sum(1) + 1e-12).sqrt()
        middles = torch.linspace(0.0, 3.0, 12).to(apart)
        smeared = torch.exp(-4 * (apart[:, None] - middles) ** 2)
        faded = smeared * ((1 + torch.cos(torch.pi * apart / self.cutoff)) / 2)[:, None]
        heavy = (batch.numbers[pairs.neighbor] > 1).to(apart)[:, None]
        both = torch.cat([faded * heavy, faded * (1 - heavy)], 1)
        return both.new_zeros(batch.n_atoms, 24).index_add(0, pairs.center, both)


GUESSES = ["CH3OH", "H2O"]


def guesses(width=0.05):
    return [rattled(name, k, width) for k, name in enumerate(GUESSES)]


def test_they_are_what_they_are_said_to_be():
    assert isinstance(Softened(), Target)
    assert isinstance(Constant(), Target)
    assert isinstance(Floor(), Term)
    assert isinstance(HeavyBall(), Optimizer)
    assert not isinstance(HeavyBall(), (Target, Term))


@pytest.mark.parametrize(
    "options",
    [
        {"targets": Softened()},
        {"terms": [Floor(0.01)]},
        {"optimizer": HeavyBall()},
        {"optimizer": HeavyBall(), "targets": Softened(), "terms": [Floor(0.01)]},
        {"targets": AutogradTarget(squares, 3)},
    ],
)
def test_objects_work_and_batches_make_no_difference(options):
    options = {"max_steps": 12, "dtype": "float64", **options}
    together = relax(guesses(), database(), **options)
    for one, start in zip(together, guesses(), strict=True):
        assert one.loss < one.start_loss - 1e-4
        (alone,) = relax(start, database(), **options)
        assert alone.reason == one.reason
        np.testing.assert_allclose(alone.atoms.positions, one.atoms.positions, atol=1e-6)
        (found,) = score(one.atoms, database(), **without(options, "optimizer", "max_steps"))
        assert found.loss == pytest.approx(one.loss, rel=1e-9)
    in_flight = relax(guesses(), database(), batch_atoms=8, **options)
    for one, other in zip(together, in_flight, strict=True):
        np.testing.assert_allclose(one.atoms.positions, other.atoms.positions, atol=1e-6)


def without(options, *names):
    return {name: value for name, value in options.items() if name not in names}


def test_a_descriptor_works():
    built = EnvironmentDatabase.build([g2["H2O"], g2["CH3OH"], g2["HCOOH"]], Shells())
    options = {"targets": "nearest", "max_steps": 40, "dtype": "float64"}
    for found in relax(guesses(), built, terms=[Floor(1e-4)], optimizer=HeavyBall(), **options):
        assert found.loss < 0.5 * found.start_loss
    assert_forces(rattled("H2O"), built, targets="nearest", terms=[Floor(0.1)])


def assert_forces(atoms, built, **options):
    """Forces of the calculator are those of central differences."""
    atoms = atoms.copy()
    atoms.calc = LosikoCalculator(built, **options)
    forces, h = atoms.get_forces(), 1e-4
    numeric = np.zeros_like(forces)
    for k, axis in np.ndindex(*forces.shape):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[k, axis] += sign * h
            moved.calc = atoms.calc
            ends.append(moved.get_potential_energy())
        numeric[k, axis] = (ends[1] - ends[0]) / (2 * h)
    np.testing.assert_allclose(forces, numeric, atol=1e-6)
    assert np.abs(forces).max() > 1e-3


@pytest.mark.parametrize(
    ("targets", "degree"),
    [(Softened(), 1.0), (Softened(), 3.0), (Constant(), 1.0), (AutogradTarget(squares, 2), 2.0)],
)
def test_forces_are_those_of_central_differences(targets, degree):
    assert_forces(rattled("H2O"), database(), targets=targets, degree=degree)


def batch_of(structures, weights=None):
    batch = Batch.from_atoms(structures)
    if weights is not None:
        numbers = np.random.default_rng(weights).uniform(0.2, 2, batch.n_atoms)
        batch = replace(batch, weights=torch.as_tensor(numbers))
    return batch


@cache
def in_all_components():
    """Database whose components are the features: its basis is orthonormal to the last bit."""
    built = database()
    environments = {
        number: replace(
            part, vectors=part.vectors @ part.basis.T, basis=torch.eye(built.n_features)
        )
        for number, part in built.environments.items()
    }
    return replace(built, environments=environments)


@pytest.mark.parametrize("n_neighbors", [1, 5])
@pytest.mark.parametrize("degree", [1.0, 2.5])
@pytest.mark.parametrize("names", [["CH3OH", "CH3CONH2"], ["H2O", "H2O2"]])
@pytest.mark.parametrize("weights", [None, 3])
def test_a_function_equals_the_built_in_target(n_neighbors, degree, names, weights):
    batch = batch_of([rattled(name, 7) for name in names], weights)
    # A basis in single precision is orthonormal to some 1e-7 only.
    for built, tolerance in ((in_all_components(), 1e-10), (database(), 1e-6)):
        found = []
        for target in (Nearest(), AutogradTarget(squares, n_neighbors)):
            # In one case restricted to fewer elements: references lose features.
            objective = Objective(built, target, degree).restricted(batch.numbers)
            found.append(objective.evaluate(batch))
        built_in, function = found
        assert built_in.loss.min() > 1e-3
        for name in ("distances", "loss", "gradient", "virial"):
            one, other = getattr(built_in, name), getattr(function, name)
            torch.testing.assert_close(other, one, rtol=0, atol=tolerance)


def test_weights_of_references_decide_which_are_nearest():
    """A reference's weight divides the distance of a built-in target, not that of a function."""
    rng = np.random.default_rng(0)
    built = in_all_components()
    weighted = built.weighted(rng.choice([0.0, 0.25, 1.0, 4.0], len(built.structures)).tolist())
    batch = batch_of([rattled("CH3OH", 7), rattled("HCOOH", 8)])
    for target in (Nearest(), AutogradTarget(squares)):
        plain = Objective(built, target).search_at(batch).matching.indices
        assert not torch.equal(Objective(weighted, target).search_at(batch).matching.indices, plain)
    one = Objective(weighted, Nearest()).search_at(batch)
    other = Objective(weighted, AutogradTarget(squares)).search_at(batch)
    assert torch.equal(one.matching.indices, other.matching.indices)
    for row, number in enumerate(batch.numbers.tolist()):
        weight = weighted.environments[number].weight[one.matching.indices[row, 0]]
        expected = other.distances[row] / weight
        torch.testing.assert_close(one.distances[row], expected, rtol=1e-9, atol=1e-10)


def test_a_target_without_references():
    options = {"targets": Constant(), "dtype": "float64"}
    results = relax(guesses(), database(), max_steps=20, **options)
    for found, start in zip(results, guesses(), strict=True):
        assert isinstance(found, Result)
        assert found.loss < found.start_loss
        assert found.matches.structure.shape == found.matches.distance.shape == (len(start), 0)
        (scored,) = score(start, database(), **options)
        assert scored.loss == pytest.approx(found.start_loss, rel=1e-12)
        start.calc = LosikoCalculator(database(), **options)
        assert start.get_potential_energy() == pytest.approx(found.start_loss, rel=1e-12)
    # Any other number gives another loss.
    (other,) = score(guesses()[0], database(), targets=Constant(0.2), dtype="float64")
    assert other.loss != pytest.approx(results[0].start_loss, rel=1e-3)


class Entry:
    """Entry point of another distribution."""

    def __init__(self, brought):
        self.brought = brought
        self.name = getattr(brought, "name", None) or "broken"

    def load(self):
        if isinstance(self.brought, Exception):
            raise self.brought
        return self.brought


BROUGHT = {
    "losiko_torch.loss.targets": [Softened, Constant],
    "losiko_torch.optimizers": [HeavyBall],
    "losiko_torch.loss.terms": [Floor],
}


@pytest.fixture
def installed(monkeypatch):
    """Parts of another distribution, found by name."""

    def entry_points(group):
        return [Entry(each) for each in BROUGHT.get(group, ())]

    def forget():
        for registry in (TARGETS, OPTIMIZERS, TERMS):
            registry.__dict__.pop("choices", None)
            registry.__dict__.pop("problems", None)

    assert isinstance(Registry.choices, cached_property)
    monkeypatch.setattr("losiko_torch.registry.entry_points", entry_points)
    forget()
    yield
    monkeypatch.undo()
    forget()


def same(one, other):
    assert one.reason == other.reason
    np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)
    np.testing.assert_array_equal(one.distances, other.distances)


def test_names_are_listed_behind_the_built_in_ones(installed):
    assert list(TARGETS) == ["nearest", "locally-linear", "learned", "constant", "softened"]
    assert "heavy-ball" in OPTIMIZERS.choices
    assert "floor" in TERMS.choices


def test_names_are_gone_with_the_package():
    for registry, name in ((TARGETS, "softened"), (OPTIMIZERS, "heavy-ball"), (TERMS, "floor")):
        assert name not in registry.choices


def test_names_give_what_objects_give(installed):
    start, options = rattled("H2O"), {"max_steps": 10}
    by_name = relax(start, database(), targets="softened", optimizer="heavy-ball", **options)
    objects = relax(start, database(), targets=Softened(), optimizer=HeavyBall(), **options)
    same(*by_name, *objects)
    several = relax(start, database(), targets="softened", n_neighbors=3, **options)
    assert several[0].matches.structure.shape == (3, 3)


def test_two_choices_of_one_name_are_refused(installed, monkeypatch):
    monkeypatch.setitem(BROUGHT, "losiko_torch.optimizers", [HeavyBall, HeavyBall])
    with (
        pytest.warns(UserWarning, match="'heavy-ball' comes from two packages.*left out"),
        pytest.raises(InputError, match="'heavy-ball' comes from two packages") as told,
    ):
        relax(rattled("H2O"), database(), optimizer="heavy-ball")
    assert "\n" not in str(told.value)


def test_a_broken_target_is_said(installed, monkeypatch):
    monkeypatch.setitem(BROUGHT, "losiko_torch.loss.targets", [ImportError("no way")])
    with pytest.warns(UserWarning, match="left out"), pytest.raises(InputError, match="no way"):
        relax(rattled("H2O"), database(), targets="broken")


def test_a_built_in_choice_is_not_replaced(installed, monkeypatch):
    @dataclass(frozen=True)
    class Other(HeavyBall):
        name: ClassVar[str] = "adam"

    monkeypatch.setitem(BROUGHT, "losiko_torch.optimizers", [Other, HeavyBall])
    with pytest.warns(UserWarning, match="'adam' comes from two packages"):
        assert OPTIMIZERS["adam"] is Adam
    assert OPTIMIZERS["heavy-ball"] is HeavyBall


@pytest.mark.parametrize("broken", [ImportError("no\nway"), SyntaxError(), object(), 3])
def test_a_broken_package_leaves_the_others_alone(installed, monkeypatch, broken):
    monkeypatch.setitem(BROUGHT, "losiko_torch.optimizers", [broken, HeavyBall])
    with pytest.warns(UserWarning, match="optimizer 'broken' of .*; it is left out") as told:
        assert "heavy-ball" in OPTIMIZERS
    (only,) = told
    assert "\n" not in str(only.message)
    with pytest.raises(InputError, match="optimizer 'broken' of another package"):
        OPTIMIZERS["broken"]


@pytest.mark.parametrize("target", [Softened(), Constant()])
def test_the_command_line_takes_names(installed, tmp_path, monkeypatch, capsys, target):
    monkeypatch.chdir(tmp_path)
    water_database().save("water.losiko")
    start = rattled("H2O")
    ase.io.write("in.extxyz", start)
    line = ["relax", "in.extxyz", "-d", "water.losiko", "--max-steps", "10"]
    line += ["--targets", target.name, "--optimizer", "heavy-ball", "--dtype", "float64"]
    with pytest.raises(SystemExit) as end:
        main([*line, "-o", "out.extxyz"])
    assert end.value.code == 0, capsys.readouterr().err
    given = {"targets": target, "optimizer": HeavyBall(), "max_steps": 10, "dtype": "float64"}
    (expected,) = relax(ase.io.read("in.extxyz"), water_database(), **given)
    found = ase.io.read("out.extxyz")
    np.testing.assert_allclose(found.positions, expected.atoms.positions, atol=1e-6)
    # The table names no reference where a target needs none.
    (row,) = table_of([expected]).to_pylist()
    assert [number >= 0 for number in row["nearest_atom"]] == 3 * [target.n_neighbors > 0]


PACKAGE = """
from dataclasses import dataclass
from losiko_torch import LBFGS, Nearest, Tether
from losiko_torch.options import Option

@dataclass(frozen=True)
class Careful(LBFGS):
    name = "careful"
    max_step: float = 0.01

class Near(Nearest):
    name = "near"

class Stiff(Tether):
    name = "stiff"
    option = Option("Tether atoms.", metavar="K", text=float)
"""
ENTRY_POINTS = """
[losiko_torch.optimizers]
careful = outsider:Careful
[losiko_torch.loss.targets]
near = outsider:Near
[losiko_torch.loss.terms]
stiff = outsider:Stiff
"""
PROGRAM = """
from losiko_torch.relaxation.settings import Settings
print(Settings(optimizer="careful", targets="near").stepping.max_step)
from losiko_torch.cli import main
main(["relax", "--help"])
"""


def test_an_installed_package_may_import_this_one(tmp_path):
    """Names are looked up late enough for a package that needs ``losiko_torch`` itself."""
    (tmp_path / "outsider.py").write_text(PACKAGE)
    folder = tmp_path / "outsider-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(ENTRY_POINTS)
    path = f"import sys; sys.path[:] = {[str(tmp_path), *sys.path]!r}"
    done = subprocess.run(
        [sys.executable, "-c", f"{path}\n{PROGRAM}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, *shown = done.stdout.splitlines()
    assert first == "0.01"
    for word in ("careful", "near", "--stiff"):
        assert word in "".join(shown)
