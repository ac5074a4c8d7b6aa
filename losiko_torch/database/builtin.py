"""The built-in databases: good structures and networks fitted to them in every installation.

The package ships structures, networks (``scripts/builtin_database/learned.py`` fits them) and what
is known of all structures together. Learned targets relax at once. References are described when
something first asks for them, for matches or for other targets: that takes a minute or two on one
core, and is kept in the user's cache folder (or in ``LOSIKO_CACHE``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from ase import Atoms

from losiko_torch.database import file as storage
from losiko_torch.database.building.describe import record_of
from losiko_torch.database.building.order import Layout
from losiko_torch.database.components import COMPONENTS
from losiko_torch.database.element import Environments
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.database.geometries import Geometries
from losiko_torch.database.known import Known, read_known
from losiko_torch.database.on_demand import EnvironmentsOnDemand
from losiko_torch.database.waiting import waiting
from losiko_torch.errors import InputError
from losiko_torch.keywords import nearest_name
from losiko_torch.learned.stored import LEARNED, read, stored

#: Name of the one that serves where none is given.
DEFAULT = "organic"


def default_database() -> EnvironmentDatabase:
    """Return the built-in database that serves where none is given, on the CPU."""
    return builtin_database(DEFAULT)


@lru_cache(maxsize=4)
def builtin_database(name: str) -> EnvironmentDatabase:
    """Return a built-in database on the CPU, its references to be described on demand.

    Raises:
        InputError: If there is none of that name.
    """
    _check_name(name)
    structures, known = list(builtin_structures(name=name)), _known(name)
    model = read(_data(name, "_learned.safetensors"), known.descriptor)
    record, tensors = stored(model)
    layout = Layout.of(structures)
    environments: dict[int, Environments] = {}
    for number in sorted(layout.counts):
        environments[number] = EnvironmentsOnDemand.of(
            partial(_described, name, number),
            *layout.places(number),
            tensors.get(number, {}),
            known.descriptor.get_number_of_features(),
        )
    return EnvironmentDatabase(
        known.descriptor,
        environments,
        [record_of(atoms) for atoms in structures],
        builtin_metadata(name=name),
        closest=known.closest,
        fitted={LEARNED: record},
        geometries=Geometries.of(structures),
        survey=known.survey,
    )


def builtin_names() -> list[str]:
    """Return the names of the built-in databases, the default one first."""
    found = sorted(each.name.removesuffix(".npz") for each in _folder().glob("*.npz"))
    return [DEFAULT, *(name for name in found if name != DEFAULT)]


def builtin_name(database: Path | str | None) -> str | None:
    """Return the built-in database that a file name means, as there is no file; else None.

    None means the default one.
    """
    if database is None:
        return DEFAULT
    given = str(database)
    return given if given in builtin_names() and not Path(given).exists() else None


def builtin_structures(path: Path | None = None, name: str = DEFAULT) -> Iterator[Atoms]:
    """Yield built-in structures, most important first: any first part is a good database.

    ``info`` holds their SMILES, else the number that their source gave them, and the charge of
    those that have one.

    Args:
        path: Archive to read. None means the one that the package ships.
        name: Name of the built-in database.
    """
    with np.load(path or _archive(name), allow_pickle=False) as archive:
        numbers, positions, offsets = archive["Z"], archive["R"].astype(float), archive["offsets"]
        infos: list[dict[str, Any]]
        if "smiles" in archive:
            infos = [{"smiles": each} for each in archive["smiles"].tobytes().decode().split("\n")]
        else:
            infos = [{"id": each} for each in archive["id"].tolist()]
        charges = archive.get("charge", np.zeros(len(infos), dtype=int)).tolist()
        if "R_unit" in archive:  # integers, which compress better
            positions *= archive["R_unit"]
    for k, (info, charge) in enumerate(zip(infos, charges, strict=True)):
        atoms = slice(offsets[k], offsets[k + 1])
        if charge:
            info["charge"] = charge
        yield Atoms(numbers[atoms], positions[atoms], info=info)


def builtin_metadata(path: Path | None = None, name: str = DEFAULT) -> dict[str, Any]:
    """Return title, level of theory, licence and origin of built-in structures.

    Args:
        path: Archive to read. None means the one that the package ships.
        name: Name of the built-in database.
    """
    with np.load(path or _archive(name), allow_pickle=False) as archive:
        return json.loads(archive["metadata"].tobytes().decode())


def cache_folder() -> Path:
    """Return the folder for computed descriptors: ``LOSIKO_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("LOSIKO_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("losiko")


def cache_file(name: str = DEFAULT) -> Path:
    """Return the path of a built-in database's descriptors, which exists after their first use."""
    return cache_folder() / f"{name}-{_fingerprint(name)}.losiko"


def _described(name: str, number: int) -> Environments:
    return _all_described(name)[number]


@lru_cache(maxsize=4)
def _all_described(name: str) -> dict[int, Environments]:
    """Return all references with their descriptors, from the cache if they are there already."""
    path = cache_file(name)
    if path.exists():
        try:
            return EnvironmentDatabase.load(path).environments
        except InputError:
            pass  # A damaged cache is no reason to stop: they are described again.
    structures = list(builtin_structures(name=name))
    what = f"describing the references of the built-in database '{name}', once"
    with waiting(what, len(structures)) as done:
        made = EnvironmentDatabase.build(structures, _known(name).descriptor, progress=done)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made.save(path, overwrite=True)
    except (OSError, InputError):
        pass  # A folder that cannot be written to costs time at the next start, nothing else.
    return made.environments


def _known(name: str) -> Known:
    return read_known(_data(name, "_known.safetensors"))


def _check_name(name: str) -> None:
    names = builtin_names()
    if name not in names:
        near = nearest_name(name, names)
        meant = f" (did you mean '{near}'?)" if near else ""
        raise InputError(
            f"there is no built-in database '{name}', only {' and '.join(names)}{meant}: others "
            "are opened from their files"
        )


def _folder() -> Path:
    return Path(str(files("losiko_torch") / "data"))


def _archive(name: str = DEFAULT) -> Path:
    return _folder() / f"{name}.npz"


def _data(name: str, suffix: str) -> Path:
    """Return the path of what belongs to a built-in database's structures."""
    archive = _archive(name)
    return archive.with_name(f"{archive.stem}{suffix}")


def _fingerprint(name: str = DEFAULT) -> str:
    """Digest of all that ships and of the file format: it names the cache, and runs by it."""
    digest = hashlib.sha256(_archive(name).read_bytes())
    for suffix in ("_known.safetensors", "_learned.safetensors"):
        digest.update(_data(name, suffix).read_bytes())
    digest.update(json.dumps([COMPONENTS, storage.VERSION]).encode())
    return digest.hexdigest()[:12]
