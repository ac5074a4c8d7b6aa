"""Facts about a built-in database that take long to find: its descriptor, and known distances."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from losiko_torch.database.building.closest import Closest, named_by_pair, of_named_pairs
from losiko_torch.database.building.survey import Survey
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.database.stored_descriptor import MIXED, StoredDescriptor
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.io.atomic import replacement

#: Name of the tensor that holds the mixing of the channels.
MIXING = "mixing"


class Known(NamedTuple):
    """Facts about a database.

    Attributes:
        descriptor: SOAP of mixed channels that describes its references.
        closest: Shortest interatomic distance of each pair of elements; see ``DatabaseRecord``.
        survey: Further distances; see ``building.survey``.
    """

    descriptor: MixedSoap
    closest: Closest
    survey: Survey


def write_known(database: DatabaseRecord, path: Path) -> None:
    """Write what is known of a database with a descriptor of mixed channels over what is there."""
    assert database.closest is not None
    assert database.survey is not None
    told = StoredDescriptor.of(database.descriptor, [])
    assert told.tensor is not None
    header = {
        "descriptor": json.dumps(told.parameters),
        "closest": json.dumps(named_by_pair(database.closest), sort_keys=True),
        "survey": json.dumps(database.survey.to_json()),
    }
    with replacement(path, overwrite=True) as temporary:
        save_file({MIXING: told.tensor.half()}, temporary, metadata=header)


def read_known(path: Path) -> Known:
    """Return what ``write_known`` wrote. The mixing is that of half precision."""
    with safe_open(path, framework="pt") as file:
        header, mixing = file.metadata(), file.get_tensor(MIXING)
    told = StoredDescriptor(MIXED, json.loads(header["descriptor"]), mixing.float())
    descriptor = told.restored(None, [])
    assert isinstance(descriptor, MixedSoap)
    closest = of_named_pairs(json.loads(header["closest"]))
    return Known(descriptor, closest, Survey.of_json(json.loads(header["survey"])))


def rounded(descriptor: MixedSoap) -> MixedSoap:
    """Return a descriptor as the file will hold it."""
    mixing = descriptor.mixing.half().to(torch.float32)
    return MixedSoap(descriptor.soap, descriptor.centers, mixing)
