"""Checks of SOAP's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from losiko_torch.descriptors.soap.power_spectrum import COMPRESSIONS
from losiko_torch.errors import InputError
from losiko_torch.systems.species import species_numbers


def check_compression(
    compression: Mapping[str, Any] | None, species: tuple[int, ...]
) -> tuple[dict[str, Any], list[float]]:
    """DScribe's compression dictionary, checked, and the weight of each species."""
    compression = compression or {}
    mode = compression.get("mode", "off")
    if mode not in COMPRESSIONS:
        raise InputError(f"compression mode '{mode}' is none of {', '.join(COMPRESSIONS)}")
    unknown = set(compression) - {"mode", "species_weighting"}
    if unknown:
        raise InputError(f"compression has unknown entries: {', '.join(sorted(unknown))}")
    weighting = compression.get("species_weighting")
    if weighting is not None and not isinstance(weighting, Mapping):
        raise InputError("species_weighting must be a dictionary from species to weights")
    if weighting is None:
        return {"mode": mode, "species_weighting": None}, [1.0] * len(species)
    by_number = {species_numbers([key])[0]: float(value) for key, value in weighting.items()}
    if set(by_number) != set(species):
        raise InputError("species_weighting needs exactly one weight for each of the species")
    named = {chemical_symbols[number]: by_number[number] for number in species}
    return {"mode": mode, "species_weighting": named}, [by_number[number] for number in species]


def check_ranges(n_max, l_max, sigma, rbf, average, smooth_width, dtype) -> None:
    """Raise ``InputError`` for arguments of ``SOAP`` that are out of range."""
    for name, number in (("n_max", n_max), ("l_max", l_max)):
        if not isinstance(number, (int, np.integer)):
            raise InputError(f"{name} must be an integer, not {number!r}")
    if n_max < 1:
        raise InputError(f"n_max must be at least 1, not {n_max}")
    if not 0 <= l_max <= 20:
        raise InputError(f"l_max must lie between 0 and 20, not {l_max}")
    if not sigma > 0:
        raise InputError(f"sigma must be positive, not {sigma}")
    if not smooth_width >= 0:
        raise InputError(f"smooth_width must not be negative, not {smooth_width}")
    for name, value, allowed in (
        ("rbf", rbf, ("gto", "polynomial")),
        ("average", average, ("off", "inner", "outer")),
        ("dtype", dtype, ("float32", "float64")),
    ):
        if value not in allowed:
            raise InputError(f"{name} '{value}' is none of {', '.join(allowed)}")
