"""What comes back for each structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ase import Atoms

#: What the reason of a failed structure begins with; why it failed follows.
FAILED = "failed: "


@dataclass(frozen=True, eq=False)
class Matches:
    """The references of each of n atoms, nearest first; -1 and zero where there are fewer than k.

    With weighted references, those first whose distance over weight is smallest.

    Attributes:
        structure: Number of the database's structure, shape (n, k).
        atom: Index of the atom in that structure, shape (n, k).
        weight: Share of the reference in the target, shape (n, k); the row's sum is 1.
        distance: Squared distance |p - z|^2 of the unit descriptors, shape (n, k).
    """

    structure: np.ndarray
    atom: np.ndarray
    weight: np.ndarray
    distance: np.ndarray


class Judgement(NamedTuple):
    """Loss of a structure, what each atom adds to it, shape (n,), and the atoms' references.

    What an atom adds includes its weight.
    """

    loss: float
    distances: np.ndarray
    matches: Matches


@dataclass(frozen=True, eq=False)
class Score:
    """How well a structure is covered by a database.

    Attributes:
        atoms: The structure, as ``ase.Atoms``.
        loss: Sum of ``distances``; NaN if it failed.
        distances: What each atom adds to the loss, its weight included, shape (n,).
        matches: Its references; None if it failed.
        problem: Why the structure could not be judged; None if it could.
    """

    atoms: Atoms
    loss: float
    distances: np.ndarray
    matches: Matches | None
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """A relaxed structure.

    Attributes:
        atoms: A copy of the input with the new positions and, if it relaxed, cell; unmoved if it
            failed. Sites of a structure that could not be made ``ase.Atoms`` stand as "X".
        loss: Its loss, as ``score`` gives it; never larger than ``start_loss``. NaN if it failed.
        start_loss: Loss of the input; NaN if it could not be judged.
        converged: Whether the gradient fell to ``fmax`` on every atom (with ``symprec``: before the
            structure was made symmetric); for Nelder-Mead, whether the simplex shrank to its
            spreads.
        n_steps: Evaluations of the loss, in all stages together.
        reason: "converged", "max_steps" or "failed: <why>". "max_steps" also stands, rarely, where
            the gradient became small but only at a larger loss than before: then the best point
            before is returned.
        distances: What each atom adds to the loss, its weight included, shape (n,).
        matches: The references of each atom; None if it failed.
        number: Which of the structures given it is, from 0.
        starts: With ``n_starts``, the results of all copies, that of the input as given first;
            this one is the one of lowest loss among them.
    """

    atoms: Atoms
    loss: float
    start_loss: float
    converged: bool
    n_steps: int
    reason: str
    distances: np.ndarray
    matches: Matches | None
    number: int = 0
    starts: tuple[Result, ...] = ()

    @property
    def failed(self) -> bool:
        return self.reason.startswith(FAILED)
