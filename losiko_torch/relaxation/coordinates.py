r"""What an optimizer moves: rows of three numbers, for atoms and, if it relaxes too, for the cell.

With a fixed cell the rows are the positions. With a moving one the atoms and the cell vectors of a
structure deform together, r = q F for row vectors, and the rows are the positions q seen from the
undeformed cell and three more for the strain E, with F = exp(E) as in ASE's FrechetCellFilter:

    X = (q, kappa E),    dL/dq = (dL/dr) F^T,    dL/dE = P [dF/dE]^T (F^-T W)

with W the virial (the loss's gradient by strain). P projects onto the strains that are wanted (see
``StrainFilter``). kappa = 3 A sqrt(atoms) makes a row of E as stiff as a row of q: it is about the
distance that an atom's neighbours move per unit of strain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from ase.stress import voigt_6_to_full_3x3_stress

from losiko_torch.errors import InputError
from losiko_torch.loss.objective import Evaluation
from losiko_torch.systems.batch import Batch

#: Distance (Angstrom) over which neighbours feel a strain, in kappa.
LEVER = 3.0
#: A cell has collapsed when it is smaller than this share of its start, or larger than its inverse.
SMALLEST_VOLUME = 0.3


@dataclass(frozen=True)
class StrainFilter:
    """Which strains a cell may take, with the names and meanings of ASE's cell filters.

    Attributes:
        mask: The components that may change, 1 or 0, in Voigt order (xx, yy, zz, yz, xz, xy);
            (1, 1, 0, 0, 0, 1) relaxes the xy plane only.
        hydrostatic_strain: Only a uniform scaling of the periodic directions.
        constant_volume: No change of volume (area, length, where fewer directions are periodic).

    Raises:
        InputError: For a mask that is not six numbers 0 or 1, and for conditions that together
            allow no strain.
    """

    mask: tuple[float, ...] = (1, 1, 1, 1, 1, 1)
    hydrostatic_strain: bool = False
    constant_volume: bool = False

    def __post_init__(self) -> None:
        if self.hydrostatic_strain and self.constant_volume:
            raise InputError("hydrostatic_strain and constant_volume together allow no strain")
        if self.hydrostatic_strain and not all(self.mask):
            raise InputError("hydrostatic_strain takes no strain_mask: every strain is the same")
        if self.constant_volume and sum(self.mask) == sum(self.mask[:3]) == 1:
            raise InputError("constant_volume and a strain_mask of one length allow no strain")

    @classmethod
    def make(
        cls, mask: Sequence | None, hydrostatic_strain: bool, constant_volume: bool
    ) -> StrainFilter:
        """With a mask of six or, symmetric, of 3 x 3 entries; None allows all."""
        if mask is None:
            return cls(cls.mask, hydrostatic_strain, constant_volume)
        try:
            entries = np.asarray(mask, dtype=float)
        except (TypeError, ValueError):
            entries = np.empty(0)
        if entries.shape == (3, 3) and (entries == entries.T).all():
            entries = entries[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        if entries.shape != (6,) or not np.isin(entries, (0, 1)).all() or not entries.any():
            raise InputError(
                "strain_mask must be six numbers 0 or 1, not all 0, for xx, yy, zz, yz, xz, xy "
                f"(or a symmetric 3 x 3 matrix of them), not {mask!r}"
            )
        return cls(tuple(entries.tolist()), hydrostatic_strain, constant_volume)

    def projections(self, batch: Batch) -> torch.Tensor:
        """Projection (B, 9, 9) of each structure onto its allowed strains, 3 x 3 written flat.

        Allowed are symmetric strains (the rest would only rotate the structure, which no loss
        notices) along the directions in which the structure is periodic, so that a slab keeps its
        normal, and of these what the filter leaves.
        """
        periodic = _periodic_directions(batch)
        identity = torch.eye(9).to(periodic)
        transposed = identity.reshape(3, 3, 9).transpose(0, 1).reshape(9, 9)
        along = torch.einsum("bij,bkl->bikjl", periodic, periodic).reshape(-1, 9, 9)
        allowed = voigt_6_to_full_3x3_stress(np.array(self.mask)) != 0
        masked = torch.diag(torch.as_tensor(allowed).reshape(9).to(periodic))
        symmetric = (identity + transposed) / 2
        conditions = [along, symmetric.expand_as(along), masked.expand_as(along)]
        if self.hydrostatic_strain or self.constant_volume:
            scaling = periodic.reshape(-1, 9, 1)
            size = scaling.square().sum(1, keepdim=True).clamp(min=1)
            uniform = scaling @ scaling.transpose(1, 2) / size
            conditions.append(uniform if self.hydrostatic_strain else identity - uniform)
        return _intersection(conditions)


ANY_STRAIN = StrainFilter()


@dataclass(frozen=True)
class Coordinates:
    """The rows of a batch: N of atoms, then, with a moving cell, three for each of B structures.

    Attributes:
        start: The structures as they were.
        movable: 1 where a number may change, 0 where it may not, shape (rows, 3).
        system: Structure of each row, (rows,).
        strains: P of each structure, (B, 9, 9); None with fixed cells.
    """

    start: Batch
    movable: torch.Tensor
    system: torch.Tensor
    strains: torch.Tensor | None

    @classmethod
    def fixed_cell(cls, batch: Batch, movable: torch.Tensor) -> Coordinates:
        """Rows of the atoms alone; ``movable`` is (N, 3)."""
        return cls(batch, movable, batch.system_idx, None)

    @classmethod
    def moving_cell(
        cls, batch: Batch, movable: torch.Tensor, strain: StrainFilter = ANY_STRAIN
    ) -> Coordinates:
        """Rows of atoms and cells; a structure that is not periodic keeps what cell it has."""
        cells = torch.arange(batch.n_systems, device=batch.positions.device).repeat_interleave(3)
        projections = strain.projections(batch).to(movable)
        moves = (projections.abs().amax((1, 2)) > 0).to(movable)[cells, None].expand(-1, 3)
        return cls(
            batch, torch.cat([movable, moves]), torch.cat([batch.system_idx, cells]), projections
        )

    def from_here(self, batch: Batch) -> Coordinates:
        """The same of these structures, in other places, as the start."""
        return replace(self, start=batch)

    def rows(self) -> torch.Tensor:
        """The rows of the start."""
        if self.strains is None:
            return self.start.positions
        return torch.cat([self.start.positions, self.start.positions.new_zeros(self._n_cells, 3)])

    def place(self, rows: torch.Tensor) -> Batch:
        """The structures that rows describe."""
        if self.strains is None:
            return self.start.with_positions(rows)
        deformation = torch.linalg.matrix_exp(self._strain(rows))
        atoms = rows[: self.start.n_atoms, None, :] @ deformation[self.start.system_idx]
        return replace(self.start, positions=atoms.squeeze(1), cells=self.start.cells @ deformation)

    def gradient(self, rows: torch.Tensor, evaluation: Evaluation) -> torch.Tensor:
        """The loss's gradient by the rows, zero where nothing may move; 1/Angstrom."""
        if self.strains is None:
            return evaluation.gradient * self.movable
        with torch.enable_grad():
            strain = self._strain(rows).requires_grad_()
            deformation = torch.linalg.matrix_exp(strain)
        back = deformation.detach().transpose(1, 2)
        atoms = (evaluation.gradient[:, None, :] @ back[self.start.system_idx]).squeeze(1)
        by_deformation = torch.linalg.solve(back, evaluation.virial)
        (by_strain,) = torch.autograd.grad(deformation, strain, by_deformation)
        allowed = self.strains @ by_strain.reshape(-1, 9, 1)
        cells = (allowed.reshape(-1, 3, 3) / self._kappa()).reshape(-1, 3)
        return torch.cat([atoms, cells]) * self.movable

    def collapsed(self, rows: torch.Tensor) -> torch.Tensor:
        """Structures (B,) whose cell has become absurdly small or large."""
        if self.strains is None:
            return torch.zeros(self.start.n_systems, dtype=torch.bool, device=rows.device)
        # The trace of the strain is the logarithm of the ratio of volumes.
        change = self._strain(rows).diagonal(dim1=1, dim2=2).sum(1).exp()
        return ~((change > SMALLEST_VOLUME) & (change < 1 / SMALLEST_VOLUME))

    def keep(self, systems: torch.Tensor) -> Coordinates:
        """Those of the structures where the mask (B,) is true."""
        rows = systems[self.system]
        renumbered = torch.cumsum(systems, 0) - 1
        return Coordinates(
            start=self.start.keep(systems),
            movable=self.movable[rows],
            system=renumbered[self.system[rows]],
            strains=None if self.strains is None else self.strains[systems],
        )

    def stacked(self, other: Coordinates, mine: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """What both have of each row (..., rows, d), in the order of the rows of both together."""
        n, m = self.start.n_atoms, other.start.n_atoms
        (atoms, cells), (new_atoms, new_cells) = (
            (values[..., :count, :], values[..., count:, :])
            for values, count in ((mine, n), (others, m))
        )
        return torch.cat([atoms, new_atoms, cells, new_cells], -2)

    def joined(self, other: Coordinates) -> Coordinates:
        """With the structures of another behind; either both move cells or none does."""
        behind = other.system + self.start.n_systems
        return Coordinates(
            start=self.start.joined(other.start),
            movable=self.stacked(other, self.movable, other.movable),
            system=self.stacked(other, self.system[:, None], behind[:, None]).squeeze(1),
            strains=None
            if self.strains is None or other.strains is None
            else torch.cat([self.strains, other.strains]),
        )

    def moving_atoms(self) -> torch.Tensor:
        """Atoms that may move among others or with their cell, (N,), bool."""
        moving = (self.movable[: self.start.n_atoms] > 0).any(1)
        if self.strains is None:
            return moving
        cells = self.movable[self.start.n_atoms :].reshape(-1, 9).any(1)
        return moving | cells[self.start.system_idx]

    def directions(self) -> torch.Tensor:
        """All that may change, as an orthonormal basis of the rows: (d, rows, 3).

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


def _periodic_directions(batch: Batch) -> torch.Tensor:
    """Projections (B, 3, 3) onto what the periodic cell vectors of each structure span."""
    vectors = (batch.cells * batch.pbc[:, :, None]).double()
    return torch.linalg.pinv(vectors) @ vectors


def _intersection(projections: list[torch.Tensor]) -> torch.Tensor:
    """The projection (B, n, n) onto what all of these orthogonal projections leave as it is."""
    # Each adds the squared share of a vector that it takes away: the common vectors lose nothing.
    identity = torch.eye(projections[0].shape[1]).to(projections[0])
    lost, vectors = torch.linalg.eigh(sum(identity - projection for projection in projections))
    kept = vectors * (lost < 1e-9)[:, None, :]
    return kept @ kept.transpose(1, 2)
