"""Immutable records of tensors whose entries belong to the atoms, structures or pairs of a batch.

A field says which axis of its tensor runs over what: ``per(ATOM)`` has one entry an atom,
``per(SYSTEM)`` one a structure, ``per(PAIR)`` one a pair of atoms, and ``per(ROW)`` one a row of
the coordinates that an optimizer moves (those of all atoms, then three for each cell). From this
the record takes out some structures (``select``), appends others (``join``) and exchanges some
(``where``), in all of its fields alike: tensors, tuples and dictionaries of tensors, and records.

>>> @dataclass(frozen=True)
... class Charges(Record):
...     charge: torch.Tensor = per(ATOM)
...     owner: torch.Tensor = per(ATOM, numbers=SYSTEM)
>>> two = Charges(torch.tensor([1.0, -1.0, 0.5]), torch.tensor([0, 0, 1]))
>>> masks = {SYSTEM: torch.tensor([False, True]), ATOM: torch.tensor([False, False, True])}
>>> second = two.select(masks)
>>> second.charge.tolist(), second.owner.tolist()
([0.5], [0])
>>> second.join(two, {SYSTEM: 1, ATOM: 1}, {SYSTEM: 2, ATOM: 3}).owner.tolist()
[0, 1, 1, 2]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, NamedTuple, Self

import torch

ATOM, SYSTEM, PAIR, ROW = "atom", "system", "pair", "row"

#: Mask of the entries to keep along each axis; of pairs, which nothing numbers, also their places.
Masks = Mapping[str, torch.Tensor]
#: Number of entries along each axis.
Sizes = Mapping[str, int]


class Axis(NamedTuple):
    """Axis that a dimension of a tensor runs over.

    Attributes:
        name: ATOM, SYSTEM, PAIR or ROW.
        dim: The dimension: 0, -1 or -2.
        numbers: Axis whose entries the values number, such as SYSTEM for the structure of each
            atom. None means that values are no such numbers.
    """

    name: str
    dim: int = 0
    numbers: str | None = None


def part() -> Any:
    """Return a field of a record without an axis: another record, or a number for all."""
    return field()


def per(name: str, dim: int = 0, numbers: str | None = None, **options: Any) -> Any:
    """Return a field of a record with entries along an axis.

    ``options`` are those of ``dataclasses.field``.
    """
    return field(metadata={"axis": Axis(name, dim, numbers)}, **options)


@dataclass(frozen=True)
class Record:
    """Base of records of tensors; fields without an axis stay as they are."""

    def select(self, masks: Masks) -> Self:
        """Record of the entries where the mask of their axis is true; numbers are renewed."""

        def chosen(axis: Axis, value: torch.Tensor) -> torch.Tensor:
            if axis.name not in masks:
                return value
            some = _chosen(value, masks[axis.name], axis.dim)
            if axis.numbers is None or axis.numbers not in masks:
                return some
            return (torch.cumsum(masks[axis.numbers], 0) - 1)[some]

        return self._mapped(chosen, lambda record: record.select(masks))

    def join(self, other: Self, mine: Sizes, others: Sizes) -> Self:
        """Record with the entries of ``other`` behind; a field that either lacks is left out.

        ``mine`` and ``others`` are the numbers of entries along the axes of both.
        """

        def joined(axis: Axis, value: torch.Tensor, behind: torch.Tensor) -> torch.Tensor:
            if axis.numbers is not None:
                behind = behind + mine[axis.numbers]
            if axis.name != ROW:
                return torch.cat([value, behind], axis.dim)
            n, m = mine[ATOM], others[ATOM]
            atoms, cells = value.tensor_split([n], axis.dim)
            new_atoms, new_cells = behind.tensor_split([m], axis.dim)
            return torch.cat([atoms, new_atoms, cells, new_cells], axis.dim)

        return self._mapped(joined, lambda record, new: record.join(new, mine, others), other)

    def where(self, masks: Masks, other: Self) -> Self:
        """Record with the entries of ``other``, one of the same shape, where masks are true."""

        def exchanged(axis: Axis, value: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
            if axis.name not in masks:
                return value
            mask = masks[axis.name]
            behind = value.ndim - 1 - axis.dim % value.ndim
            return torch.where(mask.reshape(-1, *[1] * behind), others, value)

        return self._mapped(exchanged, lambda record, new: record.where(masks, new), other)

    def axis_of(self, each: Field[Any]) -> Axis | None:
        """Axis of a field; None for a field that has none."""
        return each.metadata.get("axis")

    def _mapped(
        self,
        tensors: Callable[..., torch.Tensor],
        records: Callable[..., Record],
        *others: Self,
    ) -> Self:
        """Record with a function of each field's values, here and in ``others``."""
        changes = {}
        for each in fields(self):
            axis = self.axis_of(each)
            values = [getattr(record, each.name) for record in (self, *others)]
            if isinstance(values[0], Record):
                absent = any(value is None for value in values)
                changes[each.name] = None if absent else records(*values)
            elif axis is not None:
                changes[each.name] = _applied(tensors, axis, values)
        return replace(self, **changes)


def _applied(function: Callable[..., torch.Tensor], axis: Axis, values: list[Any]) -> Any:
    """Value of a function of tensors, or of what tuples and dictionaries hold, entry by entry."""
    if any(value is None for value in values):
        return None
    first = values[0]
    if isinstance(first, Mapping):
        return {name: function(axis, *(value[name] for value in values)) for name in first}
    if isinstance(first, tuple):
        return tuple(function(axis, *each) for each in zip(*values, strict=True))
    return function(axis, *values)


def _chosen(value: torch.Tensor, mask: torch.Tensor, dim: int) -> torch.Tensor:
    if dim == 0:
        return value[mask] if mask.dtype == torch.bool else value.index_select(0, mask)
    return value[..., mask] if dim == -1 else value[..., mask, :]
