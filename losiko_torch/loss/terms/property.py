r"""A property that a module predicts, aimed at a target value or made small.

    w (y - y_0)^2    or, without a target,    w y

with y the module's number for a structure.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import nn

from losiko_torch.checks import finite, positive
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.errors import InputError, first_line
from losiko_torch.keywords import names_unknown
from losiko_torch.systems.batch import Batch


@names_unknown
@dataclass(frozen=True, eq=False)
class Property:
    """Penalty on a property of a structure.

    The term keeps a copy of the module in evaluation mode: training it further changes nothing.

    Attributes:
        module: ``torch.nn.Module`` from a ``Batch`` to one number a structure, shape (B,), which
            torch can differentiate by positions or cells. It computes in the precision of its
            parameters and buffers.
        target: Value y_0 aimed at. None makes the property itself the term.
        weight: Factor w; a negative one without a target makes the property large.
        name: Name under which results tell the term's value.

    Raises:
        InputError: For what is no module, numbers that are not finite, a weight that is not
            positive where there is a target, and a module on another device than the database.
    """

    module: nn.Module
    target: float | None = None
    weight: float = 1.0
    name: str = "property"

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise InputError(
                f"term '{self.name}' needs a torch.nn.Module, not {type(self.module).__name__}"
            )
        check = finite if self.target is None else positive
        weight = check(f"the weight of term '{self.name}'", self.weight)
        object.__setattr__(self, "weight", weight)
        if self.target is not None:
            target = finite(f"the target of term '{self.name}'", self.target)
            object.__setattr__(self, "target", target)
        try:
            own = copy.deepcopy(self.module).eval().requires_grad_(False)
        except Exception as error:  # whatever another's module trips over
            raise InputError(
                f"the module of term '{self.name}' cannot be copied ({first_line(error)})"
            ) from error
        object.__setattr__(self, "module", own)

    def for_database(self, database: DatabaseRecord) -> Self:
        """Return the term; ``InputError`` for a module on another device than the database."""
        for _, tensor in self._tensors():
            if tensor.device != database.device:
                raise InputError(
                    f"the module of term '{self.name}' is on {tensor.device}, and the relaxation "
                    f"on {database.device}: move it with module.to('{database.device}')"
                )
        return self

    def __call__(self, batch: Batch) -> torch.Tensor:
        wanted = batch.positions.dtype
        kinds = (each.dtype for _, each in self._tensors() if each.is_floating_point())
        own = next(kinds, wanted)
        if own != wanted:
            batch = replace(batch, positions=batch.positions.to(own), cells=batch.cells.to(own))
        found = self.module(batch)
        if self.target is None:
            return self.weight * found
        return self.weight * (found - self.target) ** 2

    def _tensors(self) -> list[tuple[str, torch.Tensor]]:
        """Return the parameters and buffers of the module, by name."""
        return [*self.module.named_parameters(), *self.module.named_buffers()]

    def identity(self) -> dict[str, Any]:
        digest = hashlib.blake2b(digest_size=16)
        for key, tensor in sorted(self._tensors()):
            digest.update(key.encode())
            digest.update(str(tensor.dtype).encode())
            # As bytes: NumPy does not know all of torch's types.
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        for name, module in self.module.named_modules():
            digest.update(f"{name} {_plain(vars(module))}".encode())
        kind = type(self.module)
        return {
            "name": self.name,
            "module": f"{kind.__module__}.{kind.__qualname__}",
            "state": digest.hexdigest(),
            "target": self.target,
            "weight": self.weight,
        }


def _plain(attributes: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the attributes of a module that are numbers, texts or None, by name."""
    kinds = (bool, int, float, str, type(None))
    return sorted((name, value) for name, value in attributes.items() if isinstance(value, kinds))
