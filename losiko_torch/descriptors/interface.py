"""The interface of descriptors: one obligatory call, and optional attributes.

A descriptor is a ``torch.nn.Module`` that maps a ``Batch`` to one row of features an atom,
differentiable with respect to positions and cells. It serves databases, targets, optimizers and the
calculator. ``SOAP`` and ``ACSF`` are two; any other module serves as well, such as a learned
embedding, or this one:

>>> from ase.build import molecule
>>> from losiko_torch import Batch, EnvironmentDatabase, relax
>>> from losiko_torch.systems.neighbors import find_pairs
>>> class Shells(torch.nn.Module):
...     cutoff = 3.0
...     def forward(self, batch):
...         pairs = find_pairs(batch, self.cutoff, True)
...         r = pairs.vectors(batch).norm(dim=1)
...         shells = torch.exp(-4 * (r[:, None] - torch.linspace(0.5, 3, 12).to(r)) ** 2)
...         faded = shells * ((1 + torch.cos(torch.pi * r / self.cutoff)) / 2)[:, None]
...         return faded.new_zeros(batch.n_atoms, 12).index_add(0, pairs.center, faded)
>>> database = EnvironmentDatabase.build([molecule("H2O"), molecule("NH3")], Shells())
>>> database
EnvironmentDatabase(2 structures: 5 H, 1 N, 1 O; Shells with 12 features)
>>> water = molecule("H2O")
>>> water.rattle(0.1, seed=1)
>>> relax(water, database, targets="nearest")[0].reason
'converged'

A module with parameters computes in their precision; batch and features are converted. The
steepness of the loss depends on the descriptor: the default ``fmax`` was chosen for SOAP, another
descriptor may need its own. Optional attributes, each with its default in parentheses:

- ``species``: elements that it describes, symbols or atomic numbers (all).
- ``cutoff``: interatomic distance (Angstrom) beyond which an atom has no influence, through all
  layers together (unknown).
- ``periodic``: whether it honours ``batch.pbc`` (yes). If not, periodic structures are refused.
- ``forward(batch, centers, pairs)``: two more arguments, the atoms whose rows are wanted (indices;
  None means all) and the pairs within the cutoff (``Pairs``; None means unknown), either of which
  may be missing (all rows are computed, then selected).
- ``restricted(numbers)``: a cheaper equivalent for these elements, and the features that it gives
  while the others vanish (itself).
- ``bytes_per_atom(item)``: memory at the peak of a gradient, with numbers of ``item`` bytes (a
  guess by the number of features and the cutoff).
- ``parameters_dict()`` and ``summary()``: parameters, and a line of text for ``losiko info`` (its
  name).
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol

import torch
from torch import nn

from losiko_torch.errors import InputError
from losiko_torch.systems.active import ALL_ATOMS, ActiveAtoms
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.species import species_numbers

#: Atoms per cubic Angstrom, for estimates of an atom's neighbours: those of a dense solid.
DENSITY = 0.1
#: Guess of the numbers that an unknown module keeps for each neighbour, and for each feature.
NUMBERS_PER_NEIGHBOR, NUMBERS_PER_FEATURE = 300, 32
#: Guess of the cutoff (Angstrom) of an unknown module.
USUAL_CUTOFF = 5.0


class Descriptor(Protocol):
    """A ``torch.nn.Module`` that describes the atoms of a batch; see the text of this file."""

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Features of all atoms, shape (n_atoms, n_features)."""
        ...


def owned(descriptor: Any) -> nn.Module:
    """A copy of a descriptor, without gradients of its parameters, for a database to keep.

    Raises:
        InputError: If ``descriptor`` is no descriptor, or averages over atoms.
    """
    if not isinstance(descriptor, nn.Module):
        raise InputError(
            "a database needs a descriptor, a torch.nn.Module such as SOAP, not "
            f"{descriptor.__name__ if isinstance(descriptor, type) else type(descriptor).__name__}"
        )
    if getattr(descriptor, "average", "off") != "off":
        raise InputError("a database needs a descriptor with average='off'")
    species_of(descriptor)
    return copy.deepcopy(descriptor).eval().requires_grad_(False)


def name_of(descriptor: nn.Module) -> str:
    """Name of the descriptor's class."""
    return type(descriptor).__name__


def species_of(descriptor: nn.Module) -> tuple[int, ...] | None:
    """Atomic numbers that a descriptor describes, ascending. None means all."""
    species = getattr(descriptor, "species", None)
    if isinstance(species, torch.Tensor):
        species = species.tolist()
    return None if species is None else species_numbers(species)


def cutoff_of(descriptor: nn.Module) -> float | None:
    """Interatomic distance in Angstrom beyond which atoms have no influence. None if unknown."""
    cutoff = getattr(descriptor, "cutoff", None)
    return None if cutoff is None else float(cutoff)


@torch.no_grad()
def check_cutoff(descriptor: nn.Module, number: int) -> None:
    """Raise ``InputError`` if atoms of a chain beyond ``cutoff`` change a descriptor's features.

    Layers of message passing reach farther together than the cutoff of each. ``number`` is the
    atomic number of the atoms of the chain.
    """
    cutoff = cutoff_of(descriptor)
    if cutoff is None:
        return
    along = torch.arange(6.0, device=device_of(descriptor)).double()
    places = cutoff * torch.stack([0.45 * along, 0.2 * (along % 2), 0 * along], 1)
    rows = []
    for count in (3, 6):  # the fourth atom lies 1.36 cutoffs from the first
        system = torch.zeros(count, dtype=torch.long, device=places.device)
        batch = Batch(
            places[:count],
            system + number,
            torch.eye(3).to(places)[None],
            torch.zeros(1, 3, dtype=torch.bool, device=places.device),
            system,
        )
        rows.append(features_of(descriptor, batch)[0])
    near, far = rows
    if (near - far).norm() > 1e-4 * near.norm():
        raise InputError(
            f"{name_of(descriptor)} sees atoms beyond its cutoff of {cutoff:g} A: let its "
            "attribute cutoff tell how far it sees in all, or remove it"
        )


def is_periodic(descriptor: nn.Module) -> bool:
    """Return whether a descriptor honours the periodicity of structures."""
    return bool(getattr(descriptor, "periodic", True))


def device_of(descriptor: nn.Module) -> torch.device | None:
    """Device of the descriptor's tensors. None if it has no tensors: it follows the batch."""
    tensors = chain(descriptor.parameters(), descriptor.buffers())
    return next((tensor.device for tensor in tensors), None)


def features_of(
    descriptor: nn.Module, batch: Batch, active: ActiveAtoms = ALL_ATOMS
) -> torch.Tensor:
    """Features of the active atoms, checked, shape (n, n_features).

    Raises:
        InputError: If the descriptor gives not one row an atom, or rows without a gradient.
    """
    wanted = batch.positions.dtype
    own = next((p.dtype for p in descriptor.parameters() if p.is_floating_point()), wanted)
    here = batch
    if own != wanted:
        here = replace(batch, positions=batch.positions.to(own), cells=batch.cells.to(own))
    known = inspect.signature(descriptor.forward).parameters
    seen = active if "centers" in known else ALL_ATOMS
    arguments = {"centers": seen.centers, "pairs": seen.pairs}
    features = descriptor(here, **{name: arguments[name] for name in arguments if name in known})
    count = batch.n_atoms if seen.centers is None else len(seen.centers)
    name = name_of(descriptor)
    if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != count:
        given = list(getattr(features, "shape", [])) or type(features).__name__
        raise InputError(f"{name} gives {given} for {count} atoms: one row an atom is needed")
    if torch.is_grad_enabled() and batch.positions.requires_grad and not features.requires_grad:
        raise InputError(f"{name} gives features that torch cannot differentiate by the positions")
    return (features if seen is active else active.of(features)).to(wanted)


def restriction(
    descriptor: nn.Module, numbers: Iterable[int]
) -> tuple[nn.Module, torch.Tensor | None]:
    """A cheaper equivalent for these elements, and the features (f,) that it gives.

    A descriptor that cannot be restricted is returned itself, with None in place of the features.
    """
    restricted = getattr(descriptor, "restricted", None)
    return (descriptor, None) if restricted is None else restricted(numbers)


def bytes_of(descriptor: nn.Module, n_features: int, item: int) -> int:
    """Bytes for each atom at the peak of a gradient, with numbers of ``item`` bytes."""
    own = getattr(descriptor, "bytes_per_atom", None)
    if own is not None:
        return own(item)
    pairs = expected_neighbors(cutoff_of(descriptor) or USUAL_CUTOFF)
    return int((NUMBERS_PER_FEATURE * n_features + NUMBERS_PER_NEIGHBOR * pairs) * item)


def expected_neighbors(cutoff: float) -> float:
    """Number of neighbours within ``cutoff`` (Angstrom) in a dense solid, at least 8."""
    return max(8.0, DENSITY * 4.19 * cutoff**3)


def summary_of(descriptor: nn.Module) -> str:
    """A line of text about a descriptor: its own summary, or its name and attributes."""
    summary = getattr(descriptor, "summary", None)
    if summary is not None:
        return summary()
    parts = [name_of(descriptor)]
    cutoff = cutoff_of(descriptor)
    if cutoff is not None:
        parts.append(f"cutoff {cutoff:g} A")
    if not is_periodic(descriptor):
        parts.append("not periodic")
    return ", ".join(parts)
