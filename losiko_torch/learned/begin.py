"""The model that a fit begins with, for a database's structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from losiko_torch.learned.components import can_be_mixed, mixed_soap, seen_by_networks, whitenings
from losiko_torch.learned.copies import Geometry, shaken
from losiko_torch.learned.model import LearnedModel
from losiko_torch.learned.networks import Networks
from losiko_torch.systems.batch import Batch

#: Structures whose copies tell the components, and those described at once.
SAMPLE, AT_ONCE = 400, 25
#: Noise (Angstrom) of these copies.
NOISE = 0.07


def random_model(
    descriptor: nn.Module,
    geometries: Sequence[Geometry],
    members: int,
    width: int,
    seed: int,
    device: torch.device | None = None,
) -> LearnedModel:
    """Return a model with random networks, its descriptor and components made for structures."""
    rng = np.random.default_rng([seed, 2])
    like = torch.empty(0, device=device)
    batches = list(samples(geometries, rng, like))
    if can_be_mixed(descriptor):
        descriptor = mixed_soap(seen_by_networks(descriptor), batches).to(device)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    networks = {}
    for number, (whitening, shift) in whitenings(descriptor, batches).items():
        made = Networks.random(whitening.cpu(), shift.cpu(), members, width, generator)
        networks[number] = made.to(like)
    return LearnedModel(descriptor, networks)


def samples(
    geometries: Sequence[Geometry], rng: np.random.Generator, like: torch.Tensor
) -> list[Batch]:
    """Return batches of perturbed copies of some structures, every element among them."""
    order = rng.permutation(len(geometries))
    rare = [_rarest(geometries, number) for number in _elements(geometries)]
    chosen = list(dict.fromkeys([*order[:SAMPLE].tolist(), *(k for each in rare for k in each)]))
    batches = []
    for first in range(0, len(chosen), AT_ONCE):
        some = [geometries[k] for k in chosen[first : first + AT_ONCE]]
        batches.append(shaken(some, rng, NOISE, like))
    return batches


def _elements(geometries: Sequence[Geometry]) -> list[int]:
    return sorted({int(z) for each in geometries for z in np.unique(each.numbers)})


def _rarest(geometries: Sequence[Geometry], number: int) -> list[int]:
    """Return the first structures with an element, a few."""
    found = (k for k, each in enumerate(geometries) if number in each.numbers)
    return [k for k, _ in zip(found, range(SAMPLE // 10), strict=False)]
