"""The file of a database: safetensors, so nothing in it can run, with a JSON description.

For every element four tensors ("H/vectors", "H/basis", "H/structure", "H/atom"), and, where its
references do not all weigh 1, "H/weight"; in the header the format's name and version, the
descriptor (see ``stored_descriptor``), the structures and the metadata. Files of version 1 tell
no kind of descriptor: it is SOAP.

Large databases need version 3: vectors of elements with many references are float16, as they were
built, lists divide them ("H/centroids", "H/lists", see ``lists``), and the structures of a
long list are a tensor of JSON. What needs none of it is written as version 2.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ase.data import atomic_numbers, chemical_symbols
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from losiko_torch.database.components import compact
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.database.stored_descriptor import StoredDescriptor
from losiko_torch.descriptors.interface import species_of
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import replacement

FORMAT = "losiko-database"
VERSION, PLAIN_VERSION = 3, 2
TENSORS = ("vectors", "basis", "structure", "atom")
#: Tensors that an element may lack; those of large elements.
OPTIONAL, LISTED = ("weight", "centroids", "lists"), ("centroids", "lists")
#: The structures' tensor, and from how many characters on there is one: safetensors allows a header
#: of 100 MB.
STRUCTURES, LONGEST_HEADER = "structures", 2**24

#: The tensor of a descriptor that the file does not hold.
FINGERPRINT = "fingerprint"

#: ``(what the file holds of the descriptor, elements) -> descriptor``
Restore = Callable[[StoredDescriptor, list[int]], nn.Module]
Loaded = tuple[nn.Module, dict[int, dict[str, torch.Tensor]], list[dict[str, Any]], dict[str, Any]]


def save(database: DatabaseRecord, path: Path, overwrite: bool) -> None:
    """Write to a temporary file beside ``path``, then move it there."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: give another name, or allow overwriting")
    tensors = {}
    for number, part in database.environments.items():
        for name in (*TENSORS, *OPTIONAL):
            tensor = getattr(part, name)
            if tensor is not None:
                stored_tensor = compact(tensor, len(part)) if name == "vectors" else tensor
                tensors[f"{chemical_symbols[number]}/{name}"] = stored_tensor.cpu().contiguous()
    stored = StoredDescriptor.of(database.descriptor, list(database.environments))
    if stored.fingerprint is not None:
        tensors[FINGERPRINT] = stored.fingerprint
    structures = json.dumps(database.structures)
    if len(structures) > LONGEST_HEADER:
        tensors[STRUCTURES] = torch.frombuffer(bytearray(structures.encode()), dtype=torch.uint8)
        structures = ""
    plain = structures and not any(
        tensor.dtype == torch.float16 or name.partition("/")[2] in LISTED
        for name, tensor in tensors.items()
    )
    header = {
        "format": FORMAT,
        "version": str(PLAIN_VERSION if plain else VERSION),
        "kind": stored.kind,
        "descriptor": _json(path, "descriptor's parameters", stored.parameters),
        "structures": structures,
        "metadata": _json(path, "metadata", database.metadata),
    }
    with replacement(path, overwrite) as temporary:
        try:
            save_file(tensors, temporary, metadata=header)
        except SafetensorError as error:
            raise OSError(str(error)) from None
        _sort_metadata(temporary)


def load(path: Path, restore: Restore) -> Loaded:
    """Read what ``save`` wrote; everything is checked before it is believed."""
    if not path.is_file():
        raise InputError(f"{path}: no such database")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            _check_format(header)
            # Copied to where torch would have put them: by where numbers lie in memory, products
            # differ in the last bit.
            names = file.keys()
            tensors = {name: file.get_tensor(name).clone() for name in names}
        stored = StoredDescriptor(
            header.get("kind", "SOAP"),
            json.loads(header["descriptor"]),
            tensors.pop(FINGERPRINT, None),
        )
        text = header["structures"]
        if STRUCTURES in tensors:
            text = tensors.pop(STRUCTURES).numpy().tobytes().decode()
        structures, metadata = json.loads(text), json.loads(header["metadata"])
        environments: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            symbol, _, kind = name.partition("/")
            environments.setdefault(atomic_numbers[symbol], {})[kind] = tensor
        environments = dict(sorted(environments.items()))
        for parts in environments.values():
            if "vectors" in parts and parts["vectors"].dtype == torch.float16:
                parts["vectors"] = parts["vectors"].float()
        descriptor = restore(stored, list(environments))
        _check(descriptor, stored.n_features(descriptor), environments, structures, metadata)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (SafetensorError, LookupError, ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(
            f"{path}: not a LOSIKO database, or a damaged one ({_reason(error)})"
        ) from None
    return descriptor, environments, structures, metadata


def _sort_metadata(path: Path) -> None:
    """Put the header's metadata, which safetensors writes in random order, in a fixed one.

    So the same database is the same file, byte by byte.
    """
    with open(path, "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= size:
            file.seek(8)
            file.write(text.ljust(size))


def _check_format(header: dict[str, str]) -> None:
    if header.get("format") != FORMAT:
        raise InputError("not a LOSIKO database")
    if int(header["version"]) > VERSION:
        raise InputError(
            f"a database of version {header['version']}, newer than this program reads "
            f"({VERSION}): update losiko-torch"
        )


def _check(
    descriptor: nn.Module,
    n_features: int,
    environments: dict[int, dict[str, torch.Tensor]],
    structures: Any,
    metadata: Any,
) -> None:
    if not isinstance(structures, list) or not isinstance(metadata, dict):
        raise InputError("its list of structures or its metadata is damaged")
    if getattr(descriptor, "average", "off") != "off":
        raise InputError("its descriptor averages over atoms")
    if not environments:
        raise InputError("it has no environments")
    species = species_of(descriptor)
    for number, tensors in environments.items():
        symbol = chemical_symbols[number]
        if set(tensors) - set(OPTIONAL) != set(TENSORS):
            raise InputError(f"the environments of {symbol} are incomplete")
        known = species is None or number in species
        _check_environments(symbol, known, n_features, tensors)
        _check_lists(symbol, tensors)
        if "weight" in tensors:
            _check_weight(symbol, len(tensors["vectors"]), tensors["weight"])
        structure = tensors["structure"]
        if not 0 <= int(structure.min()) <= int(structure.max()) < len(structures):
            raise InputError(f"environments of {symbol} belong to no structure")


def _check_environments(
    symbol: str, known: bool, n_features: int, tensors: dict[str, torch.Tensor]
) -> None:
    """Shapes, types and values of the tensors of one element."""
    vectors, basis, structure, atom = (tensors[name] for name in TENSORS)
    if not known or vectors.ndim != 2 or basis.shape != (n_features, vectors.shape[1]):
        raise InputError(
            f"the environments of {symbol} do not match the descriptor "
            f"({list(basis.shape)} for {n_features} features)"
        )
    if len(vectors) == 0 or not structure.shape == atom.shape == vectors.shape[:1]:
        raise InputError(f"the environments of {symbol} differ in number")
    if {vectors.dtype, basis.dtype} != {torch.float32} or {structure.dtype, atom.dtype} != {
        torch.int32
    }:
        raise InputError(f"the environments of {symbol} are of the wrong type")
    # Blocks: what a check of all at once makes is a quarter of the vectors' size.
    if not all(torch.isfinite(some).all() for some in (basis, *vectors.split(2**16))):
        raise InputError(f"the environments of {symbol} contain numbers not finite")


def _check_lists(symbol: str, tensors: dict[str, torch.Tensor]) -> None:
    centroids, lists = (tensors.get(name) for name in LISTED)
    if centroids is None and lists is None:
        return
    if centroids is None or lists is None or lists.shape != tensors["vectors"].shape[:1]:
        raise InputError(f"the lists of {symbol} do not match its environments")
    fitting = centroids.ndim == 2 and 0 < centroids.shape[1] <= tensors["vectors"].shape[1]
    if not fitting or (centroids.dtype, lists.dtype) != (torch.float32, torch.int32):
        raise InputError(f"the lists of {symbol} are of the wrong type or shape")
    if not (torch.isfinite(centroids).all() and 0 <= int(lists.min()) <= int(lists.max())):
        raise InputError(f"the lists of {symbol} are damaged")
    if int(lists.max()) >= len(centroids):
        raise InputError(f"the lists of {symbol} are damaged")


def _check_weight(symbol: str, count: int, weight: torch.Tensor) -> None:
    if weight.shape != (count,) or weight.dtype != torch.float32:
        raise InputError(f"the weights of {symbol} do not match its environments")
    if not (torch.isfinite(weight) & (weight >= 0)).all():
        raise InputError(f"the weights of {symbol} are not all finite numbers from 0 on")


def _json(path: Path, what: str, value: dict[str, Any]) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: the {what} cannot be written as JSON ({error})") from None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
