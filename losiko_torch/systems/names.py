"""Names of structures: the file and frame that they were read from, and what users know them by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms

#: Key of ``info`` for the file and the frame that a structure was read from, "file@frame".
SOURCE = "losiko_source"
#: Key of ``info`` for the reason why a structure cannot be read.
UNREADABLE = "losiko_unreadable"
#: Key of ``info`` for the SMILES that a geometry was made of: a relaxation makes others as well.
DRAWN = "losiko_drawn"
#: Key of ``info`` for facts about the set that a structure is of: title, level of theory, licence,
#: citation and the like, by the names that the metadata of databases have for them.
METADATA = "losiko_metadata"
#: Key of ``info`` for bonds: rows of two atoms (from 0) and the order, 4 for an aromatic bond.
BONDS = "bonds"


def source_of(atoms: Atoms, number: int) -> str:
    """Return the origin of a structure, "file@frame", or its number: "structure 3"."""
    return str(atoms.info.get(SOURCE, numbered(number)))


def name_of(info: Mapping[str, Any]) -> str | None:
    """Return the name that a structure was given, ``info["name"]``, as text; None without one."""
    name = info.get("name")
    return str(name) if isinstance(name, (str, int, np.integer)) and str(name) else None


def titled(name: str | None, source: str) -> str:
    """Return what a table calls a structure: "ethanol, in.xyz@3", or its origin alone."""
    return source if name is None or name == source else f"{name}, {source}"


def title_of(atoms: Atoms, number: int) -> str:
    """Return what a table calls a structure, see ``titled``."""
    return titled(name_of(atoms.info), source_of(atoms, number))


def numbered(number: int) -> str:
    """Return the name of a structure that has no other: "structure 3"."""
    return f"structure {number}"


def formula_of(atoms: Atoms) -> str:
    """Return the chemical formula of a structure, in Hill's order, or "(no atoms)"."""
    return atoms.get_chemical_formula() or "(no atoms)"


def known_as(info: Mapping[str, Any], formula: str, number: int | None = None) -> str:
    """Return all names of a structure and its formula: "ethanol, in.xyz@3 (C2H6O)".

    Args:
        info: The structure's ``info``, or its record in a database.
        formula: The structure's formula; empty without atoms.
        number: The structure's number, which is its name if it has no other. None means that the
            formula is.
    """
    keys = ("name", "material_id", "smiles", "id", "source", SOURCE)
    told = [str(info[key]) for key in keys if isinstance(info.get(key), (str, int, np.integer))]
    known = list(dict.fromkeys(told))
    if not known and number is None:
        return formula or "(no atoms)"
    return f"{', '.join(known) or numbered(number or 0)} ({formula or 'no atoms'})"
