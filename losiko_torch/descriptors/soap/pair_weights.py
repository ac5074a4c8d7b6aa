"""Weights of neighbours in the density: by distance, by element, and where they fade out."""

from __future__ import annotations

from typing import Any

import torch

from losiko_torch.descriptors.soap.neighbor_weights import (
    neighbor_weights,
    smooth_cutoff,
    smooth_cutoff_slope,
)


def pair_weights(soap: Any, r2: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor | None:
    """Return the weights of neighbours, shape (E,); None means that all are 1.

    Args:
        soap: SOAP, in whichever form.
        r2: Squared interatomic distances (Angstrom^2), shape (E,).
        numbers: Atomic numbers of the neighbours, shape (E,).
    """
    weights = neighbor_weights(r2, soap.weighting) if soap.weighting else None
    if soap.weighs_species:
        own = soap.species_weights.to(r2.dtype)[soap.element_of_number[numbers]]
        weights = own if weights is None else weights * own
    if soap.smooth_width > 0:
        smooth = smooth_cutoff(r2, soap.cutoff, soap.smooth_width)
        weights = smooth if weights is None else weights * smooth
    return weights


def pair_weight_slopes(soap: Any, r2: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Return the derivatives of the weights of neighbours by r^2, shape (E,)."""
    if not soap.weighting and not soap.weighs_species:
        return smooth_cutoff_slope(r2, soap.cutoff, soap.smooth_width)
    with torch.enable_grad():
        r2 = r2.detach().requires_grad_()
        weights = pair_weights(soap, r2, numbers)
        assert weights is not None
        total = weights.sum()
    if not total.requires_grad:
        return torch.zeros_like(r2)
    return torch.autograd.grad(total, r2)[0]
