"""The file of a database: safetensors, so nothing in it can run, with a JSON description.

Every element has four tensors ("H/vectors", "H/basis", "H/structure", "H/atom"), and a fifth,
"H/weight", if its references do not all weigh 1. The header holds the format's name and version,
the descriptor (see ``database.stored_descriptor``), the structures, the metadata, and the shortest
interatomic distances in Angstrom ("closest", by pairs such as "C-H") and the survey of distances,
which older programs ignore.

Version 1 names no kind of descriptor: it is SOAP. Large databases need version 3: vectors of
elements with many references are float16, as they were built, lists divide them ("H/centroids",
"H/lists", see ``search.inverted_lists``), and the structures of a long list are a tensor of JSON.
Version 4 keeps what targets fitted beforehand ("H/fitted/NAME", and the entry "fitted" of the
header). Version 5 keeps the geometries of the structures ("geometries/positions" and others, see
``database.geometries``). The lowest version that can hold a database is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ase.data import atomic_numbers, chemical_symbols
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from losiko_torch.database.building.closest import Closest, named_by_pair, of_named_pairs
from losiko_torch.database.building.survey import Survey
from losiko_torch.database.components import compact
from losiko_torch.database.element import FITTED, Environments
from losiko_torch.database.geometries import PREFIX, Geometries
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.database.stored_descriptor import StoredDescriptor
from losiko_torch.descriptors.interface import species_of
from losiko_torch.errors import InputError, UnknownOption
from losiko_torch.io.atomic import replacement

FORMAT = "losiko-database"
VERSION, FITTED_VERSION, LARGE_VERSION, PLAIN_VERSION = 5, 4, 3, 2
TENSORS = ("vectors", "basis", "structure", "atom")
#: Tensors that an element may lack; those of large elements.
OPTIONAL, LISTED = ("weight", "centroids", "lists"), ("centroids", "lists")
#: Types of numbers, besides floating ones, that a target may fit.
INTEGERS = (torch.int32, torch.int64)
#: Name of the structures' tensor, and number of characters from which on there is one: safetensors
#: allows a header of 100 MB.
STRUCTURES, LONGEST_HEADER = "structures", 2**24

#: Name of the tensor that belongs to the descriptor: that by which one that the file does not hold
#: is recognised, or the mixing of mixed SOAP.
FINGERPRINT = "fingerprint"

#: ``(what the file holds of the descriptor, elements) -> descriptor``
Restore = Callable[[StoredDescriptor, list[int]], nn.Module]


class Loaded(NamedTuple):
    """The parts of a database that a file holds, named as the attributes of ``DatabaseRecord``."""

    descriptor: nn.Module
    environments: dict[int, Environments]
    structures: list[dict[str, Any]]
    metadata: dict[str, Any]
    closest: Closest | None
    fitted: dict[str, Any]
    geometries: Geometries | None
    survey: Survey | None


def save(database: DatabaseRecord, path: Path, overwrite: bool) -> None:
    """Write to a temporary file beside ``path``, then move it there.

    Raises:
        InputError: If ``path`` exists without ``overwrite``, or if something cannot be written.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: give another name, or allow overwriting")
    tensors = {}
    for number, part in database.environments.items():
        symbol = chemical_symbols[number]
        for name, tensor in part.tensors().items():
            if name.startswith(FITTED):
                try:
                    _check_fitted(symbol, name, tensor)
                except InputError as error:
                    raise InputError(f"{path}: {error}") from None
                # Elements may share them, and safetensors refuses tensors that share memory.
                tensor = tensor.detach().clone()
            stored_tensor = compact(tensor, len(part)) if name == "vectors" else tensor
            tensors[f"{symbol}/{name}"] = stored_tensor.cpu().contiguous()
    stored = StoredDescriptor.of(database.descriptor, list(database.environments))
    if stored.tensor is not None:
        tensors[FINGERPRINT] = stored.tensor
    structures = json.dumps(database.structures)
    if len(structures) > LONGEST_HEADER:
        tensors[STRUCTURES] = torch.frombuffer(bytearray(structures.encode()), dtype=torch.uint8)
        structures = ""
    plain = structures and not any(
        tensor.dtype == torch.float16 or name.partition("/")[2] in LISTED
        for name, tensor in tensors.items()
    )
    version = PLAIN_VERSION if plain else LARGE_VERSION
    if database.is_fitted:
        version = FITTED_VERSION
    if database.geometries is not None:
        version = VERSION
        tensors |= _geometries_of(database, path)
    header = {
        "format": FORMAT,
        "version": str(version),
        "kind": stored.kind,
        "descriptor": _json(path, "descriptor's parameters", stored.parameters),
        "structures": structures,
        "metadata": _json(path, "metadata", database.metadata),
    }
    if database.closest is not None:
        header["closest"] = json.dumps(named_by_pair(database.closest), sort_keys=True)
    if database.survey is not None:
        header["survey"] = json.dumps(database.survey.to_json())
    if database.is_fitted:
        header["fitted"] = _json(path, "fitted state", database.fitted)
    with replacement(path, overwrite) as temporary:
        try:
            save_file(tensors, temporary, metadata=header)
        except SafetensorError as error:
            raise OSError(str(error)) from None
        _sort_metadata(temporary)


def load(path: Path, restore: Restore) -> Loaded:
    """Read what ``save`` wrote; everything is checked before it is believed.

    Raises:
        InputError: If the file is no database, is damaged or of a newer version, or if ``restore``
            refuses its descriptor.
    """
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
        named = json.loads(header["closest"]) if "closest" in header else None
        closest = None if named is None else of_named_pairs(named)
        survey = Survey.of_json(json.loads(header["survey"])) if "survey" in header else None
        fitted = json.loads(header.get("fitted", "{}"))
        geometric = {name: tensors.pop(name) for name in names if name.startswith(PREFIX)}
        environments: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            symbol, _, kind = name.partition("/")
            environments.setdefault(atomic_numbers[symbol], {})[kind] = tensor
        environments = dict(sorted(environments.items()))
        for parts in environments.values():
            if "vectors" in parts and parts["vectors"].dtype == torch.float16:
                parts["vectors"] = parts["vectors"].float()
        descriptor = restore(stored, list(environments))
        if not isinstance(fitted, dict):
            raise InputError("its fitted state is damaged")
        _check(descriptor, stored.n_features(descriptor), environments, structures, metadata)
        geometries = Geometries.of_tensors(geometric) if geometric else None
        if geometries is not None:
            places = {z: (each["structure"], each["atom"]) for z, each in environments.items()}
            geometries.check_places(len(structures), places)
    except UnknownOption as error:
        raise InputError(f"{path}: its descriptor is damaged ({error})") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (SafetensorError, LookupError, ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(
            f"{path}: not a LOSIKO database, or a damaged one ({_reason(error)})"
        ) from None
    made = {number: Environments.of_tensors(parts) for number, parts in environments.items()}
    return Loaded(descriptor, made, structures, metadata, closest, fitted, geometries, survey)


def _geometries_of(database: DatabaseRecord, path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a database's geometries, or ``InputError`` if they are not those of it."""
    assert database.geometries is not None
    places = {z: (part.structure, part.atom) for z, part in database.environments.items()}
    try:
        database.geometries.check_places(len(database.structures), places)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return {name: each.contiguous() for name, each in database.geometries.tensors().items()}


def _sort_metadata(path: Path) -> None:
    """Put the header's metadata, which safetensors writes in random order, in a fixed one.

    Equal databases are then equal files, byte by byte.
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
        fitted = {name: each for name, each in tensors.items() if name.startswith(FITTED)}
        if set(tensors) - set(OPTIONAL) - set(fitted) != set(TENSORS):
            raise InputError(f"the environments of {symbol} are incomplete")
        known = species is None or number in species
        _check_environments(symbol, known, n_features, tensors)
        _check_lists(symbol, tensors)
        if "weight" in tensors:
            _check_weight(symbol, len(tensors["vectors"]), tensors["weight"])
        for name, tensor in fitted.items():
            _check_fitted(symbol, name, tensor)
        structure = tensors["structure"]
        if not 0 <= int(structure.min()) <= int(structure.max()) < len(structures):
            raise InputError(f"environments of {symbol} belong to no structure")


def _check_environments(
    symbol: str, known: bool, n_features: int, tensors: dict[str, torch.Tensor]
) -> None:
    """Check shapes, types and values of an element's obligatory tensors."""
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
    # In blocks: the mask of all at once would take a quarter of the vectors' memory.
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


def _check_fitted(symbol: str, name: str, tensor: torch.Tensor) -> None:
    if not tensor.is_floating_point() and tensor.dtype not in INTEGERS:
        raise InputError(f"the tensor '{name}' of {symbol} is of the wrong type")
    if not torch.isfinite(tensor).all():
        raise InputError(f"the tensor '{name}' of {symbol} contains numbers not finite")


def _json(path: Path, what: str, value: dict[str, Any]) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: the {what} cannot be written as JSON ({error})") from None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
