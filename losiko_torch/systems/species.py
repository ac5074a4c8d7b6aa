"""Chemical elements by symbol or atomic number."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase.data import atomic_numbers as NUMBER_OF_SYMBOL
from ase.data import chemical_symbols

from losiko_torch.errors import InputError, StructureError


def species_numbers(species: Iterable[str | int]) -> tuple[int, ...]:
    """Sorted atomic numbers, without repetition, of symbols or atomic numbers.

    Raises:
        InputError: If ``species`` is empty or no list, or an entry is no element.
    """
    if isinstance(species, str) or not isinstance(species, Iterable):
        raise InputError("give species as a list, for example ['H', 'C', 'O']")
    numbers = set()
    for entry in species:
        if isinstance(entry, str):
            if entry not in NUMBER_OF_SYMBOL or entry == "X":
                raise InputError(f"'{entry}' is no chemical symbol")
            numbers.add(NUMBER_OF_SYMBOL[entry])
        elif isinstance(entry, (int, np.integer)) and 0 < entry < len(chemical_symbols):
            numbers.add(int(entry))
        else:
            raise InputError(f"'{entry}' is neither a chemical symbol nor an atomic number")
    if not numbers:
        raise InputError("species is empty")
    return tuple(sorted(numbers))


def check_known(numbers: np.ndarray, species: tuple[int, ...]) -> None:
    """Raise ``StructureError`` for atomic numbers (N,) not among ``species``; 0 is no atom."""
    unknown = sorted(set(numbers.tolist()) - {0, *species})
    if unknown:
        symbols = ", ".join(chemical_symbols[number] for number in unknown)
        known = ", ".join(chemical_symbols[number] for number in species)
        raise StructureError(f"the descriptor does not know {symbols} (its species are {known})")
