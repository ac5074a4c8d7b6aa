"""The learned model among the fitted parts of a database: tensors of each element, and a record.

The tensors are in ``Environments.fitted``, under names that begin with "learned."; the record is
the entry "learned" of ``DatabaseRecord.fitted``: SOAP's parameters where its channels are mixed,
and the model's ``info``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import replacement
from losiko_torch.learned.model import LearnedModel
from losiko_torch.learned.networks import Networks

#: Entry of the record, and prefix of the names of tensors.
LEARNED, PREFIX = "learned", "learned."
#: Name of the tensor that holds the mixing of a center's element.
MIXING = f"{PREFIX}mixing"

#: Tensors that a file of a model alone keeps in single precision.
EXACT = (f"{PREFIX}shift", f"{PREFIX}offset")

#: Tensors of each element, by atomic number.
Tensors = dict[int, dict[str, torch.Tensor]]


def stored(model: LearnedModel) -> tuple[dict[str, Any], Tensors]:
    """Return the record and the tensors of a model."""
    tensors: Tensors = {}
    for number, own in model.networks.items():
        tensors[number] = {f"{PREFIX}{each.name}": getattr(own, each.name) for each in fields(own)}
    record: dict[str, Any] = {"info": dict(model.info)}
    if isinstance(model.descriptor, MixedSoap):
        record["soap"] = model.descriptor.soap.parameters_dict()
        for number, mixing in zip(model.descriptor.centers, model.descriptor.mixing, strict=True):
            if number in tensors:
                tensors[number][MIXING] = mixing
    return record, tensors


def restored(
    record: Any, tensors: Mapping[int, Mapping[str, torch.Tensor]], descriptor: nn.Module
) -> LearnedModel:
    """Return the model of a record and tensors.

    Args:
        record: Record that ``stored`` made.
        tensors: Tensors of each element; those without any are left out.
        descriptor: Descriptor of the database, for models that see atoms by it.

    Raises:
        InputError: If something is missing or does not fit together.
    """
    try:
        networks = {
            z: Networks(**{each.name: own[f"{PREFIX}{each.name}"] for each in fields(Networks)})
            for z, own in tensors.items()
            if any(name.startswith(PREFIX) for name in own)
        }
        if "soap" in record:
            soap = SOAP(**record["soap"])
            mixing = torch.stack([tensors[z][MIXING] for z in networks])
            descriptor = MixedSoap(soap.to(mixing.device), tuple(networks), mixing)
            expected = (soap.l_max + 1, len(soap.species), soap.n_max)
            _check(mixing.shape[1:4] == expected)
            width = descriptor.get_number_of_features()
            _check(all(len(own.whitening) == width for own in networks.values()))
        _check(bool(networks) and isinstance(record["info"], dict))
        for own in networks.values():
            _check_shapes(own)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, InputError):
        raise InputError("its learned targets are damaged: fit them again") from None
    return LearnedModel(descriptor, networks, record["info"])


def write(model: LearnedModel, path: Path) -> None:
    """Write a model to a file of its own, rounded to half precision, over what is there."""
    record, tensors = stored(model)
    named = {
        f"{z}/{name}": (tensor.cpu().half() if name not in EXACT else tensor.cpu()).contiguous()
        for z, own in tensors.items()
        for name, tensor in own.items()
    }
    with replacement(path, overwrite=True) as temporary:
        save_file(named, temporary, metadata={LEARNED: json.dumps(record)})


def read(path: Path, descriptor: nn.Module) -> LearnedModel:
    """Return the model of a file that ``write`` made; see ``restored``."""
    tensors: dict[int, dict[str, torch.Tensor]] = {}
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()[LEARNED])
        for key in file.keys():  # noqa: SIM118
            number, _, name = key.partition("/")
            tensors.setdefault(int(number), {})[name] = file.get_tensor(key).float()
    return restored(record, dict(sorted(tensors.items())), descriptor)


def _check_shapes(own: Networks) -> None:
    r, (members, _, width) = own.whitening.shape[1], own.w1.shape
    shapes = {
        "shift": (r,), "w1": (members, r, width), "b1": (members, 1, width),
        "w2": (members, width, width), "b2": (members, 1, width), "w3": (members, width, 1),
        "offset": (members,),
    }  # fmt: skip
    _check(members > 0 and all(getattr(own, name).shape == shapes[name] for name in shapes))


def _check(holds: bool) -> None:
    if not holds:
        raise ValueError
