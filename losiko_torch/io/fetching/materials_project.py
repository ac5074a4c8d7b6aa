"""Crystals of the Materials Project through its own client, ``mp-api``, as extended xyz."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols
from ase.io.extxyz import write_xyz

from losiko_torch.errors import InputError, StructureError, first_line
from losiko_torch.io.atomic import replacing
from losiko_torch.io.fetching.dataset import Fetched, Watch
from losiko_torch.io.formats.extxyz import writable
from losiko_torch.systems.names import METADATA
from losiko_torch.systems.pymatgen import as_atoms

#: Environment variable with the key to the Materials Project.
KEY = "MP_API_KEY"
SUFFIXES = (".extxyz", ".xyz")
FIELDS = ["material_id", "formula_pretty", "energy_above_hull", "structure"]
#: Facts about all its crystals, as databases keep them.
FACTS = {
    "level_of_theory": "PBE, PBE+U or r2SCAN (VASP)",
    "licence": "CC BY 4.0",
    "citation": "A. Jain, S. P. Ong, G. Hautier, W. Chen, W. D. Richards, S. Dacek, S. Cholia, "
    "D. Gunter, D. Skinner, G. Ceder and K. A. Persson, APL Mater. 1, 011002 (2013)",
}


@dataclass(frozen=True)
class Crystals:
    """Crystals of the Materials Project.

    Attributes:
        name: What they are, for their title.
        criteria: Criteria of the client's ``materials.summary.search``.
        hull: Largest energy above the hull, eV per atom. None takes all, those too of which it is
            unknown.
        file: Name of the file that they are kept in.
    """

    name: str
    criteria: dict[str, Any]
    hull: float | None = None
    file: str = "mp.extxyz"

    def fetch(self, path: Path, overwrite: bool, watch: Watch) -> Fetched:
        """Fetch the crystals and write them; ``watch`` is told that it begins.

        Raises:
            InputError: Without ``mp-api`` or a key, if the client fails, if there are no such
                crystals, or if they cannot be written.
        """
        if path.suffix not in SUFFIXES:
            raise InputError(f"{path}: crystals are kept as extended xyz: give a name in .extxyz")
        criteria = dict(self.criteria)
        if self.hull is not None:
            criteria["energy_above_hull"] = (0.0, self.hull)
        watch("asking the Materials Project", 0, None)
        entries = _entries(criteria)
        metadata = self._metadata()
        structures, left_out = [], {}
        for entry in entries:
            try:
                energy = entry.energy_above_hull
                if self.hull is None or (energy is not None and energy <= self.hull):
                    structures.append(_structure(entry, metadata))
            except Exception as error:  # of an entry that lacks what others have
                left_out[str(getattr(entry, "material_id", "an entry"))] = first_line(error)
        if not structures:
            for name, reason in left_out.items():
                raise InputError(
                    f"no crystal of the Materials Project can be taken: {name}: {reason}"
                )
            within = "" if self.hull is None else f" within {self.hull:g} eV per atom of the hull"
            raise InputError(f"the Materials Project has no {self.name}{within}")
        with replacing(path, overwrite) as file:
            for atoms in structures:
                write_xyz(file, writable(atoms)[0])
        return Fetched(path, len(structures), metadata, left_out)

    def _metadata(self) -> dict[str, Any]:
        metadata = {"title": f"Materials Project: {self.name}", **FACTS}
        if self.hull is not None:
            metadata["e_above_hull"] = f"up to {self.hull:g} eV per atom"
        # What it has changes with time.
        return metadata | {"fetched": datetime.date.today().isoformat()}


def crystals_of(system: str, hull: float | None = None) -> Crystals:
    """Crystals of a chemical system such as "Si-O", those of its subsystems included.

    Raises:
        InputError: If the text is no chemical system.
    """
    elements = system.split("-")
    known = set(chemical_symbols[1:])
    for element in elements:
        if element not in known:
            raise InputError(
                f"mp:{system}: '{element}' is no chemical element: join the symbols of elements by "
                "hyphens, as in mp:Si-O"
            )
    if len(set(elements)) < len(elements):
        raise InputError(f"mp:{system}: an element is there twice: name each once, as in mp:Si-O")
    return Crystals(
        f"crystals of {system}" + (" and its subsystems" if len(elements) > 1 else ""),
        {"chemsys": subsystems(elements)},
        hull,
        f"mp-{system}.extxyz",
    )


def subsystems(elements: Iterable[str]) -> list[str]:
    """Names of all subsystems in the Materials Project: "O", "Si" and "O-Si" of Si and O."""
    elements = sorted(elements)
    chosen = range(1, 2 ** len(elements))
    return ["-".join(e for k, e in enumerate(elements) if bits >> k & 1) for bits in chosen]


def _entries(criteria: dict[str, Any]) -> list[Any]:
    """Entries that the client finds, each with ``FIELDS``."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise InputError(
            f"the Materials Project asks for a key: set {KEY} to yours, which it shows to those "
            "who are signed in"
        )
    try:
        from mp_api.client import MPRester
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mp_api":
            raise InputError(f"mp-api cannot be imported ({first_line(error)})") from None
        raise InputError(
            "crystals of the Materials Project come through mp-api: pip install mp-api"
        ) from None
    except Exception as error:  # whatever it trips over when it is imported
        raise InputError(f"mp-api cannot be imported ({first_line(error)})") from error
    try:
        with MPRester(key, mute_progress_bars=True) as project:
            return list(project.materials.summary.search(fields=FIELDS, **criteria))
    except Exception as error:  # mp-api raises whatever its libraries raise
        told = first_line(error).replace(key, KEY)
        raise InputError(f"the client of the Materials Project fails: {told}") from error


def _structure(entry: Any, metadata: dict[str, Any]) -> Atoms:
    """The structure of an entry; raise ``StructureError`` if it cannot be taken."""
    if entry.structure is None:
        raise StructureError("it has no structure")
    atoms = as_atoms(entry.structure)
    made = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    made.info = {"material_id": str(entry.material_id), "formula": str(entry.formula_pretty)}
    if entry.energy_above_hull is not None:
        made.info["e_above_hull"] = float(entry.energy_above_hull)
    made.info[METADATA] = metadata
    return made
