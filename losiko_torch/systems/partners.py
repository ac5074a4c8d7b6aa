"""Partners of an atom: what it is bonded to, such as three H and a C of four bonds.

A radical, a carbene or an odd valence has partners that no closed-shell molecule shows. How many
bonds a hydrogen has is not counted, since hydrogen bonds come close to being one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols

from losiko_torch.systems.batch import Batch
from losiko_torch.systems.bonds import BONDED, Lengths
from losiko_torch.systems.neighbors import Pairs

#: Symbol of an atom, and its partners' symbols and numbers of bonds, such as "C C4 H H H".
Partners = str
#: Distances over the sum of covalent radii at each of which bonds are counted: an atom has several
#: sets of partners where a bond is a little longer or shorter than usual.
COUNTED = (1.15, 1.2, BONDED)
#: Bonds of a partner that are told from more, at most.
MOST_BONDS = 9


def partners_of(batch: Batch, near: Lengths) -> set[Partners]:
    """Return the partners of all atoms of a batch's molecules; crystals and slabs are left out."""
    found: set[Partners] = set()
    for row, bonded in zip(codes_of(batch, near), COUNTED, strict=True):
        _, first = np.unique(row.cpu().numpy(), return_index=True)
        atoms = first[molecular(batch).cpu().numpy()[first]]
        found.update(partners_of_atoms(batch, near, atoms, bonded))
    return found


def partners_of_atoms(
    batch: Batch, near: Lengths, atoms: Iterable[int], bonded: float = BONDED
) -> Iterator[Partners]:
    """Yield the partners of atoms, by bonds of at most ``bonded`` times the covalent radii."""
    return map(finder(batch, near, bonded), atoms)


def finder(batch: Batch, near: Lengths, bonded: float = BONDED) -> Callable[[int], Partners]:
    """Return the function from an atom to its partners; ``partners_of_atoms`` has the arguments."""
    pairs, counted = _bonds(batch, near, bonded)
    center, neighbor = pairs.center.cpu().numpy(), pairs.neighbor.cpu().numpy()
    numbers, counts = batch.numbers.tolist(), counted.tolist()

    def partners(atom: int) -> Partners:
        first, end = np.searchsorted(center, [atom, atom + 1]).tolist()
        words = sorted(_word(numbers[own], counts[own]) for own in neighbor[first:end].tolist())
        return " ".join([chemical_symbols[numbers[atom]], *words])

    return partners


def molecular(batch: Batch) -> torch.Tensor:
    """Return the mask (N,) of the atoms of structures that are not periodic."""
    return ~batch.pbc.any(1)[batch.system_idx]


def codes_of(batch: Batch, near: Lengths) -> torch.Tensor:
    """Return a number for the partners of each atom, shape (len(COUNTED), N), int64.

    Equal partners have equal numbers; those of periodic structures differ from all others'.

    Args:
        batch: Structures.
        near: Pairs of theirs, all bonds among them.
    """
    numbers = batch.numbers.long()
    words = _words().to(numbers.device)
    codes = (words[numbers, 0] + ~molecular(batch)).repeat(len(COUNTED), 1)
    for row, bonded in zip(codes, COUNTED, strict=True):
        pairs, counts = _bonds(batch, near, bonded)
        row.index_add_(0, pairs.center, words[numbers, counts][pairs.neighbor])
    return codes


@lru_cache(maxsize=16)
def coded(partners: frozenset[Partners]) -> torch.Tensor:
    """Return the numbers that ``codes_of`` gives to atoms with these partners, ascending.

    Raises:
        LookupError: If an element is none, or a number of bonds too large.
    """
    words = _words().numpy()
    codes = []
    for center, *own in map(str.split, partners):
        drawn = [words[atomic_numbers[center], 0]]
        for symbol, count in map(element_and_bonds, own):
            drawn.append(words[atomic_numbers[symbol], count])
        codes.append(np.sum(drawn))
    return torch.as_tensor(np.sort(np.array(codes, dtype=np.int64)))


def element_and_bonds(partner: str) -> tuple[str, int]:
    """Return the symbol and the number of bonds of a partner, such as "C4"; of H one."""
    symbol = partner.rstrip("0123456789")
    return symbol, int(partner[len(symbol) :] or 1)


def _bonds(batch: Batch, near: Lengths, bonded: float) -> tuple[Pairs, torch.Tensor]:
    """Return the bonded pairs, and the number of bonds of each atom that counts, shape (N,)."""
    pairs = near.pairs.keep(near.relative <= bonded)
    counts = torch.bincount(pairs.center, minlength=batch.n_atoms).clamp(max=MOST_BONDS)
    counts[batch.numbers == 1] = 1
    return pairs, counts


def _word(number: int, count: int) -> str:
    return "H" if number == 1 else f"{chemical_symbols[number]}{count}"


@cache
def _words() -> torch.Tensor:
    """Return random numbers for each element: as an atom, and as a partner of 1 bond and more.

    Sums of a few of them differ unless they are sums of the same.
    """
    limits = np.iinfo(np.int64)
    size = (len(chemical_symbols), 1 + MOST_BONDS)
    return torch.as_tensor(np.random.default_rng(0).integers(limits.min, limits.max, size=size))
