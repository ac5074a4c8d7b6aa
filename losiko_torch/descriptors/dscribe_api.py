"""DScribe's interface of a descriptor, with numpy arrays: ``create`` and ``derivatives``.

Centers that are positions become points of atomic number 0, which have neighbours but count as no
atom's neighbour. Derivatives are exact, by forward-mode automatic differentiation: a batch of
copies of the structure, each with one coordinate of one atom as its tangent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch.autograd import forward_ad

from losiko_torch.descriptors.dscribe_arguments import (
    as_lists,
    centers_of,
    chosen_atoms,
    for_each,
    sparse_package,
    stack_if_alike,
)
from losiko_torch.descriptors.dscribe_names import DscribeNames
from losiko_torch.errors import InputError, StructureError
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.species import check_known
from losiko_torch.systems.validity import check_structure

#: Rows computed at once; bounds the memory that a long list of structures takes.
ROWS_AT_ONCE = 1024


class NumpyInterface(DscribeNames):
    """``create`` and ``derivatives`` of a module that maps a batch to one row a center."""

    periodic: bool
    average: str
    sparse: bool
    dtype: str
    get_number_of_features: Callable[[], int]
    _species: tuple[int, ...]
    __call__: Callable[..., Any]

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers, ascending, by which features are ordered. Unlike DScribe's, fixed."""
        return self._species

    def check_elements(self, numbers: np.ndarray) -> None:
        """Raise ``StructureError`` for atomic numbers (N,) not among ``species``; 0 is no atom."""
        check_known(numbers, self.species)

    def create(
        self,
        system: Atoms | Sequence[Atoms],
        centers: Sequence | None = None,
        n_jobs: int = 1,
        only_physical_cores: bool = False,
        verbose: bool = False,
    ) -> Any:
        """Features of one or many structures as numpy (or ``sparse.COO``).

        Args:
            system: Structure, or a list of structures.
            centers: Atom indices or Cartesian positions (Angstrom); for a list of structures, one
                such list for each. None means every atom.
            n_jobs: Number of threads of compiled kernels (SOAP on a processor); -1 means one for
                each core. Without kernels torch uses its own threads.
            only_physical_cores, verbose: Accepted for compatibility with DScribe.

        Returns:
            Features (n_centers, n_features), or (n_features,) with averaging. Several structures
            make one array (n_structures, ...) if they agree in shape, else a list; a list of one
            structure gives the result of that structure, as in DScribe.

        Raises:
            StructureError: For a structure that cannot be described, naming its place in the list.
        """
        structures, centers = as_lists(system, centers)
        if len(centers) != len(structures):
            raise InputError(f"{len(structures)} structures but {len(centers)} lists of centers")
        return self._created(structures, centers, n_jobs)

    def derivatives(
        self,
        system: Atoms | Sequence[Atoms],
        centers: Sequence | None = None,
        include: Sequence | None = None,
        exclude: Sequence | None = None,
        method: str = "auto",
        return_descriptor: bool = True,
        attach: bool = False,
        n_jobs: int = 1,
        only_physical_cores: bool = False,
        verbose: bool = False,
    ) -> Any:
        """Derivatives of the features with respect to atomic positions (1/Angstrom).

        For a loss and its gradient call the descriptor on a ``Batch`` and use autograd: it never
        forms this Jacobian and is many times faster.

        Args:
            system, centers: Arguments of ``create``.
            include, exclude: Indices of the atoms to differentiate by, or not; one of the two.
            method: "auto", "analytical" or "numerical": always analytical here.
            return_descriptor: Whether the features are returned too.
            attach: Whether a center that is an atom's index moves with that atom.

        Returns:
            Derivatives (n_centers, n_atoms, 3, n_features), or the pair of derivatives and
            features; several structures are stacked, or listed if their shapes differ.

        Raises:
            InputError: For unusable arguments.
            StructureError: For a structure that cannot be described, naming its place in the list.
        """
        self.validate_derivatives_method(method, attach)
        single = isinstance(system, Atoms)
        structures, centers = as_lists(system, centers)
        count = len(structures)
        include, exclude = for_each(include, count, single), for_each(exclude, count, single)
        if not len(centers) == len(include) == len(exclude) == count:
            raise InputError("centers, include and exclude must have one entry for each structure")
        jacobians, rows = [], []
        for number, atoms in enumerate(structures):
            moved = chosen_atoms(len(atoms), include[number], exclude[number])
            found = self._derived(number, atoms, centers[number], moved, attach, n_jobs)
            jacobians.append(found[0])
            rows.append(found[1])
        if single or count == 1:
            return (jacobians[0], rows[0]) if return_descriptor else jacobians[0]
        stack = stack_if_alike
        return (stack(jacobians), stack(rows)) if return_descriptor else stack(jacobians)

    def _created(self, structures: list[Atoms], centers: Sequence, n_jobs: int) -> Any:
        """Return what ``create`` does, by a call with batches."""
        points = [
            self._points(number, atoms, list_, attach=True)
            for number, (atoms, list_) in enumerate(zip(structures, centers, strict=True))
        ]
        rows: list[np.ndarray] = []
        for group in _groups(points):
            rows.extend(self._rows(group))
        if len(rows) == 1:
            return self._formatted(rows[0])
        same_shape = all(row.shape == rows[0].shape for row in rows)
        if same_shape and rows:
            return self._formatted(np.stack(rows))
        return [self._formatted(row) for row in rows]

    def _derived(
        self,
        number: int,
        atoms: Atoms,
        centers: Sequence | None,
        moved: np.ndarray,
        attach: bool,
        n_jobs: int,
    ) -> tuple[Any, Any]:
        """Return derivatives by the atoms ``moved`` and features (2-dimensional) of a structure."""
        points, chosen = self._points(number, atoms, centers, attach)
        row = self._rows([(points, chosen)])[0]
        jacobian = self._jacobian(points, chosen, moved)
        return self._formatted(jacobian), self._formatted(np.atleast_2d(row))

    def checked(self, number: int, atoms: Atoms) -> Atoms:
        """Return a structure as it is described; a reason why it cannot be names its place."""
        try:
            if not self.periodic and atoms.pbc.any():
                # The cell, possibly none, is not used.
                atoms = Atoms(atoms.numbers, atoms.positions)
            check_structure(atoms)
            self.check_elements(atoms.numbers)
        except StructureError as error:
            raise StructureError(f"structure {number}: {error}") from None
        return atoms

    def _points(
        self, number: int, atoms: Atoms, centers: Sequence | None, attach: bool
    ) -> tuple[Atoms, np.ndarray]:
        """The structure with its free centers as extra points, and the indices of all centers."""
        atoms = self.checked(number, atoms)
        own, places = centers_of(number, atoms, centers)
        free = np.ones(len(own), dtype=bool) if not attach else own < 0
        chosen = np.where(free, len(atoms) + np.cumsum(free) - 1, own)
        if free.any():
            atoms = atoms.copy()
            atoms.calc = None
            atoms.set_constraint()
            atoms.extend(Atoms(f"X{free.sum()}", positions=places[free]))
        return atoms, chosen

    @torch.no_grad()
    def _rows(self, group: list[tuple[Atoms, np.ndarray]]) -> list[np.ndarray]:
        """Features of the structures of a group, computed as one batch."""
        batch = Batch.from_atoms([atoms for atoms, _ in group], device=self._device())
        features = self(batch, _flat_centers(group).to(batch.positions.device)).cpu().numpy()
        if self.average != "off":
            return list(features)
        return np.split(features, np.cumsum([len(chosen) for _, chosen in group])[:-1])

    def _jacobian(self, atoms: Atoms, chosen: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """Derivatives (n_centers or 1, len(moved), 3, n_features) by forward differentiation."""
        directions = [(atom, axis) for atom in moved for axis in range(3)]
        at_once = max(1, ROWS_AT_ONCE // len(chosen))
        parts = []
        for start in range(0, len(directions), at_once):
            group = directions[start : start + at_once]
            batch = Batch.from_atoms([atoms] * len(group), device=self._device())
            tangent = torch.zeros_like(batch.positions).reshape(len(group), len(atoms), 3)
            for copy, (atom, axis) in enumerate(group):
                tangent[copy, atom, axis] = 1.0
            with torch.no_grad(), forward_ad.dual_level():
                dual = forward_ad.make_dual(batch.positions, tangent.reshape(-1, 3))
                centers = _flat_centers([(atoms, chosen)] * len(group)).to(dual.device)
                features = self(batch.with_positions(dual), centers)
                slope = forward_ad.unpack_dual(features).tangent
            if slope is None:
                slope = torch.zeros_like(features)
            parts.append(slope.reshape(len(group), -1, features.shape[1]).cpu().numpy())
        jacobian = np.concatenate(parts).reshape(len(moved), 3, -1, self.get_number_of_features())
        return np.ascontiguousarray(jacobian.transpose(2, 0, 1, 3))

    def _formatted(self, array: np.ndarray) -> Any:
        array = array.astype(self.dtype, copy=False)
        if not self.sparse:
            return array
        return sparse_package().COO.from_numpy(array)

    def _device(self) -> torch.device:
        return next(self.buffers()).device  # type: ignore[attr-defined]


def _flat_centers(group: list[tuple[Atoms, np.ndarray]]) -> torch.Tensor:
    starts = np.cumsum([0, *(len(atoms) for atoms, _ in group)])
    flat = [chosen + start for (_, chosen), start in zip(group, starts, strict=False)]
    return torch.as_tensor(np.concatenate(flat))


def _groups(points: list[tuple[Atoms, np.ndarray]]) -> Iterator[list[tuple[Atoms, np.ndarray]]]:
    """Consecutive structures, each group with up to ``ROWS_AT_ONCE`` centers or one structure."""
    group: list[tuple[Atoms, np.ndarray]] = []
    rows = 0
    for entry in points:
        if group and rows + len(entry[1]) > ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
        group.append(entry)
        rows += len(entry[1])
    if group:
        yield group
