"""The file of a database: safetensors, so nothing in it can run, with a JSON description.

For every element four tensors ("H/vectors", "H/basis", "H/structure", "H/atom"), and in the header
the format's name and version, the descriptor's parameters, the structures and the metadata.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ase.data import atomic_numbers, chemical_symbols
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from losiko_torch.descriptors.soap import SOAP
from losiko_torch.errors import InputError

if TYPE_CHECKING:
    from losiko_torch.database.environments import EnvironmentDatabase

FORMAT = "losiko-database"
VERSION = 1
TENSORS = ("vectors", "basis", "structure", "atom")

Loaded = tuple[SOAP, dict[int, dict[str, torch.Tensor]], list[dict[str, Any]], dict[str, Any]]


def save(database: EnvironmentDatabase, path: Path, overwrite: bool) -> None:
    """Write to a temporary file beside ``path``, then move it there."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: give another name, or allow overwriting")
    tensors = {}
    for number, part in database.environments.items():
        for name in TENSORS:
            tensor = getattr(part, name).cpu().contiguous()
            tensors[f"{chemical_symbols[number]}/{name}"] = tensor
    header = {
        "format": FORMAT,
        "version": str(VERSION),
        "descriptor": json.dumps(database.descriptor.parameters_dict()),
        "structures": json.dumps(database.structures),
        "metadata": json.dumps(database.metadata),
    }
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        save_file(tensors, temporary, metadata=header)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be written ({_reason(error)})") from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def load(path: Path) -> Loaded:
    """Read what ``save`` wrote; everything is checked before it is believed."""
    if not path.is_file():
        raise InputError(f"{path}: no such database")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise InputError(f"{path}: not a LOSIKO database")
            if int(header["version"]) > VERSION:
                raise InputError(
                    f"{path}: a database of version {header['version']}, newer than this "
                    f"program reads ({VERSION}): update losiko-torch"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        descriptor = descriptor_from(json.loads(header["descriptor"]))
        structures, metadata = json.loads(header["structures"]), json.loads(header["metadata"])
    except (SafetensorError, KeyError, json.JSONDecodeError, TypeError, OSError) as error:
        raise InputError(
            f"{path}: not a LOSIKO database, or one that was cut short ({_reason(error)})"
        ) from None
    environments: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        symbol, _, kind = name.partition("/")
        environments.setdefault(atomic_numbers[symbol], {})[kind] = tensor
    environments = dict(sorted(environments.items()))
    _check(path, descriptor, environments, len(structures))
    return descriptor, environments, structures, metadata


def descriptor_from(parameters: dict[str, Any]) -> SOAP:
    """The descriptor whose ``parameters_dict`` this is."""
    return SOAP(**parameters)


def _check(
    path: Path, descriptor: SOAP, environments: dict[int, dict[str, torch.Tensor]], structures: int
) -> None:
    n_features = descriptor.get_number_of_features()
    for number, tensors in environments.items():
        symbol = chemical_symbols[number]
        if set(tensors) != set(TENSORS):
            raise InputError(f"{path}: the environments of {symbol} are incomplete")
        vectors, basis, structure, atom = (tensors[name] for name in TENSORS)
        if number not in descriptor.species or basis.shape != (n_features, *vectors.shape[1:]):
            raise InputError(
                f"{path}: the environments of {symbol} do not match the descriptor "
                f"({list(basis.shape)} for {n_features} features)"
            )
        if not len(vectors) == len(structure) == len(atom):
            raise InputError(f"{path}: the environments of {symbol} differ in number")
        if len(structure) and not 0 <= int(structure.min()) <= int(structure.max()) < structures:
            raise InputError(f"{path}: environments of {symbol} belong to no structure")
        if not torch.isfinite(vectors).all():
            raise InputError(f"{path}: the environments of {symbol} contain numbers not finite")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
