"""Batched L-BFGS on functions with known minima: each structure as if it were alone."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from losiko_torch.optimizers.interface import hold
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.systems.record import ROW, SYSTEM

WIDE = LBFGS(max_step=10.0)


class Problem:
    """A function of (n, 3) coordinates, its start and its minimum."""

    def __init__(self, start, minimum):
        self.start, self.minimum = start, minimum

    def value(self, x):
        raise NotImplementedError

    def loss_and_gradient(self, x):
        x = x.detach().clone().requires_grad_()
        loss = self.value(x)
        return loss.detach(), torch.autograd.grad(loss, x)[0]


class Quadratic(Problem):
    def __init__(self, n, seed, condition=100.0):
        generator = np.random.default_rng(seed)
        turn, _ = np.linalg.qr(generator.normal(size=(3 * n, 3 * n)))
        scale = np.geomspace(1, condition, 3 * n)
        self.matrix = torch.as_tensor(turn * scale @ turn.T)
        minimum = torch.as_tensor(generator.normal(size=(n, 3)))
        super().__init__(minimum + torch.as_tensor(generator.normal(size=(n, 3))), minimum)

    def value(self, x):
        away = (x - self.minimum).flatten()
        return away @ self.matrix @ away / 2


class Rosenbrock(Problem):
    """Rosenbrock's function in 3n variables; it starts near the valley, which has one minimum."""

    def __init__(self, n, seed):
        generator = np.random.default_rng(seed)
        minimum = torch.ones(n, 3, dtype=torch.float64)
        super().__init__(minimum + torch.as_tensor(generator.normal(0, 0.3, size=(n, 3))), minimum)

    def value(self, x):
        x = x.flatten()
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


class Spoiled(Quadratic):
    """Quadratic problem whose loss is NaN after its first evaluation."""

    def __init__(self, n, seed):
        super().__init__(n, seed)
        self.calls = 0

    def value(self, x):
        self.calls += 1
        return super().value(x) * (torch.nan if self.calls > 1 else 1.0)


def problems():
    return [
        Quadratic(1, 0),
        Rosenbrock(1, 1),
        Quadratic(7, 2),
        Rosenbrock(3, 3),
        Quadratic(3, 4, 1e4),
    ]


def run(problems, n_steps, settings=WIDE, dtype=torch.float64, fresh_at=()):
    """Positions and losses accepted, and acceptances, of each problem after every step."""
    sizes = [len(problem.start) for problem in problems]
    idx = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    state = settings.init(torch.cat([p.start for p in problems]).to(dtype), len(problems))
    history = []
    for step in range(n_steps):
        found = [
            problem.loss_and_gradient(x)
            for problem, x in zip(problems, state.trial.split(sizes), strict=True)
        ]
        fresh = torch.full((len(problems),), step == 0 or step in fresh_at)
        state, accepted = settings.step(
            state,
            torch.stack([f[0] for f in found]),
            torch.cat([f[1] for f in found]),
            idx,
            fresh,
        )
        history.append((state, accepted))
    return history


def test_finds_the_minima():
    found = problems()
    state, _ = run(found, 250)[-1]
    wanted = torch.cat([problem.minimum for problem in found])
    assert (state.position - wanted).abs().max() < 1e-6


@pytest.mark.parametrize("settings", [WIDE, LBFGS(), LBFGS(memory=3)])
def test_a_batch_is_its_structures(settings):
    found = problems()
    together = run(found, 60, settings)
    sizes = [len(problem.start) for problem in found]
    for place, problem in enumerate(problems()):
        for (whole, accepted), (alone, own) in zip(
            together, run([problem], 60, settings), strict=True
        ):
            part = whole.position.split(sizes)[place]
            torch.testing.assert_close(part, alone.position, rtol=0, atol=1e-10)
            assert accepted[place] == own[0]


def test_accepted_losses_never_rise():
    """Accepted losses rise by no more than the rounding of a sum over atoms."""
    history = run(problems(), 150)
    for (before, _), (after, accepted) in pairwise(history):
        assert (after.loss <= before.loss * (1 + 1e-14) + 1e-14).all()
        assert torch.equal(after.loss[~accepted], before.loss[~accepted])


def test_no_atom_goes_farther_than_max_step():
    settings = LBFGS(max_step=0.07)
    history = run(problems(), 60, settings)
    reached = 0.0
    for state, _ in history:
        length = (state.trial - state.position).norm(dim=1).max()
        assert length <= 0.07 * (1 + 1e-12)
        reached = max(reached, float(length))
    assert reached > 0.0699


def test_a_loss_that_is_no_number_disturbs_nobody():
    alone = run(problems(), 60)
    disturbed = run([Spoiled(4, 9), *problems()], 60)
    for (wanted, _), (found, _) in zip(alone, disturbed, strict=True):
        torch.testing.assert_close(found.position[4:], wanted.position, rtol=0, atol=1e-10)
        assert torch.isfinite(found.position).all()
    assert not disturbed[-1][1][0]


def test_kept_structures_go_on_unchanged():
    found = problems()
    sizes = torch.tensor([len(problem.start) for problem in found])
    history = run(found, 12)
    keep = torch.tensor([True, False, True, True, False])
    idx = torch.repeat_interleave(torch.arange(len(found)), sizes)
    state, _ = history[9]
    kept = state.select({SYSTEM: keep, ROW: keep[idx]})
    new_idx = torch.repeat_interleave(torch.arange(3), sizes[keep])
    chosen = [problem for problem, stays in zip(found, keep, strict=True) if stays]
    for wanted, _ in history[10:]:
        values = [
            p.loss_and_gradient(x)
            for p, x in zip(chosen, kept.trial.split(sizes[keep].tolist()), strict=True)
        ]
        kept, _ = WIDE.step(
            kept,
            torch.stack([v[0] for v in values]),
            torch.cat([v[1] for v in values]),
            new_idx,
            torch.zeros(3, dtype=torch.bool),
        )
        torch.testing.assert_close(kept.position, wanted.position[keep[idx]], rtol=0, atol=1e-12)
    assert kept.steps.shape == (WIDE.memory, int(sizes[keep].sum()), 3)


def test_a_fresh_trial_is_accepted_whatever_its_loss():
    history = run(problems(), 20, fresh_at=(5, 11))
    for step in (5, 11):
        state, accepted = history[step]
        assert accepted.all()
        assert torch.equal(state.position, history[step - 1][0].trial)


def test_held_structures_are_evaluated_where_they_are():
    found = problems()
    idx = torch.repeat_interleave(torch.arange(5), torch.tensor([len(p.start) for p in found]))
    state, _ = run(found, 5)[-1]
    mask = torch.tensor([True, False, False, True, False])
    held = hold(state, mask, idx)
    assert torch.equal(held.trial[mask[idx]], state.position[mask[idx]])
    assert torch.equal(held.trial[~mask[idx]], state.trial[~mask[idx]])


def test_float32_comes_as_close_as_float32_can():
    found = [Quadratic(5, 0), Quadratic(2, 1)]
    for problem in found:
        problem.matrix, problem.minimum = problem.matrix.float(), problem.minimum.float()
    state, _ = run(found, 150, dtype=torch.float32)[-1]
    assert state.position.dtype == torch.float32
    wanted = torch.cat([problem.minimum for problem in found])
    assert (state.position - wanted).abs().max() < 1e-4
    assert torch.isfinite(state.trial).all()


def test_at_the_minimum_nothing_moves():
    problem = Quadratic(3, 0)
    problem.start = problem.minimum
    for state, _ in run([problem], 5):
        assert torch.equal(state.position, problem.minimum)
        assert torch.isfinite(state.trial).all()
