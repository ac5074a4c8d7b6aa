"""Least cost of a step with learned targets, counted as ``floor.py`` does.

The descriptor is a SOAP of mixed channels. First layers are folded with the whitening where the
package does so, and lead back to the features by the same product. Only the products of matrices
count in the layers: their functions are a hundredth of it, and weights are read once for many
atoms.
"""

from __future__ import annotations

import torch
from ase import Atoms
from floor import (
    BACKWARD,
    DENSITY,
    INDEX,
    ITEM,
    OPTIMIZER,
    PAIRS,
    SPECTRUM,
    STEP,
    Cost,
    back_through_spectrum,
    by_elements,
    elements_of,
    expansion,
    lists,
    pairs_per_atom,
    spectrum,
)

from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.learned.folded import Folded
from losiko_torch.learned.model import LearnedModel
from losiko_torch.learned.networks import Networks

#: Names of the parts that other targets do not have.
MIXING, FIRST, INNER, SLOPES = "mixing", "first layers", "inner layers", "slope by features"
LEARNED_PARTS = (PAIRS, DENSITY, MIXING, SPECTRUM, FIRST, INNER, SLOPES, BACKWARD, OPTIMIZER)


def floor_learned(
    model: LearnedModel, structures: list[Atoms], evaluations: float
) -> dict[str, Cost]:
    """Return the least cost of each part of a relaxation.

    Args:
        model: Learned targets whose descriptor is a ``MixedSoap``, on the processor.
        structures: Structures that are relaxed; the neighbours are those of these geometries.
        evaluations: Evaluations of atoms, in all.
    """
    total = dict.fromkeys(LEARNED_PARTS, Cost())
    for group, share in by_elements(structures):
        own = of_atom(model, group)
        total = {part: total[part] + own[part] * (evaluations * share) for part in LEARNED_PARTS}
    return total


def of_atom(model: LearnedModel, structures: list[Atoms]) -> dict[str, Cost]:
    """Return the cost of a step of an atom, the mean of structures that share a batch."""
    elements = dict(elements_of(structures))
    model = model.restricted(elements)
    mixed = model.descriptor
    assert isinstance(mixed, MixedSoap)
    soap, q, features = mixed.soap, mixed.n_channels, mixed.get_number_of_features()
    seen = pairs_per_atom(structures, soap.cutoff)
    channels, harmonics = len(soap.species) * soap.n_max, (soap.l_max + 1) ** 2
    coefficients, mixing = channels * harmonics, 2 * harmonics * channels * q
    layers = {part: Cost() for part in (FIRST, INNER, SLOPES)}
    for number, share in elements.items():
        for part, cost in of_layers(model.networks[number]).items():
            layers[part] += cost * share
    return {
        PAIRS: lists(structures, soap.cutoff),
        DENSITY: Cost(expansion(soap, seen), seen * 2 * INDEX + ITEM * coefficients),
        MIXING: Cost(mixing, ITEM * (coefficients + harmonics * q)),
        SPECTRUM: spectrum(q, harmonics, features),
        **layers,
        BACKWARD: Cost(
            back_through_spectrum(q, harmonics, features) + mixing + 2 * expansion(soap, seen),
            ITEM * (2 * features + 2 * harmonics * q),
        ),
        OPTIMIZER: STEP,
    }


def of_layers(networks: Networks) -> dict[str, Cost]:
    """Return the cost of values and the mean's slope of an atom of one element."""
    folded = Folded.of(networks, torch.empty(0))
    members, width = networks.members, networks.w2.shape[2]
    every, features = members * width, len(networks.whitening)
    weights = folded.first.numel()
    if folded.whitening is not None:
        weights += folded.whitening.numel()
    outer = Cost(2 * weights, ITEM * (features + every))
    # There and back through the second layers, and to a value by the third.
    inner = Cost(4 * every * width + 2 * every, ITEM * (2 * every + members))
    return {FIRST: outer, INNER: inner, SLOPES: outer}
