"""Laws of records of tensors: rows that leave a batch, join it or are exchanged in it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losiko_torch import FIRE, LBFGS, Adam, Batch, GradientDescent
from losiko_torch.loss.judge import Judged
from losiko_torch.loss.matching import Matching
from losiko_torch.relaxation.batch_state import BatchState
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.finished import Finished
from losiko_torch.relaxation.strain import StrainFilter
from losiko_torch.systems.neighbors import find_pairs
from losiko_torch.systems.record import ATOM, PAIR, ROW, SYSTEM, Record, per
from losiko_torch.systems.verlet_list import VerletList

OPTIMIZERS = {
    "lbfgs": LBFGS(memory=3),
    "fire": FIRE(),
    "adam": Adam(),
    "gradient-descent": GradientDescent(),
}
CUTOFF = 2.5


@dataclass
class Structures:
    """Made-up structures; ``sizes`` alone decide on the shapes of records made of them."""

    sizes: tuple[int, ...]
    seed: int

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    @property
    def n_atoms(self):
        return sum(self.sizes)

    @property
    def n_systems(self):
        return len(self.sizes)

    def random(self, *shape):
        return torch.as_tensor(self.rng.random(shape))

    def some(self, *shape):
        return torch.as_tensor(self.rng.random(shape) < 0.5)

    def whole(self, *shape):
        return torch.as_tensor(self.rng.integers(0, 50, shape))

    def batch(self):
        return Batch(
            positions=4 * self.random(self.n_atoms, 3),
            numbers=1 + self.whole(self.n_atoms),
            cells=4 * torch.eye(3).double() + self.random(self.n_systems, 3, 3),
            pbc=self.some(self.n_systems, 3),
            system_idx=torch.arange(self.n_systems).repeat_interleave(
                torch.tensor(self.sizes, dtype=torch.long)
            ),
            weights=self.random(self.n_atoms),
            arrays={"tether": self.random(self.n_atoms, 3), "charge": self.random(self.n_atoms)},
        )

    def pairs(self):
        return find_pairs(self.batch(), CUTOFF, True)

    def verlet_list(self):
        return VerletList.make(self.batch(), self.some(self.n_atoms), CUTOFF, True)

    def coordinates(self, cell):
        movable = self.some(self.n_atoms, 3).double()
        if not cell:
            return Coordinates.fixed_cell(self.batch(), movable)
        return Coordinates.moving_cell(self.batch(), movable, StrainFilter())

    def matching(self):
        n = self.n_atoms
        return Matching(self.whole(n, 4), (self.random(n, 4, 4), self.random(n)))

    def judged(self):
        n, b = self.n_atoms, self.n_systems
        return Judged(
            self.batch(),
            self.random(n),
            self.random(2, b),
            self.matching(),
            self.random(n, 4),
            self.random(n, 4),
        )

    def finished(self):
        b = self.n_systems
        made = Finished.at_start(self.batch())
        return replace(
            made,
            best=self.batch(),
            converged=self.some(b),
            broken=self.some(b),
            collapsed=self.some(b),
            n_steps=self.whole(b),
            bad_term=self.whole(b),
        )

    def optimizer_state(self, name, rows):
        """State of an optimizer with other numbers in each of its tensors."""
        state = OPTIMIZERS[name].init(rows, self.n_systems)
        values = {each.name: getattr(state, each.name) for each in fields(state)}
        return replace(state, **{key: self.random(*each.shape) for key, each in values.items()})

    def batch_state(self, name, cell):
        coordinates = self.coordinates(cell)
        rows, b, n = coordinates.rows(), self.n_systems, self.n_atoms
        return BatchState(
            coordinates=coordinates,
            state=self.optimizer_state(name, rows),
            matching=self.matching(),
            matched_at=self.random(n, 3),
            distances=self.random(n),
            neighbors=None if name == "adam" else self.verlet_list(),
            best=self.random(*rows.shape),
            best_loss=self.random(b),
            fresh=self.some(b),
            retreating=self.some(b),
            loss=self.random(b),
            searches=self.whole(b),
            steps=self.whole(b),
            ended=self.some(b),
            round=3,
            system=self.whole(b),
            atom=self.whole(n),
        )


def rows_of(structures):
    return structures.random(structures.n_atoms + 3 * structures.n_systems, 3)


RECORDS = {
    "batch": Structures.batch,
    "pairs": Structures.pairs,
    "verlet list": Structures.verlet_list,
    "coordinates": partial(Structures.coordinates, cell=False),
    "coordinates with cells": partial(Structures.coordinates, cell=True),
    "matching": Structures.matching,
    "judged": Structures.judged,
    "finished": Structures.finished,
    **{
        f"state of {name}": lambda made, name=name: made.optimizer_state(name, rows_of(made))
        for name in OPTIMIZERS
    },
    "batch state": partial(Structures.batch_state, name="lbfgs", cell=False),
    "batch state with cells": partial(Structures.batch_state, name="fire", cell=True),
    "batch state without lists": partial(Structures.batch_state, name="adam", cell=True),
}
#: Records whose number of entries follows from ``sizes`` alone.
EXCHANGED = [name for name in RECORDS if name not in ("pairs", "verlet list")]
EVERY = pytest.mark.parametrize("name", RECORDS)

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def has_cells(record):
    """Return whether the rows of a record are those of atoms and cells."""
    return not isinstance(record, (Coordinates, BatchState)) or (
        getattr(record, "coordinates", record).strains is not None
    )


def masks(record, sizes, systems):
    """Masks of the structures ``systems`` along each axis of a record."""
    owner = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes, dtype=torch.long))
    found = {SYSTEM: systems, ATOM: systems[owner]}
    cells = torch.arange(len(sizes)).repeat_interleave(3)
    found[ROW] = systems[torch.cat([owner, cells]) if has_cells(record) else owner]
    if hasattr(record, "center"):
        found[PAIR] = found[ATOM][record.center]
    return found


def lengths(sizes):
    return {SYSTEM: len(sizes), ATOM: sum(sizes)}


def kept(sizes, systems):
    return tuple(size for size, stays in zip(sizes, systems.tolist(), strict=True) if stays)


def keep(record, sizes, systems):
    return record.select(masks(record, sizes, systems))


def differences(one, other, name="record"):
    """Names of the fields that differ to the last bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
        return [] if same else [name]
    if type(one) is not type(other):
        return [name]
    if is_dataclass(one):
        parts = {
            each.name: (getattr(one, each.name), getattr(other, each.name)) for each in fields(one)
        }
    elif isinstance(one, Mapping):
        parts = {key: (one[key], other.get(key)) for key in one}
    elif isinstance(one, tuple):
        parts = {key: each for key, each in enumerate(zip(one, other, strict=True))}
    else:
        return [] if one == other else [name]
    return [bad for key, pair in parts.items() for bad in differences(*pair, f"{name}.{key}")]


@st.composite
def chosen(draw, count):
    """Sizes of structures, a seed, and ``count`` masks of structures."""
    sizes = draw(SIZES)
    some = st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes))
    return sizes, draw(SEEDS), *(torch.tensor(draw(some)) for _ in range(count))


LAW = settings(max_examples=15)


def test_differences_are_seen():
    record = Structures((2, 1), 0).judged()
    assert differences(record, record) == []
    assert differences(record, replace(record, terms=record.terms + 1e-15)) == ["record.terms"]
    cache = (record.matching.cache[0], record.matching.cache[1] + 1)
    changed = replace(record, matching=replace(record.matching, cache=cache))
    assert differences(record, changed) == ["record.matching.cache.1"]


@EVERY
@LAW
@given(case=chosen(0))
def test_all_are_the_record_itself(name, case):
    sizes, seed = case
    record = RECORDS[name](Structures(sizes, seed))
    assert differences(keep(record, sizes, torch.ones(len(sizes), dtype=torch.bool)), record) == []


@EVERY
@LAW
@given(case=chosen(2))
def test_some_of_some_are_those_in_both(name, case):
    sizes, seed, first, second = case
    record = RECORDS[name](Structures(sizes, seed))
    once = keep(record, sizes, first & second)
    twice = keep(keep(record, sizes, first), kept(sizes, first), second[first])
    assert differences(once, twice) == []


@EVERY
@LAW
@given(case=chosen(1))
def test_parts_join_to_the_whole(name, case):
    sizes, seed, first = case
    record = RECORDS[name](Structures(sizes, seed))
    ahead, behind = kept(sizes, first), kept(sizes, ~first)
    joined = keep(record, sizes, first).join(
        keep(record, sizes, ~first), lengths(ahead), lengths(behind)
    )
    order = [*first.nonzero().flatten().tolist(), *(~first).nonzero().flatten().tolist()]
    for place, number in enumerate(order):
        here, there = (torch.arange(len(sizes)) == k for k in (place, number))
        own = keep(joined, (*ahead, *behind), here)
        assert differences(own, keep(record, sizes, there)) == []
    if order == sorted(order):
        assert differences(joined, record) == []


@pytest.mark.parametrize("name", EXCHANGED)
@LAW
@given(case=chosen(1), other_seed=SEEDS)
def test_exchanged_structures_are_those_of_the_other(name, case, other_seed):
    sizes, seed, some = case
    # Records differ in their numbers, not in the order of their rows.
    record, other = (RECORDS[name](Structures(sizes, each)) for each in (seed, other_seed))
    if isinstance(record, BatchState):
        # Lists of pairs are never exchanged: their lengths differ.
        record, other = (replace(each, neighbors=None) for each in (record, other))
    every, no = torch.ones_like(some), torch.zeros_like(some)
    assert differences(record.where(masks(record, sizes, every), other), other) == []
    assert differences(record.where(masks(record, sizes, no), other), record) == []
    mixed = record.where(masks(record, sizes, some), other)
    for mask, origin in ((some, other), (~some, record)):
        assert differences(keep(mixed, sizes, mask), keep(origin, sizes, mask)) == []


@LAW
@given(case=chosen(2))
def test_methods_of_the_records_do_the_same(case):
    sizes, seed, first, second = case
    made = Structures(sizes, seed)
    for name in ("batch", "verlet list", "coordinates with cells", "judged", "batch state"):
        record = RECORDS[name](made)
        own, others = record.keep(first), record.keep(second)
        assert differences(own, keep(record, sizes, first)) == []
        joined = keep(record, sizes, first).join(
            keep(record, sizes, second), lengths(kept(sizes, first)), lengths(kept(sizes, second))
        )
        assert differences(own.joined(others), joined) == []
    for name in ("batch", "judged"):
        record, other = RECORDS[name](made), RECORDS[name](made)
        assert differences(record, other) != []
        exchanged = record.where(masks(record, sizes, first), other)
        assert differences(record.swapped(other, first), exchanged) == []


@LAW
@given(case=chosen(1))
def test_pairs_are_those_of_the_structures_alone(case):
    sizes, seed, some = case
    batch = Structures(sizes, seed).batch()
    whole = keep(find_pairs(batch, CUTOFF, True), sizes, some)
    alone = find_pairs(batch.keep(some), CUTOFF, True)
    no_shifts = alone.shift is None
    assert differences(replace(whole, shift=None if no_shifts else whole.shift), alone) == []
    assert not no_shifts or whole.shift is None or not whole.shift.any()


@pytest.mark.parametrize("name", OPTIMIZERS)
@LAW
@given(case=chosen(1))
def test_a_step_of_some_is_the_step_of_all(name, case):
    sizes, seed, some = case
    if not some.any():
        return
    made, optimizer = Structures(sizes, seed), OPTIMIZERS[name]
    idx = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes, dtype=torch.long))
    state = optimizer.init(made.random(len(idx), 3), len(sizes))
    fresh = torch.ones(len(sizes), dtype=torch.bool)
    for _ in range(3):
        loss, gradient = made.random(len(sizes)), made.random(len(idx), 3)
        own = {SYSTEM: some, ATOM: some[idx], ROW: some[idx]}
        renumbered = (torch.cumsum(some, 0) - 1)[idx[own[ROW]]]
        part, taken = optimizer.step(
            state.select(own), loss[some], gradient[own[ROW]], renumbered, fresh[some]
        )
        state, accepted = optimizer.step(state, loss, gradient, idx, fresh)
        assert torch.equal(taken, accepted[some])
        for each in fields(state):
            torch.testing.assert_close(
                getattr(part, each.name), getattr(state.select(own), each.name)
            )
        fresh = made.some(len(sizes))


def test_what_one_lacks_the_whole_lacks():
    full = Structures((2, 1), 0).batch()
    bare = replace(full, weights=None)
    for one, other in ((full, bare), (bare, full)):
        assert one.joined(other).weights is None
        assert one.joined(other).n_atoms == 6


def test_an_axis_may_be_any_dimension():
    @dataclass(frozen=True)
    class Three(Record):
        first: torch.Tensor = per(ATOM)
        middle: torch.Tensor = per(ATOM, dim=-2)
        last: torch.Tensor = per(ATOM, dim=-1)

    def make(seed):
        made = Structures((3,), seed)
        return Three(made.random(3, 2), made.random(4, 3, 2), made.random(4, 3))

    record, other, mask = make(0), make(1), torch.tensor([True, False, True])
    part = record.select({ATOM: mask})
    assert (part.first.shape, part.middle.shape, part.last.shape) == ((2, 2), (4, 2, 2), (4, 2))
    mixed = record.where({ATOM: mask}, other)
    assert torch.equal(mixed.middle[:, 1], record.middle[:, 1])
    assert torch.equal(mixed.middle[:, 2], other.middle[:, 2])
    assert torch.equal(mixed.last[:, 0], other.last[:, 0])
    joined = part.join(other, {ATOM: 2}, {ATOM: 3})
    assert torch.equal(joined.middle, torch.cat([part.middle, other.middle], 1))
