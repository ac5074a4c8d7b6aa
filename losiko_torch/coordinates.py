r"""What an optimizer moves: rows of three numbers, for atoms and, if it relaxes too, for the cell.

With a fixed cell the rows are the positions. With a moving one the atoms and the cell vectors of a
structure deform together, r = q F for row vectors, and the rows are the positions q seen from the
undeformed cell and three more for the deformation gradient F = 1 + E:

    X = (q, kappa E),    dL/dq = (dL/dr) F^T,    dL/dE = P sym(F^-T W) P

with W the virial (the loss's gradient by strain). E is kept symmetric: the rest of it would only
rotate the structure, which no loss notices. P projects onto the directions in which the structure
is periodic, so that a slab keeps its normal. kappa = 3 A sqrt(atoms) makes a row of E as stiff as a
row of q: it is about the distance that an atom's neighbours move per unit of strain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from losiko_torch.objective import Evaluation
from losiko_torch.structures import Batch

#: Distance (Angstrom) over which neighbours feel a strain, in kappa.
LEVER = 3.0
#: A cell has collapsed when it is smaller than this share of its start, or larger than its inverse.
SMALLEST_VOLUME = 0.3


@dataclass(frozen=True)
class Coordinates:
    """The rows of a batch: N of atoms, then, with a moving cell, three for each of B structures.

    Attributes:
        start: The structures as they were.
        movable: 1 where a number may change, 0 where it may not, shape (rows, 3).
        system: Structure of each row, (rows,).
        periodic: P of each structure, (B, 3, 3); None with fixed cells.
    """

    start: Batch
    movable: torch.Tensor
    system: torch.Tensor
    periodic: torch.Tensor | None

    @classmethod
    def fixed_cell(cls, batch: Batch, movable: torch.Tensor) -> Coordinates:
        """Rows of the atoms alone; ``movable`` is (N, 3)."""
        return cls(batch, movable, batch.system_idx, None)

    @classmethod
    def moving_cell(cls, batch: Batch, movable: torch.Tensor) -> Coordinates:
        """Rows of atoms and cells; a structure that is not periodic keeps what cell it has."""
        cells = torch.arange(batch.n_systems, device=batch.positions.device).repeat_interleave(3)
        moves = batch.pbc.any(1).to(movable.dtype)[cells, None].expand(-1, 3)
        return cls(
            batch,
            torch.cat([movable, moves]),
            torch.cat([batch.system_idx, cells]),
            _periodic_directions(batch),
        )

    def rows(self) -> torch.Tensor:
        """The rows of the start."""
        if self.periodic is None:
            return self.start.positions
        return torch.cat([self.start.positions, self.start.positions.new_zeros(self._n_cells, 3)])

    def place(self, rows: torch.Tensor) -> Batch:
        """The structures that rows describe."""
        if self.periodic is None:
            return self.start.with_positions(rows)
        deformation = self._deformation(rows)
        atoms = rows[: self.start.n_atoms, None, :] @ deformation[self.start.system_idx]
        return replace(self.start, positions=atoms.squeeze(1), cells=self.start.cells @ deformation)

    def gradient(self, rows: torch.Tensor, evaluation: Evaluation) -> torch.Tensor:
        """The loss's gradient by the rows, zero where nothing may move; 1/Angstrom."""
        if self.periodic is None:
            return evaluation.gradient * self.movable
        deformation = self._deformation(rows)
        back = deformation.transpose(1, 2)[self.start.system_idx]
        atoms = (evaluation.gradient[:, None, :] @ back).squeeze(1)
        strain = torch.linalg.solve(deformation.transpose(1, 2), evaluation.virial)
        strain = self.periodic @ ((strain + strain.transpose(1, 2)) / 2) @ self.periodic
        cells = (strain / self._kappa()).reshape(-1, 3)
        return torch.cat([atoms, cells]) * self.movable

    def collapsed(self, rows: torch.Tensor) -> torch.Tensor:
        """Structures (B,) whose cell has become absurdly small or large."""
        if self.periodic is None:
            return torch.zeros(self.start.n_systems, dtype=torch.bool, device=rows.device)
        ratio = torch.linalg.det(self._deformation(rows))
        return ~((ratio > SMALLEST_VOLUME) & (ratio < 1 / SMALLEST_VOLUME))

    def keep(self, systems: torch.Tensor) -> Coordinates:
        """Those of the structures where the mask (B,) is true."""
        rows = systems[self.system]
        renumbered = torch.cumsum(systems, 0) - 1
        return Coordinates(
            start=self.start.keep(systems),
            movable=self.movable[rows],
            system=renumbered[self.system[rows]],
            periodic=None if self.periodic is None else self.periodic[systems],
        )

    @property
    def _n_cells(self) -> int:
        return 3 * self.start.n_systems

    def _kappa(self) -> torch.Tensor:
        return LEVER * self.start.counts.to(self.movable.dtype).sqrt()[:, None, None]

    def _deformation(self, rows: torch.Tensor) -> torch.Tensor:
        strain = rows[self.start.n_atoms :].reshape(-1, 3, 3) / self._kappa()
        return torch.eye(3, dtype=rows.dtype, device=rows.device) + strain


def _periodic_directions(batch: Batch) -> torch.Tensor:
    """Projections (B, 3, 3) onto what the periodic cell vectors of each structure span."""
    vectors = batch.cells * batch.pbc[:, :, None]
    return torch.linalg.pinv(vectors) @ vectors
