"""DScribe's ``compression`` dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
