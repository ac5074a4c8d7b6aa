r"""Coordinates that an optimizer moves: rows of three numbers, for atoms and for relaxing cells.

With a fixed cell the rows are the positions. With a moving one the atoms and the cell vectors of a
structure deform together, r = q F for row vectors, and the rows are the positions q seen from the
undeformed cell and three more for the strain E, with F = exp(E) as in ASE's FrechetCellFilter:

    X = (q, kappa E),    dL/dq = (dL/dr) F^T,    dL/dE = P [dF/dE]^T (F^-T W)

with W the virial (the loss's gradient by strain). P projects onto the strains that are wanted (see
``relaxation.strain``). kappa = 3 A sqrt(atoms) makes a row of E as stiff as a row of q: it is about
the distance that an atom's neighbours move per unit of strain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from losiko_torch.loss.objective import Evaluation
from losiko_torch.relaxation.strain import ANY_STRAIN, StrainFilter
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.record import ROW, SYSTEM, Masks, Record, part, per

#: Distance (Angstrom) over which neighbours feel a strain, in kappa.
LEVER = 3.0
#: A cell has collapsed when it is smaller than this share of its start, or larger than its inverse.
SMALLEST_VOLUME = 0.3


@dataclass(frozen=True)
class Coordinates(Record):
    """Rows of a batch: N of atoms, then, with a moving cell, three for each of B structures.

    Attributes:
        start: Structures as they were.
        movable: 1 where a number may change, 0 where it may not, shape (rows, 3).
        system: Structure of each row, shape (rows,).
        strains: Projections P onto the strains of each structure, shape (B, 9, 9); None with fixed
            cells.
    """

    start: Batch = part()
    movable: torch.Tensor = per(ROW)
    system: torch.Tensor = per(ROW, numbers=SYSTEM)
    strains: torch.Tensor | None = per(SYSTEM)

    @classmethod
    def fixed_cell(cls, batch: Batch, movable: torch.Tensor) -> Coordinates:
        """Return the rows of the atoms alone; ``movable`` is (N, 3)."""
        return cls(batch, movable, batch.system_idx, None)

    @classmethod
    def moving_cell(
        cls, batch: Batch, movable: torch.Tensor, strain: StrainFilter = ANY_STRAIN
    ) -> Coordinates:
        """Return the rows of atoms and cells; a structure that is not periodic keeps its cell."""
        cells = torch.arange(batch.n_systems, device=batch.positions.device).repeat_interleave(3)
        projections = strain.projections(batch).to(movable)
        moves = (projections.abs().amax((1, 2)) > 0).to(movable)[cells, None].expand(-1, 3)
        return cls(
            batch, torch.cat([movable, moves]), torch.cat([batch.system_idx, cells]), projections
        )

    def from_here(self, batch: Batch) -> Coordinates:
        """Return the coordinates of the same structures with other places as the start."""
        return replace(self, start=batch)

    def rows(self) -> torch.Tensor:
        """Return the rows of the start, shape (rows, 3)."""
        if self.strains is None:
            return self.start.positions
        return torch.cat([self.start.positions, self.start.positions.new_zeros(self._n_cells, 3)])

    def place(self, rows: torch.Tensor) -> Batch:
        """Return the structures that rows describe."""
        if self.strains is None:
            return self.start.with_positions(rows)
        deformation = torch.linalg.matrix_exp(self._strain(rows))
        atoms = rows[: self.start.n_atoms, None, :] @ deformation[self.start.system_idx]
        return replace(self.start, positions=atoms.squeeze(1), cells=self.start.cells @ deformation)

    def gradient(self, rows: torch.Tensor, evaluation: Evaluation) -> torch.Tensor:
        """Return the gradient of the loss by the rows, zero where nothing may move; 1/Angstrom.

        It is NaN at rows that are not finite: atoms there have no neighbours, and would have no
        gradient.
        """
        # Zero times what is not finite is NaN.
        return torch.addcmul(0 * rows, self._gradient(rows, evaluation), self.movable)

    def _gradient(self, rows: torch.Tensor, evaluation: Evaluation) -> torch.Tensor:
        if self.strains is None:
            return evaluation.gradient
        with torch.enable_grad():
            strain = self._strain(rows).requires_grad_()
            deformation = torch.linalg.matrix_exp(strain)
        back = deformation.detach().transpose(1, 2)
        atoms = (evaluation.gradient[:, None, :] @ back[self.start.system_idx]).squeeze(1)
        by_deformation = torch.linalg.solve(back, evaluation.virial)
        (by_strain,) = torch.autograd.grad(deformation, strain, by_deformation)
        allowed = self.strains @ by_strain.reshape(-1, 9, 1)
        cells = (allowed.reshape(-1, 3, 3) / self._kappa()).reshape(-1, 3)
        return torch.cat([atoms, cells])

    def collapsed(self, rows: torch.Tensor) -> torch.Tensor | None:
        """Return the mask (B,) of structures whose cell has become absurdly small or large.

        None where cells are fixed.
        """
        if self.strains is None:
            return None
        # The trace of the strain is the logarithm of the ratio of volumes.
        change = self._strain(rows).diagonal(dim1=1, dim2=2).sum(1).exp()
        return ~((change > SMALLEST_VOLUME) & (change < 1 / SMALLEST_VOLUME))

    def masks(self, systems: torch.Tensor) -> Masks:
        """Masks of the structures of the mask (B,), of their atoms and of their rows."""
        return {**self.start.masks(systems), ROW: systems[self.system]}

    def keep(self, systems: torch.Tensor) -> Coordinates:
        """Coordinates of the structures where the mask (B,) is true."""
        return self.select(self.masks(systems))

    def joined(self, other: Coordinates) -> Coordinates:
        """Coordinates of both; either both move cells or none does."""
        return self.join(other, self.start.sizes, other.start.sizes)

    def moving_atoms(self) -> torch.Tensor:
        """Return the mask (N,) of atoms that may move, by themselves or with their cell."""
        moving = (self.movable[: self.start.n_atoms] > 0).any(1)
        if self.strains is None:
            return moving
        cells = self.movable[self.start.n_atoms :].reshape(-1, 9).any(1)
        return moving | cells[self.start.system_idx]

    def directions(self) -> torch.Tensor:
        """Return an orthonormal basis of all changes that are allowed, shape (d, rows, 3).

        For optimizers of few variables: its size is quadratic in the atoms.
        """
        atoms = self.movable[: self.start.n_atoms].flatten() > 0
        width = 3 * len(self.movable)
        basis = [torch.eye(width).to(self.movable)[: len(atoms)][atoms]]
        if self.strains is not None:
            for system, projection in enumerate(self.strains):
                values, vectors = torch.linalg.eigh(projection)
                strains = projection.new_zeros((int((values > 0.5).sum()), width))
                first = len(atoms) + 9 * system
                strains[:, first : first + 9] = vectors[:, values > 0.5].T
                basis.append(strains)
        return torch.cat(basis).reshape(-1, len(self.movable), 3)

    @property
    def _n_cells(self) -> int:
        return 3 * self.start.n_systems

    def _kappa(self) -> torch.Tensor:
        return LEVER * self.start.counts.to(self.movable.dtype).sqrt()[:, None, None]

    def _strain(self, rows: torch.Tensor) -> torch.Tensor:
        assert self.strains is not None
        # Optimizers that treat each number by itself leave the allowed strains.
        allowed = self.strains @ rows[self.start.n_atoms :].reshape(-1, 9, 1)
        return allowed.reshape(-1, 3, 3) / self._kappa()
