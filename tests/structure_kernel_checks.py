"""Kernels that give each structure a program, against plain torch; ``test_kernels`` runs this.

    TRITON_INTERPRET=1 pytest tests/structure_kernel_checks.py    # without a GPU
    pytest tests/structure_kernel_checks.py                       # with one

Measures in single precision are compared with those in double on the same, rounded inputs.
"""

from __future__ import annotations

import os
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase.build import molecule
from losiko_kernels import gpu

from losiko_torch import Batch, relax
from losiko_torch.loss.matching import Matching
from losiko_torch.optimizers import lbfgs
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.relaxation import stages
from losiko_torch.relaxation.batch_loop import advance
from losiko_torch.relaxation.batch_state import BatchState, Limits
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.finished import Finished
from losiko_torch.relaxation.measuring import measure, plain_measure
from losiko_torch.systems import by_structure

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
#: Errors relative to the largest number of a tensor. In the interpreter those of L-BFGS are 4e-16
#: and 3e-7 at most; a GPU's quotients and roots are a little less exact.
ERROR = {torch.float64: 1e-13, torch.float32: 5e-6}
PRECISIONS = pytest.mark.parametrize("dtype", ERROR, ids=str)
SEEDS = pytest.mark.parametrize("seed", range(4))
#: Rows of structures: one, none, and as many as fill a block or not.
COUNTS = [1, 5, 0, 3, 32, 2, 9, 1, 7, 4, 0, 6, 13, 8, 2, 3]


@pytest.fixture
def by_kernels(monkeypatch):
    """Take the kernels on whatever device."""
    monkeypatch.setattr(by_structure, "gpu_kernel", lambda device, name: getattr(gpu, name))


class Random:
    """Random numbers of structures, in single precision's digits."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(COUNTS), generator=self.generator)
        self.counts = torch.tensor(COUNTS)[order]
        self.count, self.rows = len(COUNTS), int(self.counts.sum())
        self.system = torch.repeat_interleave(torch.arange(self.count), self.counts)

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.generator).double()

    def choose(self, share):
        return torch.rand(self.count, generator=self.generator) < share

    def sums(self, values):
        sums = values.new_zeros(*values.shape[:-2], self.count)
        return sums.index_add(-1, self.system, values.sum(-1))


def searching(seed, memory=5):
    """Return a state of L-BFGS in which all can happen, and loss, gradient and fresh of trials.

    History is that of quadratic functions of curvatures 1 to 3, each coordinate by itself.
    """
    random = Random(seed)
    n, b, system = random.rows, random.count, random.system
    curved = 1 + random.normal(n, 3).abs().clamp(max=2)
    steps = 0.1 * random.normal(memory, n, 3)
    products = random.sums(steps * steps * curved)
    # How many of its steps a structure remembers.
    depth = torch.randint(0, memory + 1, (b,), generator=random.generator)
    known = (torch.arange(memory)[:, None] < depth) & (products > 0)
    curvature = torch.where(known, 1 / products.clamp(min=1e-9), 0.0)
    steps, changes = (known[:, system, None] * each for each in (steps, steps * curved))
    # What is remembered leads some uphill.
    strange = random.choose(0.3)
    curvature = torch.where(strange, -curvature, curvature)
    position, gradient = random.normal(n, 3), random.normal(n, 3)
    gradient *= torch.where(random.choose(0.3), 0.01, 1.0)[system, None]
    gradient[random.choose(0.1)[system]] = 0
    direction = -gradient / curved * (0.05 + 0.3 * random.choose(0.5)[system, None])
    length = torch.where(random.choose(0.3), 1.5e-3, 1.0)
    trial = position + length[system, None] * direction
    still = random.choose(0.1) | (strange & random.choose(0.5))
    trial = torch.where(still[system, None], position, trial)
    at_trial = gradient + curved * (trial - position)
    slope = random.sums(direction * gradient)
    loss = random.normal(b).abs()
    # Shares of the gain that the slope promises: enough, a little less than nothing, and far less.
    shares = torch.tensor([0.5, 0.5, -0.1, -0.5, -1e3]).double()
    there = loss + length * slope * shares[torch.randint(5, (b,), generator=random.generator)]
    loss[random.choose(0.1)] = torch.inf
    there[random.choose(0.1)] = torch.nan
    at_trial[random.choose(0.1)[system], 1] = torch.nan
    numbers = trial, position, loss, gradient, direction, length, slope, steps, changes, curvature
    return lbfgs.State(*numbers), there, at_trial, random.system, random.choose(0.2)


def on_device(state, dtype):
    """Return what ``LBFGS.step`` takes in a precision, on the device."""
    known, loss, gradient, system, fresh = state
    known = lbfgs.State(**{name: each.to(DEVICE, dtype) for name, each in vars(known).items()})
    numbers = (each.to(DEVICE, dtype) for each in (loss, gradient))
    return known, *numbers, system.to(DEVICE), fresh.to(DEVICE)


def assert_equal(found, expected, error, name=""):
    """Compare numbers of a GPU with known ones, relative to the largest; NaN where NaN is known."""
    found, expected = found.cpu(), expected.cpu()
    if not expected.is_floating_point():
        assert torch.equal(found, expected), name
        return
    found, expected = found.double(), expected.double()
    assert found.shape == expected.shape, name
    finite = expected.isfinite()
    assert torch.equal(found.isfinite(), finite), name
    torch.testing.assert_close(found[~finite], expected[~finite], equal_nan=True)
    if finite.any():
        largest = expected[finite].abs().max().clamp(min=0.1)
        assert (found - expected)[finite].abs().max() <= error * largest, name


@SEEDS
@PRECISIONS
def test_a_step_of_lbfgs(by_kernels, seed, dtype):
    given = on_device(searching(seed), dtype)
    after, accepted = LBFGS(memory=5).step(*given)
    known = lbfgs.State(**{name: each.cpu() for name, each in vars(given[0]).items()})
    # What counts as rounding, and so what is accepted, depends on the precision.
    expected, taken = lbfgs.plain_step(known, *(each.cpu() for each in given[1:]), LBFGS().max_step)
    assert_equal(accepted, taken, 0)
    for each in fields(expected):
        value = getattr(after, each.name)
        assert value.dtype == dtype
        assert_equal(value, getattr(expected, each.name), ERROR[dtype], each.name)


@PRECISIONS
def test_losses_that_rise_by_rounding_are_accepted(by_kernels, dtype):
    """Three rows and a loss of 1 make 16 units of the last digit."""
    state = LBFGS().init(torch.zeros(9, 3, dtype=dtype, device=DEVICE), 3)
    state = replace(state, loss=torch.ones_like(state.loss))
    rise = torch.tensor([15, 17, 24], dtype=dtype, device=DEVICE) * torch.finfo(dtype).eps
    system = torch.arange(3, device=DEVICE).repeat_interleave(3)
    known = 1 + rise, state.gradient, system, rise < 0
    _, accepted = LBFGS().step(state, *known)
    _, expected = lbfgs.plain_step(state, *known, 0.15)
    assert accepted.tolist() == expected.tolist() == [True, False, False]


def test_steps_of_lbfgs_take_every_way():
    """Among the cases of the tests before are all that the kernel tells apart."""
    ways = {way for seed in range(4) for way in ways_taken(*searching(seed))}
    assert sorted(ways) == sorted(
        (
            *("lower", "higher and fresh", "rejected", "history dropped", "no number"),
            *("pushed", "not pushed", "nothing known", "uphill", "nothing to go down"),
            *("limited", "not limited", "no direction", "no rows"),
        )
    )


def ways_taken(state, loss, gradient, system, fresh):
    """Return the names of what happens in a step to at least one of its structures."""
    after, accepted = lbfgs.plain_step(state, loss, gradient, system, fresh, 0.15)

    def largest(values):
        return torch.zeros_like(loss).scatter_reduce(0, system, values, "amax")

    rows = torch.bincount(system, minlength=len(loss)) > 0
    knows = state.curvature[0] != 0
    dropped = ~accepted & (after.length == 1)
    reach = largest(after.direction.norm(dim=1))
    down = largest(after.gradient.norm(dim=1)) > 0
    aside = largest((after.direction + lbfgs.FIRST_CURVATURE * after.gradient).norm(dim=1))
    pushed = accepted & (after.curvature[0] != state.curvature[0]) & (after.curvature[0] != 0)
    found = {
        "lower": accepted & ~fresh,
        "higher and fresh": accepted & fresh & (loss > state.loss),
        "rejected": ~accepted & ~dropped & ~loss.isnan(),
        "history dropped": dropped & knows,
        "no number": ~accepted & loss.isnan(),
        "pushed": pushed,
        "not pushed": accepted & knows & (after.curvature[0] == state.curvature[0]),
        "nothing known": accepted & (state.curvature == 0).all(0),
        "uphill": accepted & knows & down & (aside < 1e-9) & (after.curvature == 0).all(0),
        "nothing to go down": accepted & ~down,
        "limited": accepted & ((reach - 0.15).abs() < 1e-9),
        "not limited": accepted & down & (reach < 0.14),
        "no direction": reach.isnan(),
    }
    names = [name for name, which in found.items() if (which & rows).any()]
    return [*names, "no rows"] if (accepted & ~rows).any() else names


@PRECISIONS
def test_a_step_of_lbfgs_does_not_depend_on_the_others(by_kernels, dtype):
    """Other structures before, behind or instead change no bit while the largest is as large."""
    known, loss, gradient, system, fresh = on_device(searching(0), dtype)
    whole, _ = LBFGS(memory=5).step(known, loss, gradient, system, fresh)
    counts = torch.bincount(system, minlength=len(loss))
    order = torch.arange(len(loss)).flip(0)[counts.flip(0).cpu() != 3].to(DEVICE)
    rows = torch.cat([(system == each).nonzero().squeeze(1) for each in order])
    masks = {"system": order, "row": rows}
    number = torch.repeat_interleave(torch.arange(len(order), device=DEVICE), counts[order])
    some = known.select(masks), loss[order], gradient[rows], number, fresh[order]
    part, _ = LBFGS(memory=5).step(*some)
    for name, each in vars(whole.select(masks)).items():
        assert torch.equal(each.nan_to_num(7), getattr(part, name).nan_to_num(7)), name


def fixed(random, dtype=torch.float64):
    """Return coordinates of atoms some of whose numbers may not change."""
    n, b = random.rows, random.count
    start = random.normal(n, 3).to(DEVICE, dtype)
    none = torch.zeros(b, 3, dtype=torch.bool, device=DEVICE)
    cells, numbers = start.new_zeros(b, 3, 3), torch.ones(n, dtype=torch.long, device=DEVICE)
    batch = Batch(start, numbers, cells, none, random.system.to(DEVICE))
    movable = (random.normal(n, 3) > -1).to(DEVICE, dtype)
    return Coordinates.fixed_cell(batch, movable)


def in_double(coordinates):
    start = coordinates.start
    placed = replace(
        start, positions=start.positions.cpu().double(), cells=start.cells.cpu().double()
    )
    placed = replace(placed, system_idx=start.system_idx.cpu())
    return Coordinates.fixed_cell(placed, coordinates.movable.cpu().double())


@SEEDS
@PRECISIONS
@pytest.mark.parametrize("hold", [0.0, 0.03])
def test_measures_of_trials(by_kernels, seed, dtype, hold):
    random = Random(seed)
    coordinates = fixed(random, dtype)
    trial = coordinates.rows() + 0.1 * random.normal(random.rows, 3).to(DEVICE, dtype)
    loss, gradient = random.normal(random.count), random.normal(random.rows, 3)
    trial[3, 1], gradient[7, 2], gradient[11, 0] = torch.inf, torch.nan, torch.inf
    evaluation = SimpleNamespace(loss=loss.to(DEVICE, dtype), gradient=gradient.to(DEVICE, dtype))
    objective = SimpleNamespace(hold=hold, stiffness=40.0)
    found = measure(objective, coordinates, trial, evaluation)
    exact = SimpleNamespace(loss=loss, gradient=gradient)
    expected = plain_measure(in_double(coordinates), trial.cpu().double(), exact, hold, 40.0)
    assert 0 < expected.size.isnan().sum() < random.count
    for name, value in found._asdict().items():
        assert value.dtype == dtype
        assert_equal(value, getattr(expected, name), ERROR[dtype], name)


def on_the_way(seed, dtype):
    """Return a batch of some of many structures, what becomes of its trials, and all their ends."""
    random = Random(seed)
    coordinates, b = fixed(random, dtype), random.count
    rows = [random.normal(random.rows, 3).to(DEVICE, dtype) for _ in range(4)]
    no = torch.zeros(b, dtype=torch.bool, device=DEVICE)
    # Others are among all, which are in another order.
    system = torch.randperm(b + 3, generator=random.generator)[:b].to(DEVICE)
    atom = torch.randperm(random.rows + 9, generator=random.generator)[: random.rows].to(DEVICE)
    per_system = [random.normal(b).to(DEVICE, dtype) for _ in range(4)]
    state = SimpleNamespace(trial=rows[0], position=rows[1])
    now = BatchState(
        coordinates=coordinates,
        state=state,
        matching=Matching(system[:, None], ()),
        matched_at=rows[0],
        distances=rows[0][:, 0],
        neighbors=None,
        best=rows[2],
        best_loss=per_system[0],
        fresh=no,
        retreating=no,
        loss=per_system[1],
        searches=no.long(),
        steps=torch.randint(5, 9, (b,), generator=random.generator).to(DEVICE),
        ended=random.choose(0.3).to(DEVICE),
        round=0,
        system=system,
        atom=atom,
    )
    loss, gradient = per_system[2], 0.1 * rows[3]
    loss[random.choose(0.2).to(DEVICE)] = torch.nan
    gradient[random.choose(0.2).to(DEVICE)[coordinates.system]] = torch.inf
    evaluation = SimpleNamespace(
        loss=loss, gradient=gradient, distances=rows[3][:, 0], terms=loss.new_zeros(0, b)
    )
    after = SimpleNamespace(trial=rows[3], position=rows[1] + 1), random.choose(0.7).to(DEVICE)
    everyone = Random(seed + 100)
    everyone.count, everyone.rows = b + 3, random.rows + 9
    everyone.system = torch.zeros(everyone.rows, dtype=torch.long)
    return now, evaluation, after, Finished.at_start(fixed(everyone, dtype).start)


@SEEDS
@PRECISIONS
def test_conclusions(by_kernels, seed, dtype, monkeypatch):
    """Evaluation and optimizer are known beforehand: all else of a step, by kernels or without."""
    results = []
    for take in (lambda device, name: getattr(gpu, name), lambda device, name: None):
        monkeypatch.setattr(by_structure, "gpu_kernel", take)
        now, evaluation, after, finished = on_the_way(seed, dtype)
        objective = SimpleNamespace(
            searches=False, hold=0.0, stiffness=1.0, evaluate=lambda *_, known=evaluation: known
        )
        optimizer = SimpleNamespace(step=lambda *_, known=after: known)
        versions = finished.n_steps._version
        following, left = advance(objective, optimizer, now, Limits(8, 0.25, 4), finished)
        assert left == 0
        assert finished.n_steps._version > versions
        results.append((following, finished))
    (following, finished), (plain, expected) = results
    for name in ("best", "best_loss", "loss", "steps", "ended", "fresh", "distances"):
        assert_equal(getattr(following, name), getattr(plain, name), 0, name)
    assert following.round == plain.round == 1
    for name in ("converged", "broken", "collapsed", "n_steps", "bad_term"):
        assert_equal(getattr(finished, name), getattr(expected, name), 0, name)
    for end in ("last", "best"):
        found, known = getattr(finished, end).positions, getattr(expected, end).positions
        assert_equal(found, known, 0, end)
    left_here = plain.ended & ~now.ended
    assert torch.equal(expected.n_steps[now.system] > 0, left_here)
    for mask in (expected.converged, expected.broken, left_here, now.ended):
        assert 0 < mask.sum() < len(now.ended)


@PRECISIONS
def test_relaxations(by_kernels, dtype, monkeypatch):
    """Molecules on learned targets go the same way; in single precision as far as digits go."""
    structures = [molecule(name) for name in ("CH3OH", "H2O", "HCN")]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.1, seed=seed)
    monkeypatch.setattr(stages, "avoids_waits", lambda device: True)
    options = {"dtype": str(dtype).removeprefix("torch."), "device": DEVICE, "max_steps": 6}
    options["optimizer"] = LBFGS(memory=4)
    found = relax(structures, **options)
    called = []
    monkeypatch.setattr(by_structure, "gpu_kernel", lambda device, name: called.append(name))
    plain = relax(structures, **options)
    assert set(called) == {"measure", "lbfgs_step", "conclude"}
    assert {each.reason for each in plain} == {"converged", "max_steps"}
    near = {torch.float64: 1e-9, torch.float32: 1e-4}[dtype]
    for one, other in zip(found, plain, strict=True):
        assert (one.n_steps, one.reason, one.doubt) == (other.n_steps, other.reason, other.doubt)
        assert one.loss == pytest.approx(other.loss, rel=near)
        np.testing.assert_allclose(one.atoms.positions, other.atoms.positions, atol=near)
