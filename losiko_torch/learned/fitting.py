r"""Fitting learned targets to the pull that leads perturbed copies of good structures back.

    minimise  E over structures, copies  of  sum_i g_i |e_i|^2 / (s^2 + s0^2),   e = grad U - pull

s^2 is the mean squared displacement of the copy, g_i the weights of the references. No Jacobian and
no second derivative of the descriptor is formed: the derivative by the networks' weights is

    d/dtheta |e|^2 = 2 sum_i d/dtheta [df(y_i) along dy_i],   dy = (dy/dx) e

with one more evaluation of the descriptor, a step along e away. Some copies go on towards their
good structure as the networks of the moment lead them, so that what is fitted is what a relaxation
meets. Several members take turns; each has its own start and copies. The weights that count are
averages over the steps (exponential), and those that are best on structures held out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from losiko_torch.descriptors.evaluation import described
from losiko_torch.learned.copies import Geometry, batch_of, originals, perturbed, shaken
from losiko_torch.learned.model import LearnedModel
from losiko_torch.learned.networks import Networks
from losiko_torch.learned.pull import KAPPA, LEVER, Good, Pull, pull, shifted
from losiko_torch.systems.batch import Batch, max_by_system

#: Atoms worked on in a step, about, and structures at least.
ATOMS, FEWEST = 430, 2
#: Copies under way, for each structure of a step.
UNDER_WAY = 8
#: Displacement (Angstrom) below which an error counts no more.
ENOUGH = 0.02
#: Share of the copies that go on in the next step, at first and at last, and how far of the pull.
GOES_ON, GOES_ON_LATER, STRIDE = 0.6, 0.92, 0.8
#: Share of the last move that goes on at last: a heavy ball comes to where the pull is soft.
MOMENTUM = 0.7
#: Variance (Angstrom^2) beyond which a copy does not go on.
LOST = 0.1
#: Longest move of an atom in a step, Angstrom.
LONGEST_MOVE = 0.2
#: Largest learning rate, steps over which it rises, weight decay and largest gradient.
RATE, RISE, DECAY, CLIP = 5e-3, 50, 0.1, 5.0
#: Step along the error (Angstrom) by which directional derivatives are taken.
ALONG = 1e-3
#: Steps between two looks at the held-out structures, and noise (Angstrom) of these.
LOOK, NOISE = 250, (0.02, 0.05, 0.1, 0.2)


class Copy(NamedTuple):
    """Copy of a structure under way: positions (n, 3), cell (3, 3), last move (n, 3), Angstrom."""

    positions: np.ndarray
    cell: np.ndarray
    move: np.ndarray

    @classmethod
    def of(cls, geometry: Geometry, rng: np.random.Generator) -> Copy:
        """Return a perturbed copy that has not moved yet."""
        positions, cell = perturbed(geometry, rng)
        return cls(positions, cell, np.zeros_like(positions))


class Plan(NamedTuple):
    """Plan of a fit: ``steps`` in all, from ``seed``, at a largest learning rate."""

    steps: int
    seed: int
    rate: float = RATE


#: Weights of one member, by atomic number and in the order of ``Networks.weights``.
Weights = dict[int, tuple[torch.Tensor, ...]]


@dataclass
class Fit:
    """Fit under way: everything that the next step depends on.

    Attributes:
        plan: Plan.
        model: Model that the fit began with.
        weights: Weights of each member.
        averages: Averages of these.
        best: Averages that were best on the structures held out.
        best_error: Their error.
        optimizers: Optimizer of each member.
        rng: Random numbers.
        where: Structure of each copy under way.
        copies: Copies under way.
        step: Steps done.
    """

    plan: Plan
    model: LearnedModel
    weights: list[Weights]
    averages: list[Weights]
    best: list[Weights]
    best_error: float
    optimizers: list[torch.optim.AdamW]
    rng: np.random.Generator
    where: list[int]
    copies: list[Copy]
    step: int = 0

    @classmethod
    def begin(cls, model: LearnedModel, geometries: Sequence[Geometry], plan: Plan) -> Fit:
        """Return a fit that begins with the networks of a model."""
        rng = np.random.default_rng(plan.seed)
        weights = [_weights(model, k) for k in range(model.members)]
        optimizers = [_optimizer(each) for each in weights]
        mean = np.mean([len(each) for each in geometries])
        count = UNDER_WAY * max(FEWEST, round(ATOMS / mean))
        where = [int(k) for k in rng.integers(len(geometries), size=count)]
        copies = [Copy.of(geometries[k], rng) for k in where]
        return cls(
            plan, model, weights, list(map(_copied, weights)), list(map(_copied, weights)),
            math.inf, optimizers, rng, where, copies,
        )  # fmt: skip

    @property
    def fitted(self) -> LearnedModel:
        """Model with the best averages so far."""
        return with_weights(self.model, self.best)


def advance(fit: Fit, geometries: Sequence[Geometry]) -> None:
    """Do one step of a fit."""
    plan, rng = fit.plan, fit.rng
    k = fit.step % fit.model.members
    some = rng.choice(len(fit.where), len(fit.where) // UNDER_WAY, replace=False)
    chosen = [geometries[fit.where[c]] for c in some]
    like = next(iter(fit.weights[k].values()))[0].detach()
    batch = batch_of(
        chosen, [fit.copies[c].positions for c in some], [fit.copies[c].cell for c in some], like
    )
    good = Good.of(originals(chosen, like))
    wanted = pull(good, batch)
    own = {z: fit.model.networks[z].with_weights(each) for z, each in fit.weights[k].items()}
    gradient, virial, loss = _step_loss(fit.model, own, batch, wanted)
    optimizer = fit.optimizers[k]
    for group in optimizer.param_groups:
        group["lr"] = rate_at(plan, fit.step)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], CLIP)
    optimizer.step()
    _average(fit, k)
    _move_on(fit, geometries, some, batch, gradient, virial, wanted)
    fit.step += 1


def rate_at(plan: Plan, step: int) -> float:
    """Return the learning rate of a step: a quick rise, then half a cosine."""
    share = step / plan.steps
    return plan.rate * min(1.0, (step + 1) / RISE) * (0.5 * (1 + math.cos(math.pi * share)) + 0.005)


def _step_loss(
    model: LearnedModel, own: dict[int, Networks], batch: Batch, wanted: Pull
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a member's gradient, virial, and a number with the gradient by its weights."""
    surroundings = described(model.descriptor, batch)
    features = surroundings.features()
    rows = {z: (batch.numbers == z).nonzero().squeeze(1) for z in batch.numbers.unique().tolist()}
    here, slope = {}, torch.empty_like(features)
    for z, some in rows.items():
        here[z] = own[z].components(features[some])
        slope[some] = own[z].values_and_slopes(here[z])[1][0] @ own[z].whitening.T
    gradient, virial = surroundings.trace_back(slope)
    virial = virial * batch.pbc.any(1)[:, None, None]
    weight = 1 / (wanted.variance + ENOUGH**2)
    assert batch.weights is not None
    error = (gradient - wanted.gradient) * (weight[batch.system_idx] * batch.weights)[:, None]
    lever = LEVER**2 * batch.counts
    strain = (virial - wanted.virial) * (weight / lever)[:, None, None]
    strain = (strain + strain.transpose(1, 2)) / 2
    size = float(error.norm(dim=1).max()) + 1e-12
    step = ALONG / size
    there = shifted(batch, step * error, step * strain)
    moved = described(model.descriptor, there).features()
    loss = error.new_zeros(())
    for z, some in rows.items():
        along = (own[z].components(moved[some]) - here[z]) / step
        loss = loss + own[z].along(here[z], along).sum()
    return gradient, virial, loss / (50 * batch.n_atoms)


def _move_on(
    fit: Fit,
    geometries: Sequence[Geometry],
    some: np.ndarray,
    batch: Batch,
    gradient: torch.Tensor,
    virial: torch.Tensor,
    wanted: Pull,
) -> None:
    """Let some copies take a step towards their good structure; replace the others."""
    lever = (LEVER**2 * batch.counts)[:, None, None]
    strain = -STRIDE * virial / lever
    strain = (strain + strain.transpose(1, 2)) / 2 / (1 + KAPPA)
    late = fit.step / fit.plan.steps
    goes_on = GOES_ON + late * (GOES_ON_LATER - GOES_ON)
    moves = np.concatenate([fit.copies[c].move for c in some])
    by = late * MOMENTUM * torch.as_tensor(moves).to(gradient) - STRIDE / (1 + KAPPA) * gradient
    longest = max_by_system(by.norm(dim=1), batch.system_idx, batch.n_systems)
    short = (LONGEST_MOVE / longest.clamp(min=LONGEST_MOVE))[:, None]
    by = by * short[batch.system_idx]
    after = shifted(batch, by, strain * short[:, :, None])
    counts = batch.counts.tolist()
    positions, moved = (each.double().cpu().split(counts) for each in (after.positions, by))
    cells, variance = after.cells.double().cpu().numpy(), wanted.variance.tolist()
    for place, c in enumerate(some):
        if fit.rng.random() < goes_on and variance[place] < LOST:
            fit.copies[c] = Copy(positions[place].numpy(), cells[place], moved[place].numpy())
        else:
            fit.where[c] = int(fit.rng.integers(len(geometries)))
            fit.copies[c] = Copy.of(geometries[fit.where[c]], fit.rng)


def _average(fit: Fit, k: int) -> None:
    turns = fit.step // fit.model.members
    share = min(0.999, (1 + turns) / (10 + turns))
    for z, weights in fit.weights[k].items():
        for average, weight in zip(fit.averages[k][z], weights, strict=True):
            average.lerp_(weight.detach(), 1 - share)


class HeldOut(NamedTuple):
    """Perturbed copies of structures held out, as batches, and their pulls."""

    batches: list[Batch]
    pulls: list[Pull]

    @classmethod
    def of(cls, geometries: Sequence[Geometry], like: torch.Tensor, seed: int) -> HeldOut:
        """Return copies of each structure, the noise of one after the other."""
        rng = np.random.default_rng([seed, 1])
        batches, pulls = [], []
        for noise in NOISE:
            for first in range(0, len(geometries), 32):
                some = geometries[first : first + 32]
                batch = shaken(some, rng, noise, like)
                batches.append(batch)
                pulls.append(pull(Good.of(originals(some, like)), batch))
        return cls(batches, pulls)

    def error(self, model: LearnedModel) -> float:
        """Return the squared error of a model's pull relative to the pull's square."""
        missed = total = 0.0
        for batch, wanted in zip(self.batches, self.pulls, strict=True):
            _, gradient, _ = model.pull(batch)
            weight = (1 / (wanted.variance + ENOUGH**2))[batch.system_idx]
            missed += float((weight * (gradient - wanted.gradient).square().sum(1)).sum())
            total += float((weight * wanted.gradient.square().sum(1)).sum())
        return missed / total


def look(fit: Fit, held_out: HeldOut) -> float:
    """Return the error on the structures held out; the averages are kept if they are the best."""
    error = held_out.error(with_weights(fit.model, fit.averages))
    if error < fit.best_error:
        fit.best, fit.best_error = list(map(_copied, fit.averages)), error
    return error


def with_weights(model: LearnedModel, members: Sequence[Weights]) -> LearnedModel:
    """Return a model with other weights of its networks."""
    networks = {}
    for z, own in model.networks.items():
        each = zip(*(weights[z] for weights in members), strict=True)
        networks[z] = own.with_weights(tuple(torch.cat(same).detach() for same in each))
    return replace(model, networks=networks)


def _weights(model: LearnedModel, k: int) -> Weights:
    return {
        z: tuple(each.clone().requires_grad_() for each in own.member(k).weights())
        for z, own in model.networks.items()
    }


def _copied(weights: Weights) -> Weights:
    return {z: tuple(each.detach().clone() for each in own) for z, own in weights.items()}


def _optimizer(weights: Weights) -> torch.optim.AdamW:
    every = [each for own in weights.values() for each in own]
    return torch.optim.AdamW(every, lr=RATE, betas=(0.9, 0.99), weight_decay=DECAY, foreach=True)
