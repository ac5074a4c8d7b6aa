"""Structures of pymatgen, accepted wherever ``ase.Atoms`` are.

pymatgen is neither required nor imported here: where one of its structures exists it is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from ase import Atoms

from losiko_torch.errors import InputError, StructureError

if TYPE_CHECKING:
    from pymatgen.core.structure import IMolecule, IStructure

#: What counts as one structure.
AnyStructure: TypeAlias = "Atoms | IStructure | IMolecule"

#: Site properties that the adaptor would write over the atoms themselves.
RESERVED = ("numbers", "positions")


def one_by_one(structures: Any) -> Iterable[AnyStructure]:
    """One structure or many, as many; pymatgen's are iterable themselves, over their sites.

    Raises:
        InputError: For what is neither.
    """
    if isinstance(structures, Atoms) or _from_pymatgen(structures):
        return [structures]
    if not isinstance(structures, Iterable):
        raise InputError(
            f"structures are of type {type(structures).__name__}: give ase.Atoms or structures of "
            "pymatgen"
        )
    return structures


def check_type(given: Any, number: int) -> None:
    """Raise ``InputError`` where structure ``number`` is not a structure at all."""
    if not (isinstance(given, Atoms) or _from_pymatgen(given)):
        raise InputError(
            f"structure {number} is of type {type(given).__name__}: give ase.Atoms or structures "
            "of pymatgen"
        )


def as_atoms(given: AnyStructure) -> Atoms:
    """A structure as ``ase.Atoms``: itself, or what pymatgen's own adaptor makes of it.

    Properties become ``info``, site properties arrays, ``selective_dynamics`` the constraints
    ``FixAtoms`` and ``FixCartesian``.

    Raises:
        StructureError: For a disordered structure, or one that the adaptor cannot convert.
    """
    if isinstance(given, Atoms):
        return given
    from pymatgen.io.ase import AseAtomsAdaptor

    if not given.is_ordered:
        raise StructureError("it is disordered: give an ordered approximation of it")
    for name in RESERVED:
        if name in given.site_properties:
            raise StructureError(f"it has a site property named '{name}': rename or remove it")
    try:
        return AseAtomsAdaptor.get_atoms(given, msonable=False)
    except Exception as error:  # whatever the adaptor trips over, in properties above all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StructureError(f"pymatgen cannot convert it to ase.Atoms ({reason})") from error


def outline(given: AnyStructure) -> Atoms:
    """What can be shown of a structure that is no ``ase.Atoms``: its sites, each as an "X"."""
    if isinstance(given, Atoms):
        return given
    lattice = getattr(given, "lattice", None)
    return Atoms(
        ["X"] * len(given),
        positions=given.cart_coords,
        cell=None if lattice is None else lattice.matrix,
        pbc=False if lattice is None else lattice.pbc,
        info=dict(given.properties),
    )


def _from_pymatgen(given: Any) -> bool:
    module = sys.modules.get("pymatgen.core.structure")
    return module is not None and isinstance(given, module.SiteCollection)
