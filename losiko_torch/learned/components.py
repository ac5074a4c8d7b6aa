"""The descriptor that networks see, and the components of it that they work on.

Both follow from perturbed copies of a database's structures, without labels: of SOAP, the mixed
channels (``descriptors.soap.mixed``) that keep most of the density; of the features, principal
components, made about equally large.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeGuard

import torch
from torch import nn

from losiko_torch.descriptors.evaluation import described
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.systems.batch import Batch

#: Mixed channels of SOAP; components of the features at most.
CHANNELS, COMPONENTS = 12, 256
#: Size below which a component is not made as large as others, relative to the largest.
FLOOR = 0.03
#: Components smaller than this (variance, relative to the largest) hold nothing but rounding.
ROUNDING = 1e-7
#: Atoms of an element that components are made of, at most.
SAMPLE = 4000
#: Radial functions and degrees of SOAP that networks see at most: more are slower, not better.
MOST_RADIAL, MOST_DEGREES = 6, 4
#: Width (Angstrom) over which neighbours fade out, where a descriptor cuts them off sharply: on the
#: way to a good structure the loss must not jump.
SMOOTH = 0.5


def seen_by_networks(soap: SOAP) -> SOAP:
    """Return the SOAP that networks see atoms by: as wide and sharp, but small and smooth."""
    changed = {
        "n_max": min(soap.n_max, MOST_RADIAL),
        "l_max": min(soap.l_max, MOST_DEGREES),
        "smooth_width": soap.smooth_width or SMOOTH,
    }
    return SOAP(**{**soap.parameters_dict(), **changed})


def can_be_mixed(descriptor: nn.Module) -> TypeGuard[SOAP]:
    """Return whether a descriptor is a SOAP whose channels can be mixed."""
    return (
        type(descriptor) is SOAP
        and descriptor.average == "off"
        and descriptor.compression["mode"] == "off"
    )


@torch.no_grad()
def mixed_soap(soap: SOAP, batches: Sequence[Batch], channels: int = CHANNELS) -> MixedSoap:
    """Return a SOAP with the channels mixed that hold most of the density in these batches."""
    numbers = torch.cat([batch.numbers for batch in batches])
    blocks = [soap.coefficients(batch) for batch in batches]
    centers = sorted(numbers.unique().tolist())
    rows: list[list[torch.Tensor]] = []
    for number in centers:
        own = numbers == number
        rows.append([])
        for degree in range(soap.l_max + 1):
            some = torch.cat([block[degree] for block in blocks])[own][:SAMPLE].double()
            some = some.flatten(1, 2).transpose(1, 2).flatten(0, 1)
            _, vectors = torch.linalg.eigh(some.T @ some)
            rows[-1].append(_widened(vectors[:, -channels:].flip(1), channels))
    shape = (len(centers), soap.l_max + 1, len(soap.species), soap.n_max, -1)
    mixing = torch.stack([torch.stack(each) for each in rows]).reshape(shape)
    return MixedSoap(soap, centers, mixing.float())


def _widened(vectors: torch.Tensor, channels: int) -> torch.Tensor:
    missing = channels - vectors.shape[1]
    return torch.nn.functional.pad(vectors, (0, max(missing, 0)))


@torch.no_grad()
def whitenings(
    descriptor: nn.Module, batches: Iterable[Batch], components: int = COMPONENTS
) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Return whitening (F, r) and shift (r,) of each element, see ``learned.networks``."""
    batches = list(batches)
    numbers = torch.cat([batch.numbers for batch in batches])
    features = torch.cat([described(descriptor, batch).features() for batch in batches])
    found = {}
    for number in sorted(numbers.unique().tolist()):
        own = features[numbers == number][:SAMPLE].double()
        mean = own.mean(0)
        variances, vectors = _principal(own - mean, components)
        scale = 1 / (variances + FLOOR**2 * variances.max()).sqrt().clamp(min=1e-12)
        whitening = vectors * scale
        found[number] = whitening.float(), (mean @ whitening).float()
    return found


def _principal(centered: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return variances (r,), largest first, and directions (F, r) of centered rows (n, F)."""
    n, width = centered.shape
    if n >= width:
        squares, vectors = torch.linalg.eigh(centered.T @ centered)
    else:
        squares, left = torch.linalg.eigh(centered @ centered.T)
        vectors = centered.T @ left / squares.clamp(min=1e-300).sqrt()
    squares, vectors = squares.flip(0)[:count], vectors.flip(1)[:, :count]
    kept = int((squares > ROUNDING * squares[0]).sum()) or 1
    return squares[:kept] / n, vectors[:, :kept]
