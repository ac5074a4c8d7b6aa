"""Geometries that a database gives to a fit of learned targets, weighted as its references."""

from __future__ import annotations

import numpy as np
from torch import nn

from losiko_torch.database.record import DatabaseRecord
from losiko_torch.database.stored_descriptor import SAME, fingerprint
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.errors import InputError
from losiko_torch.learned.copies import Geometry


def check_start(descriptor: nn.Module, database: DatabaseRecord) -> None:
    """Raise ``InputError`` for networks that see atoms by another module than the database's."""
    if isinstance(descriptor, MixedSoap):
        return
    elements = list(database.environments)
    ours, theirs = (fingerprint(each, elements) for each in (database.descriptor, descriptor))
    if ours.shape != theirs.shape or (ours - theirs).norm() > SAME * ours.norm():
        raise InputError(
            "the networks to start with see atoms by another descriptor than the database's: fit "
            "without start, or describe both alike"
        )


def geometries_of(database: DatabaseRecord) -> list[Geometry]:
    """Return the structures of two atoms and more that have references left, with weights.

    An atom weighs as its reference does. One whose reference was taken out, as a duplicate for
    example, weighs as those of its structure do on average.

    Raises:
        InputError: If the database keeps no structures.
    """
    kept = database.geometries
    if kept is None:
        raise InputError(
            "the database keeps no structures, as it was built with an earlier version or united "
            "with one that was: build it anew from its structures to fit learned targets"
        )
    first = np.array(kept.first)
    weights = np.full(first[-1], np.nan)
    for part in database.environments.values():
        places = first[part.structure.cpu().numpy()] + part.atom.cpu().numpy()
        own = 1.0 if part.weight is None else part.weight.cpu().numpy()
        weights[places] = own
    found = []
    for k in range(len(kept)):
        own = weights[first[k] : first[k + 1]]
        known = ~np.isnan(own)
        if len(own) < 2 or not known.any() or not own[known].any():
            continue
        own = np.where(known, own, own[known].mean())
        found.append(Geometry.of(kept.atoms(k), own))
    return found
