"""Many structures as one flat set of tensors.

A ``Batch`` holds the atoms of all its structures behind each other, with ``system_idx`` telling
which structure each atom belongs to. There is no padding, so structures of any size mix freely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from ase import Atoms
from ase.geometry import complete_cell

from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.kept import counts_of, kept
from losiko_torch.systems.record import ATOM, SYSTEM, Masks, Record, Sizes, per
from losiko_torch.systems.sums import largest, summed


@dataclass(frozen=True)
class Batch(Record):
    """``N`` atoms of ``B`` structures.

    Attributes:
        positions: Cartesian positions in Angstrom, shape (N, 3).
        numbers: Atomic numbers, shape (N,); 0 stands for a point that is no atom.
        cells: Cell vectors as rows, as in ASE, shape (B, 3, 3).
        pbc: Periodic directions, shape (B, 3), bool.
        system_idx: Structure of each atom, ascending, shape (N,).
        weights: Factor of each atom's distance in the loss, shape (N,). None means 1.
        arrays: Further numbers of each atom that terms of the loss work with, by name, shape
            (N, ...).
    """

    positions: torch.Tensor = per(ATOM)
    numbers: torch.Tensor = per(ATOM)
    cells: torch.Tensor = per(SYSTEM)
    pbc: torch.Tensor = per(SYSTEM)
    system_idx: torch.Tensor = per(ATOM, numbers=SYSTEM)
    weights: torch.Tensor | None = per(ATOM, default=None)
    arrays: Mapping[str, torch.Tensor] = per(ATOM, default_factory=dict)

    @classmethod
    def from_atoms(
        cls,
        structures: Atoms | Sequence[Atoms],
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> Batch:
        """Put one or many ``ase.Atoms`` into a batch; missing cell vectors are completed."""
        if isinstance(structures, Atoms):
            structures = [structures]
        counts = [len(atoms) for atoms in structures]
        positions = [atoms.arrays["positions"] for atoms in structures]
        numbers = [atoms.arrays["numbers"] for atoms in structures]
        cells = regular_cells(structures)
        pbc = [atoms.pbc for atoms in structures]
        return cls(
            positions=torch.as_tensor(
                np.concatenate([np.empty((0, 3)), *positions]), dtype=dtype, device=device
            ),
            numbers=torch.as_tensor(
                np.concatenate([np.empty(0, int), *numbers]), dtype=torch.long, device=device
            ),
            cells=torch.as_tensor(cells, dtype=dtype, device=device),
            pbc=torch.as_tensor(
                np.concatenate([np.empty(0, bool), *pbc]).reshape(-1, 3),
                dtype=torch.bool,
                device=device,
            ),
            system_idx=torch.repeat_interleave(
                torch.arange(len(counts), device=device), torch.tensor(counts, device=device).long()
            ),
        )

    @classmethod
    def of_molecules(
        cls,
        molecules: Molecules,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> Batch:
        """Put molecules that are in arrays into a batch, the same that ``from_atoms`` makes."""
        cell, count = complete_cell(np.zeros((3, 3))), len(molecules)
        return cls(
            positions=torch.tensor(molecules.positions, dtype=dtype, device=device),
            numbers=torch.tensor(molecules.numbers, dtype=torch.long, device=device),
            cells=torch.tensor(cell, dtype=dtype, device=device).repeat(count, 1, 1),
            pbc=torch.zeros((count, 3), dtype=torch.bool, device=device),
            system_idx=torch.as_tensor(molecules.system, device=device),
        )

    @property
    def n_systems(self) -> int:
        return self.cells.shape[0]

    @property
    def n_atoms(self) -> int:
        return self.positions.shape[0]

    @property
    def counts(self) -> torch.Tensor:
        """Number of atoms of each structure, shape (B,)."""
        return counts_of(self.system_idx, self.n_systems)

    @property
    def no_virial(self) -> torch.Tensor:
        """Virials where nothing is periodic: zero, shape (B, 3, 3), kept; not to be written to."""
        none = self.cells.new_zeros
        return kept(self.pbc, ("no virial", self.cells.dtype), lambda: none(self.cells.shape))

    def with_positions(self, positions: torch.Tensor) -> Batch:
        """Batch with its atoms at other positions (N, 3)."""
        return replace(self, positions=positions)

    def copy(self) -> Batch:
        """Copy whose positions and cells can be written to."""
        return replace(self, positions=self.positions.clone(), cells=self.cells.clone())

    def masks(self, systems: torch.Tensor) -> Masks:
        """Masks of the structures of the mask (B,) and of their atoms."""
        return {SYSTEM: systems, ATOM: systems[self.system_idx]}

    @property
    def sizes(self) -> Sizes:
        """Numbers of structures and atoms."""
        return {SYSTEM: self.n_systems, ATOM: self.n_atoms}

    def keep(self, systems: torch.Tensor) -> Batch:
        """Batch of the structures where the bool mask ``systems``, shape (B,), is true."""
        return self.select(self.masks(systems))

    def joined(self, other: Batch) -> Batch:
        """Batch with the structures of another behind; either both have weights or none has."""
        return self.join(other, self.sizes, other.sizes)

    def swapped(self, other: Batch, systems: torch.Tensor) -> Batch:
        """Batch with the structures of the mask (B,) as another batch of the same ones has them."""
        return self.where(self.masks(systems), other)

    def mask(self, systems: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Mask (B,) of the structures with these numbers."""
        mask = np.zeros(self.n_systems, dtype=bool)
        mask[np.asarray(systems, dtype=int)] = True
        return torch.as_tensor(mask, device=self.positions.device)


def regular_cells(structures: Sequence[Atoms]) -> np.ndarray:
    """Return the ``regular_cell`` of each structure, shape (B, 3, 3)."""
    cells = np.concatenate([np.empty((0, 3)), *(atoms.cell.array for atoms in structures)])
    cells = cells.reshape(-1, 3, 3)
    given = cells.any((1, 2))
    cells[~given] = complete_cell(np.zeros((3, 3)))
    for k in np.flatnonzero(given).tolist():
        cells[k] = regular_cell(structures[k])
    return cells


def regular_cell(atoms: Atoms) -> np.ndarray:
    """Return the cell vectors (3, 3), missing or useless ones in open directions replaced."""
    cell = complete_cell(atoms.cell)
    lengths = np.linalg.norm(cell, axis=1)
    if abs(np.linalg.det(cell)) < 1e-6 * lengths.prod():
        cell = complete_cell(np.where(atoms.pbc[:, None], atoms.cell.array, 0.0))
    return cell


def sum_by_system(values: torch.Tensor, system_idx: torch.Tensor, n_systems: int) -> torch.Tensor:
    """Sum per-atom ``values`` (N, ...) into one entry a structure (B, ...)."""
    return summed(values, system_idx, n_systems)


def mean_by_system(values: torch.Tensor, system_idx: torch.Tensor, n_systems: int) -> torch.Tensor:
    """Average ``values`` (n, ...) into one entry a structure (B, ...), zero if there are none."""
    counts = torch.bincount(system_idx, minlength=n_systems).clamp(min=1)
    return summed(values, system_idx, n_systems) / counts.reshape(-1, *[1] * (values.ndim - 1))


def max_by_system(values: torch.Tensor, system_idx: torch.Tensor, n_systems: int) -> torch.Tensor:
    """Largest per-atom value (N,) of each structure, zero where it has no atoms; (B,)."""
    return largest(values, system_idx, n_systems)
