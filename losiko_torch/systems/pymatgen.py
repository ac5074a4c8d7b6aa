"""Structures of pymatgen and molecules of RDKit, which are accepted wherever ``ase.Atoms`` are.

Neither package is required. Whoever has one of its structures has imported it already. A molecule
of RDKit without a geometry gets one, see ``losiko_torch.systems.rdkit``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from ase import Atoms
from ase.constraints import FixCartesian, FixScaled

from losiko_torch.errors import InputError, StructureError, first_line
from losiko_torch.systems.rdkit import conformers_of, is_molecule, size_of_molecule, sketch

if TYPE_CHECKING:
    from pymatgen.core.structure import IMolecule, IStructure
    from rdkit.Chem import Mol

#: Types of a structure.
AnyStructure: TypeAlias = "Atoms | IStructure | IMolecule | Mol"

#: Site properties that pymatgen's adaptor would write over the atoms themselves.
RESERVED = ("numbers", "positions")


def one_by_one(structures: Any) -> Iterable[AnyStructure]:
    """Return many structures, a single one in a list.

    Raises:
        InputError: If the argument is neither a structure nor iterable.
    """
    # A structure is iterable itself, over its atoms or sites.
    if isinstance(structures, Atoms) or _from_pymatgen(structures):
        return [structures]
    if structures is not None and is_molecule(structures):
        return [structures]
    if not isinstance(structures, Iterable):
        raise InputError(
            f"structures are of type {type(structures).__name__}: give ase.Atoms, structures of "
            "pymatgen or molecules of RDKit"
        )
    return structures


def check_type(given: Any, number: int) -> None:
    """Raise ``InputError`` if ``given``, number ``number`` of many, is no structure."""
    if not (isinstance(given, Atoms) or _from_pymatgen(given) or is_molecule(given)):
        raise InputError(
            f"structure {number} is of type {type(given).__name__}: give ase.Atoms, structures of "
            "pymatgen or molecules of RDKit"
        )


def size_of(given: AnyStructure) -> int:
    """Return the number of atoms of a structure."""
    return size_of_molecule(given) if is_molecule(given) else len(given)


def as_atoms(given: AnyStructure) -> Atoms:
    """Return a structure as ``ase.Atoms``, converted by pymatgen's own adaptor if need be.

    Properties become ``info``, site properties arrays, ``selective_dynamics`` of a crystal the
    constraints that ASE makes of those of a POSCAR, ``FixAtoms`` and ``FixScaled``.

    Raises:
        StructureError: If the structure is disordered, or if the adaptor cannot convert it.
    """
    if isinstance(given, Atoms):
        return given
    if is_molecule(given):
        return conformers_of(given, 1, 0)[0]
    from pymatgen.io.ase import AseAtomsAdaptor

    if not given.is_ordered:
        raise StructureError("it is disordered: give an ordered approximation of it")
    for name in RESERVED:
        if name in given.site_properties:
            raise StructureError(f"it has a site property named '{name}': rename or remove it")
    try:
        atoms = AseAtomsAdaptor.get_atoms(given, msonable=False)
        if hasattr(given, "lattice"):
            # The adaptor takes them for Cartesian.
            atoms.set_constraint([_along_the_cell(each) for each in atoms.constraints])
        return atoms
    except Exception as error:  # the adaptor raises errors of many kinds, mostly for properties
        raise StructureError(
            f"pymatgen cannot convert it to ase.Atoms ({first_line(error)})"
        ) from error


def _along_the_cell(constraint: Any) -> Any:
    if type(constraint) is FixCartesian:
        return FixScaled(constraint.index, constraint.mask)
    return constraint


def outline(given: AnyStructure) -> Atoms:
    """Return a structure as ``ase.Atoms``, with "X" for each site if it cannot be converted."""
    if isinstance(given, Atoms):
        return given
    if is_molecule(given):
        return sketch(given)
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
