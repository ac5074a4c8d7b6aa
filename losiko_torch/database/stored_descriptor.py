"""The descriptor in the file of a database: writing it, and making or recognising it again.

``SOAP`` and ``ACSF`` are made again from their kind and parameters, ``MixedSoap`` from those of its
SOAP and its mixing, a tensor. Any other module cannot be made again: the file keeps its name, its
parameters, and a fingerprint, the features of a small fixed structure, by which the module passed
at loading is recognised. References and structures are thus always described alike.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import nn

from losiko_torch.descriptors.acsf.acsf import ACSF
from losiko_torch.descriptors.interface import (
    cutoff_of,
    device_of,
    features_of,
    is_periodic,
    name_of,
    owned,
    species_of,
    summary_of,
)
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError, first_line
from losiko_torch.systems.batch import Batch

#: Descriptors that files can make again.
KINDS: dict[str, type[SOAP] | type[ACSF]] = {"SOAP": SOAP, "ACSF": ACSF}
#: Kind of mixed SOAP, and of all other descriptors.
MIXED, MODULE = "MixedSoap", "module"
#: Largest separation of equal fingerprints, relative to their length, that rounding can cause.
SAME = 1e-4


@dataclass(frozen=True)
class StoredDescriptor:
    """A descriptor as a file holds it.

    Attributes:
        kind: "SOAP", "ACSF", "MixedSoap" or "module".
        parameters: Arguments of the constructor; for mixed SOAP those of its SOAP; for a module its
            name and its own attributes.
        tensor: Features of a fixed structure, the fingerprint, shape (n, n_features), float32, for
            a module; for mixed SOAP its mixing. None for SOAP and ACSF.
    """

    kind: str
    parameters: dict[str, Any]
    tensor: torch.Tensor | None

    def __post_init__(self) -> None:
        dimensions = {MODULE: 2, MIXED: 5}.get(self.kind)
        if dimensions and (self.tensor is None or self.tensor.ndim != dimensions):
            what = "fingerprint" if self.kind == MODULE else "mixing"
            raise InputError(f"the {what} of its descriptor is missing or damaged")

    @classmethod
    def of(cls, descriptor: nn.Module, elements: list[int]) -> StoredDescriptor:
        """The stored form of a descriptor, for a database with these elements (atomic numbers)."""
        if isinstance(descriptor, (SOAP, ACSF)) and type(descriptor) in KINDS.values():
            return cls(name_of(descriptor), descriptor.parameters_dict(), None)
        if type(descriptor) is MixedSoap:
            centers = list(descriptor.centers)
            own = {"soap": descriptor.soap.parameters_dict(), "centers": centers}
            return cls(MIXED, own, descriptor.mixing.float().cpu().contiguous())
        parameters_dict = getattr(descriptor, "parameters_dict", None)
        told = {
            "name": name_of(descriptor),
            "species": species_of(descriptor),
            "cutoff": cutoff_of(descriptor),
            "periodic": is_periodic(descriptor),
            "parameters": {} if parameters_dict is None else parameters_dict(),
        }
        return cls(MODULE, told, fingerprint(descriptor, elements))

    def n_features(self, descriptor: nn.Module) -> int:
        """Number of features of the stored descriptor; ``descriptor`` is its restored form."""
        if self.kind == MODULE and self.tensor is not None:
            return self.tensor.shape[1]
        return descriptor.get_number_of_features()  # type: ignore[operator]

    def restored(self, given: Any, elements: list[int]) -> nn.Module:
        """The descriptor itself: made again, or ``given`` if its fingerprint agrees.

        Raises:
            InputError: If ``given`` is another descriptor, or is needed but None.
        """
        if self.kind != MODULE:
            made = self._made()
            if given is not None and not self._is_made_of(given):
                raise InputError(
                    f"it holds its own descriptor, which is not the one given: {summary_of(made)}"
                )
            return made
        name = self.parameters["name"]
        if given is None:
            raise InputError(
                f"its descriptor {name} is a module that no file holds: give it, in Python, to "
                "EnvironmentDatabase.load(path, descriptor=...)"
            )
        assert self.tensor is not None
        descriptor = owned(given)
        try:
            found = fingerprint(descriptor, elements)
        except Exception as error:  # a foreign module may raise anything
            raise InputError(
                f"{name_of(given)}, given as its descriptor, fails on its elements "
                f"({first_line(error)})"
            ) from error
        same = found.shape == self.tensor.shape and bool(
            (found - self.tensor).norm() <= SAME * self.tensor.norm()
        )
        if not same:
            raise InputError(
                f"{name_of(given)}, given as its descriptor, describes atoms differently from the "
                f"{name} that it was made with"
            )
        return descriptor

    def shown(self) -> nn.Module:
        """A descriptor to inspect: made again, or ``Absent`` in place of a module."""
        return Absent(self.parameters) if self.kind == MODULE else self._made()

    def _made(self) -> nn.Module:
        if self.kind == MIXED:
            return self._mixed()
        if self.kind not in KINDS:
            raise InputError(f"its descriptor '{self.kind}' is none that this program knows")
        return KINDS[self.kind](**self.parameters)

    def _mixed(self) -> MixedSoap:
        assert self.tensor is not None
        soap, centers = SOAP(**self.parameters["soap"]), self.parameters["centers"]
        expected = (len(centers), soap.l_max + 1, len(soap.species), soap.n_max)
        if self.tensor.shape[:4] != expected:
            raise InputError("the mixing of its descriptor is damaged")
        return MixedSoap(soap, centers, self.tensor)

    def _is_made_of(self, given: Any) -> bool:
        if self.kind == MIXED:
            return type(given) is MixedSoap and self.same_as(StoredDescriptor.of(given, []))
        if type(given) is not KINDS[self.kind] or not isinstance(given, (SOAP, ACSF)):
            return False
        return bool(json.loads(json.dumps(given.parameters_dict())) == self.parameters)

    def same_as(self, other: StoredDescriptor) -> bool:
        """Return whether two SOAPs with mixed channels are one and the same."""
        ours, theirs = self.tensor, other.tensor
        return (
            self.kind == other.kind
            and json.loads(json.dumps(self.parameters)) == json.loads(json.dumps(other.parameters))
            and ours is not None
            and theirs is not None
            and torch.equal(ours, theirs)
        )


class Absent(nn.Module):
    """Placeholder for a module that a file does not hold: a summary that describes nothing."""

    def __init__(self, parameters: dict[str, Any]):
        super().__init__()
        self.name, self.its_parameters = str(parameters["name"]), dict(parameters["parameters"])
        self.species, self.cutoff = parameters["species"], parameters["cutoff"]
        self.periodic = parameters["periodic"]

    def forward(self, batch: Batch) -> torch.Tensor:
        raise InputError(f"the descriptor {self.name} is not at hand")

    def summary(self) -> str:
        parts = [f"{self.name}, a module that the file does not hold"]
        if self.cutoff is not None:
            parts.append(f"cutoff {self.cutoff:g} A")
        if not self.periodic:
            parts.append("not periodic")
        parts += [f"{key} {value}" for key, value in self.its_parameters.items()]
        return ", ".join(parts)


@torch.no_grad()
def fingerprint(descriptor: nn.Module, elements: list[int]) -> torch.Tensor:
    """Features of two atoms of each element on a helix, neighbours 1.6 A apart; float32, on a CPU.

    Raises:
        InputError: If the features are not finite, or differ between two calls.
    """
    angle = 1.9 * np.arange(2 * len(elements))
    height = 0.5 * np.arange(2 * len(elements))
    radius = 0.94
    places = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
    atoms = Atoms([*elements, *elements], places)
    batch = Batch.from_atoms(atoms, device=device_of(descriptor))
    once, again = (features_of(descriptor, batch).float().cpu() for _ in range(2))
    if not torch.isfinite(once).all():
        raise InputError(f"{name_of(descriptor)} gives features that are not finite")
    if (once - again).norm() > SAME * once.norm():
        raise InputError(f"{name_of(descriptor)} gives the same atoms different features each time")
    return once
