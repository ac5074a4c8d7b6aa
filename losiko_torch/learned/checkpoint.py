"""A fit that survives an interruption: everything that its next step depends on, in one file.

A fit that goes on from there gives, bit by bit, what it would have given without interruption.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from losiko_torch.errors import InputError
from losiko_torch.io.atomic import replacement
from losiko_torch.learned.copies import Geometry
from losiko_torch.learned.fitting import Copy, Fit, Plan, Weights
from losiko_torch.learned.model import LearnedModel

#: Names of the sets of weights of each member.
SETS = ("weights", "averages", "best")
#: Names of the optimizer's tensors for each weight.
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def fingerprint_of(model: LearnedModel, geometries: Sequence[Geometry]) -> str:
    """Return a digest of what a fit begins with: model and structures."""
    digest = hashlib.sha256()
    for each in geometries:
        for array in (each.numbers, each.positions, each.cell, each.pbc, each.weights):
            digest.update(np.ascontiguousarray(array).tobytes())
    for number, own in model.networks.items():
        digest.update(str(number).encode())
        for tensor in (own.whitening, *own.weights()):
            digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def save(fit: Fit, fingerprint: str, path: Path) -> None:
    """Write a fit, all or nothing, over what is there."""
    tensors = {}
    for name in SETS:
        for k, member in enumerate(getattr(fit, name)):
            for key, tensor in _named(member).items():
                tensors[f"{name}/{k}/{key}"] = tensor.detach().clone()
    for k, optimizer in enumerate(fit.optimizers):
        for key, weight in _named(fit.weights[k]).items():
            for moment, tensor in optimizer.state[weight].items():
                tensors[f"{moment}/{k}/{key}"] = tensor.detach().clone()
    positions, cells, moves = zip(*fit.copies, strict=True)
    tensors["positions"] = torch.as_tensor(np.concatenate(positions))
    tensors["moves"] = torch.as_tensor(np.concatenate(moves))
    tensors["cells"] = torch.as_tensor(np.stack(cells))
    header = {
        "fingerprint": fingerprint,
        "plan": json.dumps(fit.plan._asdict()),
        "where": json.dumps(fit.where),
        "step": str(fit.step),
        "best_error": repr(fit.best_error),
        "rng": json.dumps(fit.rng.bit_generator.state),
    }
    with replacement(path, overwrite=True) as temporary:
        save_file(tensors, temporary, metadata=header)


def load(
    path: Path, fit: Fit, fingerprint: str, geometries: Sequence[Geometry], any_steps: bool
) -> bool:
    """Bring a fit that has just begun to where a file says; return whether there is one.

    Args:
        path: File.
        fit: Fit that has just begun.
        fingerprint: Digest of what it began with.
        geometries: Structures.
        any_steps: Whether the number of steps is that of the file, as time was given, not steps.

    Raises:
        InputError: If the file belongs to another fit, or is damaged.
    """
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        plan = Plan(**json.loads(header["plan"]))
        same = plan == (fit.plan._replace(steps=plan.steps) if any_steps else fit.plan)
        if header["fingerprint"] != fingerprint or not same:
            raise InputError(
                f"{path} is an unfinished fit of other structures or settings: remove it, or fit "
                "with the same ones to go on"
            )
        _restore(fit, header, tensors, geometries)
    except InputError:
        raise
    except (SafetensorError, LookupError, ValueError, TypeError, OSError) as error:
        raise InputError(f"{path}: no unfinished fit, or a damaged one: remove it") from error
    fit.plan = plan
    return True


@torch.no_grad()
def _restore(
    fit: Fit,
    header: dict[str, Any],
    tensors: dict[str, torch.Tensor],
    geometries: Sequence[Geometry],
) -> None:
    for name in SETS:
        for k, member in enumerate(getattr(fit, name)):
            for key, tensor in _named(member).items():
                tensor.copy_(tensors[f"{name}/{k}/{key}"])
    fit.step = int(header["step"])
    for k, optimizer in enumerate(fit.optimizers):
        for key, weight in _named(fit.weights[k]).items():
            if f"exp_avg/{k}/{key}" in tensors:
                optimizer.state[weight] = {
                    moment: tensors[f"{moment}/{k}/{key}"].to(
                        "cpu" if moment == "step" else weight.device
                    )
                    for moment in MOMENTS
                }
    fit.where = json.loads(header["where"])
    ends = np.cumsum([len(geometries[k]) for k in fit.where])[:-1]
    positions, moves = (np.split(tensors[name].numpy(), ends) for name in ("positions", "moves"))
    every = zip(positions, tensors["cells"].numpy(), moves, strict=True)
    fit.copies = [Copy(*each) for each in every]
    fit.best_error = float(header["best_error"])
    fit.rng.bit_generator.state = json.loads(header["rng"])


def _named(weights: Weights) -> dict[str, torch.Tensor]:
    return {f"{z}/{place}": each for z, own in weights.items() for place, each in enumerate(own)}
