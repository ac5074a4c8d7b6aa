r"""The error to expect of a relaxed structure, in Angstrom, calibrated on structures held out.

Two things tell how far an atom may be from where it should be: how much the members disagree about
its pull (their spread), and the pseudo-energy that is left. Their logarithms are combined so that
they fit the logarithm of the true errors of structures that took no part in the fit, which were
perturbed and led back; a table then gives the mean error among atoms of like signal, never falling
as the signal rises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import isotonic_regression

from losiko_torch.learned.copies import Geometry, originals, shaken
from losiko_torch.learned.model import LearnedModel, Looked
from losiko_torch.learned.pull import LEVER, displacements, shifted
from losiko_torch.systems.batch import Batch, max_by_system

#: Noise (Angstrom) of the structures that are led back, None that of the fit; steps of this.
STARTS, STEPS, STRIDE = (0.0, 0.05, 0.1, 0.2, None), 30, 0.7
#: Structures led back at most, and at once.
MOST, AT_ONCE = 100, 25
#: Knots of the table of errors, and atoms for each at least.
KNOTS, FEWEST = 12, 20
#: Error (Angstrom) beyond which a structure has become another, and none is told.
FARTHEST = 2.0
#: Signals (Angstrom) below which all is equally good.
LEAST = 1e-4


def signals(looked: Looked) -> torch.Tensor:
    """Return the logarithms of spread and of what is left for each atom, Angstrom, shape (N, 2).

    ``looked`` are the atoms as every member of the model sees them.
    """
    left = (2 * looked.values.mean(0)).clamp(min=0).sqrt()
    gradients = [gradient for gradient, _ in looked.back]
    mean = squares = torch.zeros_like(gradients[0])
    for gradient in gradients:
        mean, squares = mean + gradient, squares + gradient.square()
    count = len(gradients)
    spread = ((squares / count - (mean / count).square()).sum(1)).clamp(min=0).sqrt()
    return torch.stack([spread, left], 1).clamp(min=LEAST).log()


def led_back(model: LearnedModel, batch: Batch) -> Batch:
    """Return a batch after some steps along the pull of a model."""
    lever = (LEVER**2 * batch.counts)[:, None, None]
    for _ in range(STEPS):
        _, gradient, virial = model.pull(batch)
        size = max_by_system(gradient.norm(dim=1), batch.system_idx, batch.n_systems)
        short = STRIDE * (0.2 / size.clamp(min=0.2))
        strain = -(virial + virial.transpose(1, 2)) / 2 / lever * short[:, None, None]
        batch = shifted(batch, -gradient * short[batch.system_idx, None], strain)
    return batch


def calibration(
    model: LearnedModel, geometries: Sequence[Geometry], seed: int, like: torch.Tensor
) -> dict[str, Any] | None:
    """Return the calibration of a model on structures held out, ready for JSON.

    None means that they have too few atoms.
    """
    rng = np.random.default_rng([seed, 3])
    seen, errors = [], []
    for start in STARTS:
        for first in range(0, min(len(geometries), MOST), AT_ONCE):
            some = geometries[first : min(first + AT_ONCE, MOST)]
            ended = led_back(model, shaken(some, rng, start, like))
            apart = displacements(originals(some, like), ended).norm(dim=1)
            found = torch.isfinite(apart) & (apart < FARTHEST)
            seen.append(signals(model.look(ended, every=True))[found].cpu().numpy())
            errors.append(apart[found].cpu().numpy())
    return fitted_table(np.concatenate(seen), np.concatenate(errors))


def fitted_table(seen: np.ndarray, errors: np.ndarray) -> dict[str, Any] | None:
    """Return the table for signals (n, 2) and errors (n,) in Angstrom."""
    knots = min(KNOTS, len(errors) // FEWEST)
    if knots < 2:
        return None
    rows = np.column_stack([np.ones(len(seen)), seen])
    weights, *_ = np.linalg.lstsq(rows, np.log(errors + LEAST), rcond=None)
    order = np.argsort(rows @ weights)
    signal, error = (rows @ weights)[order], errors[order]
    parts = np.array_split(np.arange(len(order)), knots)
    means = isotonic_regression([error[part].mean() for part in parts]).x
    return {
        "weights": weights.tolist(),
        "signals": [float(signal[part].mean()) for part in parts],
        "errors": means.tolist(),
    }


def expected_errors(calibration: Mapping[str, Any], looked: Looked) -> torch.Tensor:
    """Return the error to expect of each atom, Angstrom, shape (N,); see ``signals``."""
    seen = signals(looked).double().cpu().numpy()
    weights = np.array(calibration["weights"])
    signal = weights[0] + seen @ weights[1:]
    knots, errors = np.array(calibration["signals"]), np.array(calibration["errors"])
    found = np.interp(signal, knots, errors)
    # Beyond the table errors go on rising as signals do.
    found = np.where(
        signal > knots[-1], errors[-1] * np.exp((signal - knots[-1]).clip(max=20)), found
    )
    return torch.as_tensor(found.clip(max=FARTHEST)).to(looked.values)
