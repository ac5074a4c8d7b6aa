"""References that are described once something asks for their descriptors.

Learned targets need none of them, so that a database that carries such targets relaxes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from losiko_torch.database.element import Environments, full_name

#: Attributes that are found on demand.
DESCRIBED = ("vectors", "basis")


class EnvironmentsOnDemand(Environments):
    """References of one element, known by structure and atom.

    Descriptors are found when they are first looked at. All copies but that to another device hold
    them.
    """

    def __init__(self, find: Callable[[], Environments] | None = None, **given: Any):
        """Keep what is known of the references.

        Args:
            find: Function that returns the references with their descriptors. None means that these
                are given.
            given: Attributes by name: structure, atom and fitted with ``find``, else all.
        """
        self.__dict__.update({"fitted": {}, **given})
        if find is not None:
            self.__dict__["_find"] = find

    @classmethod
    def of(
        cls,
        find: Callable[[], Environments],
        structure: torch.Tensor,
        atom: torch.Tensor,
        fitted: Mapping[str, torch.Tensor],
        n_features: int,
    ) -> EnvironmentsOnDemand:
        """Return references of these structures and atoms, both (N,), described by ``find``."""
        made = cls(find, structure=structure, atom=atom, fitted=fitted)
        made.__dict__["n_features"] = n_features
        return made

    def __getattr__(self, name: str) -> torch.Tensor:
        if name not in DESCRIBED or "_find" not in self.__dict__:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        found = self.__dict__["_find"]()
        self.__dict__.update({each: getattr(found, each) for each in DESCRIBED})
        return self.__dict__[name]

    def __len__(self) -> int:
        return len(self.structure)

    def __reduce__(self) -> tuple:
        return Environments.of_tensors, (self.tensors(),)

    @property
    def is_described(self) -> bool:
        """Return whether the descriptors are there already."""
        return "vectors" in self.__dict__

    def to(self, device: torch.device | str) -> Environments:
        """Return the same references on ``device``, described as late."""
        if self.is_described or self.device == full_name(device):
            return super().to(device)
        return EnvironmentsOnDemand.of(
            lambda: self.__dict__["_find"]().to(device),
            self.structure.to(device),
            self.atom.to(device),
            {name: each.to(device) for name, each in self.fitted.items()},
            self.n_features,
        )
