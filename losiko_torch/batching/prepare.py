"""Preparing each structure for a batch: whether it can be relaxed, and what of it may move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian, FixScaled

from losiko_torch.database.building.describe import check_describable
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.errors import StructureError
from losiko_torch.loss.terms.interface import Term, arrays_of
from losiko_torch.systems.atom_weights import atom_weights
from losiko_torch.systems.noise import gaussian
from losiko_torch.systems.pymatgen import AnyStructure, as_atoms, outline
from losiko_torch.systems.scaled_constraints import in_cartesian
from losiko_torch.systems.selection import Selection, selected_coordinates
from losiko_torch.systems.validity import check_structure


@dataclass(frozen=True)
class Prepared:
    """Structure on its way into a batch.

    Attributes:
        atoms: Input itself, or its conversion to ``ase.Atoms``.
        movable: True where a coordinate may change, shape (n, 3).
        weights: Weights of the atoms in the loss, shape (n,). None means 1.
        problem: Reason why it cannot be worked on; None if it can.
        copy: Number among the copies of an input; 0 for the input itself.
        arrays: Per-atom arrays that terms of the loss keep of it, by name, shape (n, ...).
        number: Number of the input among all.
    """

    atoms: Atoms
    movable: np.ndarray
    weights: np.ndarray | None = None
    problem: str | None = None
    copy: int = 0
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    number: int = 0

    def shaken(self, copy: int, sigma: float, seed: int) -> Prepared:
        """Return a copy with N(0, sigma) Angstrom added to every movable coordinate."""
        if self.problem is not None:
            return replace(self, copy=copy)
        atoms = self.atoms.copy()
        noise = sigma * gaussian((seed, 0), [copy], [len(atoms)])
        atoms.set_positions(atoms.positions + noise * self.movable, apply_constraint=False)
        shaken = replace(self, atoms=atoms, copy=copy)
        try:
            check_structure(atoms)
        except StructureError as error:
            return replace(shaken, problem=str(error))
        return shaken


def prepare(
    given: AnyStructure,
    number: int,
    database: DatabaseRecord,
    factors: Mapping[int, float],
    terms: Sequence[Term] = (),
    select: Selection | None = None,
) -> Prepared:
    """Check a structure against a database and find what moves; a problem is noted, not raised.

    Args:
        given: Structure.
        number: Its number among all.
        database: References.
        factors: Weights of elements, by atomic number.
        terms: Terms of the loss.
        select: Selection of the atoms that may move. None is for structures that stay as they are:
            constraints do not matter then.
    """
    atoms = outline(given)
    try:
        atoms = as_atoms(given)
        check_describable(atoms, database.descriptor)
        for element in np.unique(atoms.numbers).tolist():
            database.references_of(element)
        weights, arrays = atom_weights(atoms, factors), arrays_of(terms, atoms, number)
        movable = _nothing(atoms)
        if select is not None:
            movable = movable_coordinates(atoms) & selected_coordinates(atoms, select)
        return Prepared(atoms, movable, weights, arrays=arrays, number=number)
    except StructureError as error:
        return Prepared(atoms, _nothing(atoms), problem=str(error), number=number)


def movable_coordinates(atoms: Atoms) -> np.ndarray:
    """Return a mask (n, 3), true where the constraints of a structure let a coordinate change.

    Raises:
        StructureError: For a constraint that would be broken silently: one that is neither
            ``FixAtoms`` nor ``FixCartesian``, nor a ``FixScaled`` that is one of these.
    """
    movable = np.ones((len(atoms), 3), dtype=bool)
    for constraint in in_cartesian(atoms):
        name = type(constraint).__name__
        if isinstance(constraint, FixScaled):
            raise StructureError(
                f"atom {int(constraint.index[0])} is fixed along cell vectors that are not along "
                "x, y or z: fix it whole, or turn the cell"
            )
        if not isinstance(constraint, (FixAtoms, FixCartesian)):
            raise StructureError(
                f"its constraint {name} cannot be honoured, only FixAtoms and FixCartesian can: "
                "remove it"
            )
        if not np.isin(constraint.index, np.arange(-len(atoms), len(atoms))).all():
            raise StructureError(f"its constraint {name} names atoms that it does not have")
        movable[constraint.index] &= ~getattr(constraint, "mask", np.ones(3, dtype=bool))
    return movable


def _nothing(atoms: Atoms) -> np.ndarray:
    return np.zeros((len(atoms), 3), dtype=bool)
