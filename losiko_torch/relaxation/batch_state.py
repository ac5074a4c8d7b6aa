"""State of the structures of a batch on their way, and the limits of their search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from losiko_torch.loss.matching import Matching
from losiko_torch.optimizers.interface import State
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.systems.record import ATOM, ROW, SYSTEM, Record, part, per
from losiko_torch.systems.verlet_list import VerletList


class Limits(NamedTuple):
    """Limits of a search.

    Attributes:
        max_steps: Evaluations granted to each structure.
        fmax: Largest gradient on any row, in 1/Angstrom, at which a structure has converged.
        rounds: Evaluations after which structures that have ended leave the batch. Until then they
            stay, and nothing of theirs counts: to count who leaves is to wait for a GPU.
    """

    max_steps: int
    fmax: float
    rounds: int = 1


@dataclass(frozen=True)
class BatchState(Record):
    """Structures still in the batch: N atoms, B structures.

    Attributes:
        coordinates: Coordinates that move.
        state: State of the optimizer.
        matching: References of the atoms.
        matched_at: Positions at which they were searched last, shape (N, 3).
        distances: Weighted distance of each atom, shape (N,), as of its last evaluation.
        neighbors: Verlet list; None where the descriptor does not tell how far it sees.
        best: Coordinates of the lowest loss seen right after a search, shape (rows, 3).
        best_loss: That loss, shape (B,).
        fresh: Structures whose next trial is accepted whatever its loss, shape (B,): their
            references are just found, or they are retreating.
        retreating: Structures on the way back from a trial that went far, shape (B,).
        loss: Loss of the last accepted trial, shape (B,).
        searches: Searches at a small gradient, shape (B,).
        steps: Evaluations, shape (B,).
        ended: Structures that have ended, and stay until the round is over, shape (B,).
        round: Evaluations since the batch began.
        system, atom: Numbers of structures and atoms among all that are to be relaxed, in the batch
            or not, shapes (B,) and (N,).
    """

    coordinates: Coordinates = part()
    state: State = part()
    matching: Matching = part()
    matched_at: torch.Tensor = per(ATOM)
    distances: torch.Tensor = per(ATOM)
    neighbors: VerletList | None = part()
    best: torch.Tensor = per(ROW)
    best_loss: torch.Tensor = per(SYSTEM)
    fresh: torch.Tensor = per(SYSTEM)
    retreating: torch.Tensor = per(SYSTEM)
    loss: torch.Tensor = per(SYSTEM)
    searches: torch.Tensor = per(SYSTEM)
    steps: torch.Tensor = per(SYSTEM)
    ended: torch.Tensor = per(SYSTEM)
    round: int = part()
    system: torch.Tensor = per(SYSTEM)
    atom: torch.Tensor = per(ATOM)

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the batch."""
        return self.coordinates.start.n_atoms

    def keep(self, systems: torch.Tensor) -> BatchState:
        """State of the structures of the mask (B,)."""
        return self.select(self.coordinates.masks(systems))

    def joined(self, other: BatchState) -> BatchState:
        """State with the structures of another behind; both are of one objective and optimizer."""
        return self.join(other, self.coordinates.start.sizes, other.coordinates.start.sizes)
