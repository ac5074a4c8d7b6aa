"""Looking at each structure before it joins a batch: can it be relaxed, and what may move?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian

from losiko_torch.conversion import AnyStructure, as_atoms, outline
from losiko_torch.database.environments import EnvironmentDatabase, check_describable
from losiko_torch.errors import StructureError


@dataclass(frozen=True)
class Prepared:
    """A structure on its way into a batch.

    Attributes:
        atoms: The input itself, or what it is as ``ase.Atoms``.
        movable: True where a coordinate may change, shape (n, 3).
        problem: Why it cannot be worked on; None if it can.
    """

    atoms: Atoms
    movable: np.ndarray
    problem: str | None = None


def prepare(given: AnyStructure, database: EnvironmentDatabase, moves: bool) -> Prepared:
    """Check a structure against a database; a problem is noted, not raised.

    Constraints matter only where the structure ``moves``.
    """
    atoms = outline(given)
    try:
        atoms = as_atoms(given)
        check_describable(atoms, database.descriptor)
        for number in np.unique(atoms.numbers).tolist():
            database.references_of(number)
        return Prepared(atoms, movable_coordinates(atoms) if moves else _nothing(atoms))
    except StructureError as error:
        return Prepared(atoms, _nothing(atoms), str(error))


def movable_coordinates(atoms: Atoms) -> np.ndarray:
    """True where the constraints of a structure let a coordinate change, shape (n, 3).

    Raises:
        StructureError: For a constraint that is neither ``FixAtoms`` nor ``FixCartesian``, as it
            would be broken silently.
    """
    movable = np.ones((len(atoms), 3), dtype=bool)
    for constraint in atoms.constraints:
        name = type(constraint).__name__
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
