"""The built-in database: organic molecules of H, C, N, O, F, S and Cl in every installation.

The package ships structures, and the networks of targets that were fitted to them (by
``scripts/builtin_database/learned.py``). Descriptors are computed at first use, which takes about a
minute on one core, and kept in the user's cache folder (or in ``LOSIKO_CACHE``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from ase import Atoms

from losiko_torch.database import file as storage
from losiko_torch.database.components import COMPONENTS
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError
from losiko_torch.learned.stored import read

#: Parameters of the built-in database's descriptor, named as DScribe's (lengths in Angstrom).
PARAMETERS: dict[str, Any] = {"r_cut": 3.0, "n_max": 8, "l_max": 6, "sigma": 0.3}
ELEMENTS = ("H", "C", "N", "O", "F", "S", "Cl")


@lru_cache(maxsize=1)
def default_database() -> EnvironmentDatabase:
    """Return the built-in database on the CPU, from the cache if it is there already."""
    path = cache_file()
    if path.exists():
        try:
            return EnvironmentDatabase.load(path)
        except InputError:
            pass  # A damaged cache is no reason to stop: the database is built again.
    descriptor = SOAP(species=ELEMENTS, **PARAMETERS)
    database = EnvironmentDatabase.build(
        builtin_structures(), descriptor, metadata=builtin_metadata()
    )
    if _learned().exists():
        database = database.with_learned(read(_learned(), descriptor))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database.save(path, overwrite=True)
    except (OSError, InputError):
        pass  # A folder that cannot be written to costs time at the next start, nothing else.
    return database


def builtin_structures(path: Path | None = None) -> Iterator[Atoms]:
    """Yield the built-in structures, most important first: any first part is a good database.

    ``info`` has the SMILES of each and, where it is not zero, the charge.

    Args:
        path: Archive to read. None means the one that the package ships.
    """
    with np.load(path or _archive(), allow_pickle=False) as archive:
        numbers, positions, offsets = archive["Z"], archive["R"].astype(float), archive["offsets"]
        smiles = archive["smiles"].tobytes().decode().split("\n")
        charges = archive["charge"] if "charge" in archive else np.zeros(len(smiles), dtype=int)
        if "R_unit" in archive:  # integers, which compress better
            positions *= archive["R_unit"]
    for k in range(len(offsets) - 1):
        atoms = slice(offsets[k], offsets[k + 1])
        info: dict[str, Any] = {"smiles": smiles[k]}
        if charges[k]:
            info["charge"] = int(charges[k])
        yield Atoms(numbers[atoms], positions[atoms], info=info)


def builtin_metadata(path: Path | None = None) -> dict[str, Any]:
    """Title, level of theory, licence and origin of the built-in molecules.

    Args:
        path: Archive to read. None means the one that the package ships.
    """
    with np.load(path or _archive(), allow_pickle=False) as archive:
        return json.loads(archive["metadata"].tobytes().decode())


def cache_folder() -> Path:
    """Folder for computed descriptors: ``LOSIKO_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("LOSIKO_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("losiko")


def cache_file() -> Path:
    """Path of the computed built-in database, which exists after its first use."""
    return cache_folder() / f"organic-{_fingerprint()}.losiko"


def _archive() -> Path:
    return Path(str(files("losiko_torch") / "data" / "organic.npz"))


def _learned() -> Path:
    """Path of the networks that were fitted to the built-in molecules."""
    return _archive().with_name("organic_learned.safetensors")


def _fingerprint() -> str:
    """Digest of structures, networks, descriptor and file format, so that no cache is stale."""
    digest = hashlib.sha256(_archive().read_bytes())
    if _learned().exists():
        digest.update(_learned().read_bytes())
    digest.update(json.dumps([PARAMETERS, ELEMENTS, COMPONENTS, storage.VERSION]).encode())
    return digest.hexdigest()[:12]
