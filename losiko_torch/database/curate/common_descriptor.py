"""A common descriptor of several databases: equal parameters, and the elements of all.

Databases with the same descriptor may have different elements. SOAP of more elements has the
features of fewer among its own (``SOAP.restricted`` returns which), so the references are those
that the wider SOAP would have given. ACSF has no such list, and of another module nothing is known:
these must agree in their elements too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from losiko_torch.database.curate.provenance import check_whole, name_in
from losiko_torch.database.element import Environments
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.database.stored_descriptor import MIXED, MODULE, StoredDescriptor
from losiko_torch.descriptors.interface import name_of, restriction, species_of
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError

#: Entry of a SOAP's compression that has a number for each element.
BY_ELEMENT = "species_weighting"


def with_common_descriptor(
    databases: Sequence[DatabaseRecord],
) -> tuple[nn.Module, list[dict[int, Environments]]]:
    """A descriptor for all databases, and the environments of each among its features.

    Raises:
        InputError: If their descriptors differ; the message names the first parameter that does.
    """
    for database in databases:
        check_whole(database)
    first, *others = databases
    for number, other in enumerate(others, start=1):
        _check_same(first, other, number)
    descriptor = _widened([database.descriptor for database in databases])
    return descriptor, [_among_features(database, descriptor) for database in databases]


def _check_same(first: DatabaseRecord, other: DatabaseRecord, number: int) -> None:
    """Raise ``InputError`` if the descriptors differ in more than their elements."""
    names = f"{name_in(first, 0)} and {name_in(other, number)}"
    pair = (first, other)
    kinds = [StoredDescriptor.of(each.descriptor, list(each.environments)) for each in pair]
    if kinds[0].kind != kinds[1].kind:
        told = [name_of(each.descriptor) for each in pair]
        raise InputError(f"{names} have different descriptors: {told[0]} and {told[1]}")
    if kinds[0].kind == MIXED:
        if not kinds[0].same_as(kinds[1]):
            raise InputError(f"{names} have different descriptors: their channels are mixed apart")
        return
    if kinds[0].kind == MODULE:
        try:
            kinds[1].restored(first.descriptor, list(other.environments))
        except InputError as error:
            raise InputError(f"{names} have different descriptors: {error}") from None
        return
    ours, theirs = ({**each.parameters} for each in kinds)
    for key in ours:
        if _without_elements(key, ours[key]) != _without_elements(key, theirs[key]):
            raise InputError(
                f"{names} have different descriptors: {key} is {ours[key]} in one and "
                f"{theirs[key]} in the other"
            )
    if not isinstance(first.descriptor, SOAP) and ours["species"] != theirs["species"]:
        elements = " and ".join(" ".join(each["species"]) for each in (ours, theirs))
        raise InputError(
            f"{names} know different elements ({elements}), and features of {kinds[0].kind} cannot "
            "be carried over: build both with the same species"
        )


def _without_elements(key: str, value: Any) -> Any:
    """The part of a parameter's value that does not depend on the elements."""
    if key == "species":
        return None
    if key == "compression" and value[BY_ELEMENT] is not None:
        return {**value, BY_ELEMENT: "given"}
    return value


def _widened(descriptors: list[nn.Module]) -> nn.Module:
    """The first descriptor, or the same SOAP for the elements of all."""
    soaps = [descriptor for descriptor in descriptors if isinstance(descriptor, SOAP)]
    if not soaps:
        return descriptors[0]
    first, weights = soaps[0], _united_weights(soaps)
    if len({soap.species for soap in soaps}) == 1:
        return first
    parameters = first.parameters_dict()
    parameters["species"] = sorted({number for soap in soaps for number in soap.species})
    parameters["compression"] = {**first.compression, BY_ELEMENT: weights}
    return SOAP(**parameters).to(first.element_of_number.device)


def _united_weights(soaps: list[SOAP]) -> dict[str, float] | None:
    """Species weights of all descriptors together, by symbol. None if there are none."""
    weights: dict[str, float] = {}
    for soap in soaps:
        for symbol, weight in (soap.compression[BY_ELEMENT] or {}).items():
            if weights.setdefault(symbol, weight) != weight:
                raise InputError(
                    f"different descriptors: {BY_ELEMENT} of {symbol} is {weights[symbol]:g} in "
                    f"one and {weight:g} in another"
                )
    return weights or None


def _among_features(database: DatabaseRecord, descriptor: nn.Module) -> dict[int, Environments]:
    """Environments of a database among the features of a descriptor for more elements."""
    own = species_of(database.descriptor)
    if own is None or own == species_of(descriptor):
        return database.environments
    _, columns = restriction(descriptor, own)
    assert columns is not None
    columns = columns.to(database.device)
    count = descriptor.get_number_of_features()  # type: ignore[operator]
    environments = {}
    for number, part in database.environments.items():
        basis = part.basis.new_zeros((count, part.basis.shape[1]))
        basis[columns] = part.basis
        environments[number] = replace(part, basis=basis)
    return environments
