"""Fitting learned targets from start to end: structures held out, steps, what is written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import nn

from losiko_torch.accelerators import kernels_for
from losiko_torch.errors import InputError
from losiko_torch.learned import checkpoint
from losiko_torch.learned.begin import random_model
from losiko_torch.learned.copies import Geometry, originals
from losiko_torch.learned.expected_error import calibration
from losiko_torch.learned.fitting import LOOK, RATE, Fit, HeldOut, Plan, advance, look
from losiko_torch.learned.model import LearnedModel

#: Structures below which none can be held out.
FEWEST = 8
#: Share of the structures held out, of few and of many, and most of them.
HELD_OUT, HELD_OUT_OF_FEW, FEW, MOST_HELD_OUT = 0.05, 0.15, 200, 200
#: Steps for one structure; they grow with the root of the structures, up to a limit.
STEPS, MOST_STEPS = 220, 14000
#: Members of a model, and width of their hidden layers.
MEMBERS, WIDTH = 2, 192
#: Steps after which speed is known, where time is given.
TRIAL = 20
#: Share of the usual learning rate with which networks that are fitted already go on.
GENTLE = 0.2
#: Environments of an element below which it is written down as rare.
RARE = 30

#: Called with steps done, steps in all, and the error on the structures held out.
Progress = Callable[[int, int, float], None]


class FitOptions(NamedTuple):
    """Options of a fit; see ``EnvironmentDatabase.fit``."""

    seed: int = 0
    steps: int | None = None
    minutes: float | None = None
    members: int = MEMBERS
    width: int = WIDTH
    checkpoint: Path | None = None


def fit_model(
    descriptor: nn.Module,
    geometries: Sequence[Geometry],
    options: FitOptions,
    start: LearnedModel | None = None,
    progress: Progress | None = None,
    device: torch.device | None = None,
) -> LearnedModel:
    """Return a model fitted to geometries; see ``EnvironmentDatabase.fit`` for the arguments.

    Raises:
        InputError: If there are too few structures, or ``start`` does not know their elements.
    """
    began = time.monotonic()
    # A fit evaluates few atoms often: kernels pay, compiled or not.
    kernels_for(torch.device("cpu") if device is None else device)
    kept, held_out = split(geometries, options.seed)
    model = _beginning(descriptor, kept, options, start, device)
    steps = options.steps or usual_steps(len(kept))
    rate = RATE if start is None else GENTLE * RATE
    fit = Fit.begin(model, kept, Plan(steps, options.seed, rate))
    like = torch.empty(0, device=device)
    judges = HeldOut.of(held_out[::2], like, options.seed)
    first = look(fit, judges)
    path = options.checkpoint
    mark = checkpoint.fingerprint_of(model, kept)
    timed = options.minutes is not None and options.steps is None
    going_on = path is not None and checkpoint.load(path, fit, mark, kept, timed)
    if timed and not going_on:
        assert options.minutes is not None
        fit = _timed(fit, kept, options.minutes * 60 - (time.monotonic() - began), judges)
    error = fit.best_error
    while fit.step < fit.plan.steps:
        advance(fit, kept)
        if fit.step % LOOK == 0 or fit.step == fit.plan.steps:
            error = look(fit, judges)
            if path is not None:
                checkpoint.save(fit, mark, path)
        if progress is not None:
            progress(fit.step, fit.plan.steps, error)
    found = _leveled(fit.fitted, kept, like)
    info = _record(fit, kept, held_out, first)
    info["calibration"] = calibration(found, held_out[1::2], options.seed, like)
    return replace(found, info=info)


def usual_steps(count: int) -> int:
    """Return the steps for this many structures."""
    return min(MOST_STEPS, round(STEPS * count**0.5))


def split(geometries: Sequence[Geometry], seed: int) -> tuple[list[Geometry], list[Geometry]]:
    """Return structures to fit and structures held out; every element stays among the first.

    Raises:
        InputError: If there are too few.
    """
    if len(geometries) < FEWEST:
        raise InputError(
            f"{len(geometries)} structures of two atoms and more are too few to fit learned "
            f"targets: {FEWEST} are needed, of which some are held out"
        )
    few = len(geometries) < FEW
    wanted = round((HELD_OUT_OF_FEW if few else HELD_OUT) * len(geometries))
    wanted = min(max(2, wanted), MOST_HELD_OUT)
    left: dict[int, int] = {}
    for each in geometries:
        for number in np.unique(each.numbers).tolist():
            left[number] = left.get(number, 0) + 1
    out: set[int] = set()
    for k in np.random.default_rng([seed, 0]).permutation(len(geometries)).tolist():
        elements = np.unique(geometries[k].numbers).tolist()
        if len(out) < wanted and all(left[number] > 2 for number in elements):
            out.add(k)
            for number in elements:
                left[number] -= 1
    if len(out) < 2:
        raise InputError(
            "no structure can be held out from the fit, as each is one of two or fewer with some "
            "element: add structures"
        )
    kept = [each for k, each in enumerate(geometries) if k not in out]
    return kept, [geometries[k] for k in sorted(out)]


def _beginning(
    descriptor: nn.Module,
    kept: Sequence[Geometry],
    options: FitOptions,
    start: LearnedModel | None,
    device: torch.device | None,
) -> LearnedModel:
    if start is None:
        return random_model(descriptor, kept, options.members, options.width, options.seed, device)
    unknown = sorted({int(z) for each in kept for z in each.numbers} - set(start.networks))
    if unknown:
        names = ", ".join(chemical_symbols[z] for z in unknown)
        known = ", ".join(chemical_symbols[z] for z in start.networks)
        raise InputError(
            f"the networks to start with know no {names} (they know {known}): fit without start"
        )
    return start.to("cpu" if device is None else device)


def _timed(fit: Fit, kept: Sequence[Geometry], seconds: float, judges: HeldOut) -> Fit:
    """Return the fit begun anew with as many steps as the time allows; some are made for that."""
    trial = Fit.begin(fit.model, kept, fit.plan)
    advance(trial, kept)
    began = time.monotonic()
    for _ in range(TRIAL):
        advance(trial, kept)
    each = (time.monotonic() - began) / TRIAL
    steps = max(TRIAL, round((seconds - each * TRIAL) / each))
    fresh = Fit.begin(fit.model, kept, fit.plan._replace(steps=steps))
    look(fresh, judges)
    return fresh


@torch.no_grad()
def _leveled(model: LearnedModel, kept: Sequence[Geometry], like: torch.Tensor) -> LearnedModel:
    """Return the model with shares that are about zero, element by element, where all is good."""
    sums = {z: torch.zeros(model.members).to(like) for z in model.networks}
    counts = dict.fromkeys(model.networks, 0)
    for first in range(0, min(len(kept), 400), 40):
        some = kept[first : first + 40]
        batch = originals(some, like)
        values = model.look(batch).values
        for z in batch.numbers.unique().tolist():
            sums[z] += values[:, batch.numbers == z].sum(1)
            counts[z] += int((batch.numbers == z).sum())
    networks = {
        z: replace(own, offset=own.offset + sums[z] / max(counts[z], 1))
        for z, own in model.networks.items()
    }
    return replace(model, networks=networks)


def _record(
    fit: Fit, kept: Sequence[Geometry], held_out: Sequence[Geometry], first: float
) -> dict[str, Any]:
    counts: dict[int, int] = {}
    for each in kept:
        for number, count in zip(*np.unique(each.numbers, return_counts=True), strict=True):
            counts[int(number)] = counts.get(int(number), 0) + int(count)
    rare = {chemical_symbols[z]: count for z, count in sorted(counts.items()) if count < RARE}
    return {
        "seed": fit.plan.seed,
        "steps": fit.plan.steps,
        "structures": len(kept),
        "held_out": len(held_out),
        "members": fit.model.members,
        "error_before": first,
        "error": fit.best_error,
        **({"rare": rare} if rare else {}),
    }
