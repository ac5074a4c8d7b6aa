"""The structures of the cases: from ``LOSIKO_DATA``, else the public original, else a stand-in.

Each function prints which of the three it took. ``LOSIKO_DATA`` names a folder with
``qm9/qm9.npz``, ``mp/Si-O.extxyz`` and so on; without it the originals are fetched once and kept in
the cache folder (``LOSIKO_CACHE`` moves it), as ``losiko fetch`` does. Where that fails, stand-ins
that need no network let a notebook run, with other numbers than the stored ones.
"""

from __future__ import annotations

import os
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from cases import prototypes
from cases.size import QUICK
from losiko_torch import InputError, fetch
from losiko_torch.database.builtin import builtin_structures, cache_folder
from losiko_torch.io.fetching.dataset import Dataset
from losiko_torch.io.fetching.materials_project import Crystals
from losiko_torch.io.fetching.qm9 import as_arrays

#: Materials Project entries of amorphous SiO2, and all that are amorphous cells: no part of a
#: database of crystals.
AMORPHOUS_SILICA = ("mp-1244945", "mp-1245026", "mp-1244965", "mp-1244968")
AMORPHOUS = {"mp-1244964", "mp-1244913", "mp-1245190"} | set(AMORPHOUS_SILICA)


def folder() -> Path | None:
    """Folder that ``LOSIKO_DATA`` names; None means that it is not set."""
    named = os.environ.get("LOSIKO_DATA")
    return Path(named) if named else None


def qm9_arrays() -> dict[str, np.ndarray]:
    """QM9's molecules of H, C, N and O: ``id``, ``Z``, ``R`` (Angstrom) and ``offsets``."""
    given = folder()
    if given is not None:
        return _told(_archive(given / "qm9" / "qm9.npz"), "LOSIKO_DATA")
    kept = cache_folder() / "qm9.npz"
    if not kept.exists() and not _fetched(kept, "qm9"):
        return _told(_builtin_as_qm9(), "the built-in database: its molecules stand in for QM9's")
    return _told(_archive(kept), "figshare (kept in the cache folder)")


def crystals(system: str, hull: float) -> list[Atoms]:
    """Materials Project crystals of a chemical system, such as "Si-O", all its subsystems included.

    Args:
        system: Its elements, joined by hyphens.
        hull: Largest energy above the hull, eV per atom; crystals where it is unknown are left
            out, amorphous cells too.
    """
    found = _extxyz(f"mp/{system}.extxyz", f"mp:{system}")
    structures = prototypes.crystals(system) if found is None else found
    return [
        atoms
        for atoms in structures
        if atoms.info.get("e_above_hull", np.inf) <= hull
        and atoms.info.get("material_id") not in AMORPHOUS
    ]


def amorphous_silica() -> list[Atoms]:
    """Cells of amorphous SiO2, some 100 atoms each."""
    cells = Crystals("amorphous SiO2", {"material_ids": list(AMORPHOUS_SILICA)})
    found = _extxyz("silica/aSiO2_MP_amorphous_DFT_4.extxyz", cells)
    return prototypes.disordered_silica() if found is None else found


def random_search_carbon() -> list[Atoms]:
    """Carbon found by random structure search at 10 GPa; ``energy_per_atom`` (eV) in ``info``.

    The data set offers no download of single files: without ``LOSIKO_DATA`` the carbon is the
    Materials Project's.
    """
    given = folder()
    if given is not None:
        return _read(given / "carbon" / "carbon_24_valtest.extxyz", "LOSIKO_DATA")
    return crystals("C", hull=1.0)


def _extxyz(name: str, source: str | Dataset) -> list[Atoms] | None:
    """Structures of a file in ``LOSIKO_DATA``, or else fetched; None means that there are none."""
    given = folder()
    if given is not None:
        return _read(given / name, "LOSIKO_DATA")
    kept = cache_folder() / Path(name).name
    if not kept.exists() and not _fetched(kept, source):
        print(f"{Path(name).stem}: a few textbook structures stand in")
        return None
    return _read(kept, "the Materials Project (kept in the cache folder)")


def _fetched(path: Path, source: str | Dataset) -> bool:
    if QUICK:
        print(f"{path.name}: not fetched in quick mode")
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"{path.name}: fetching it, once")
        fetch(source, path)
    except (OSError, InputError) as error:
        print(f"{path.name}: not fetched ({error})")
        return False
    return True


def _read(path: Path, source: str) -> list[Atoms]:
    structures = ase.io.read(path, ":")
    print(f"{path.name}: {len(structures)} structures, from {source}")
    return structures


def _archive(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return {name: archive[name] for name in ("id", "Z", "R", "offsets")}


def _told(arrays: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    print(f"QM9: {len(arrays['id'])} molecules, from {source}")
    return arrays


def _builtin_as_qm9() -> dict[str, np.ndarray]:
    return as_arrays(
        (k + 1, atoms)
        for k, atoms in enumerate(builtin_structures())
        if set(atoms.symbols) <= {"H", "C", "N", "O"}
    )
