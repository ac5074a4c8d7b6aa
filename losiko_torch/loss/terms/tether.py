r"""A tether of the atoms to where they started, or to given positions.

    k/2 sum_i |r_i - a_i|^2

The anchors a_i keep their place within the cell: a strain of the cell moves them along. In a
calculator, which knows no cell from which they could have moved, they keep their place in space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from ase import Atoms

from losiko_torch.checks import positive
from losiko_torch.errors import InputError, StructureError
from losiko_torch.keywords import names_unknown
from losiko_torch.options import Option
from losiko_torch.systems.batch import Batch, regular_cell, sum_by_system
from losiko_torch.systems.sums import gathered


@names_unknown
@dataclass(frozen=True, eq=False)
class Tether:
    """Penalty on the atoms' displacements from their anchors.

    Attributes:
        stiffness: Factor k of the penalty, 1/Angstrom^2.
        to: Anchors, Angstrom. None means the positions of the structure as it was given, also for
            noisy copies of it. Else an array (n, 3) for every structure, a list of such arrays,
            one for each structure, or the name of a per-atom array of the structures. Atoms whose
            anchor is NaN are free. A TorchSim model numbers the systems of each state from 0: with
            a list of anchors, use no autobatching, which reorders them.
        name: Name under which results tell the term's value.

    Raises:
        InputError: For a stiffness that is not positive, or anchors of another kind.
    """

    option: ClassVar[Option] = Option(
        "Tether atoms to where they start with this stiffness, 1/A2.", metavar="K", text=float
    )

    stiffness: float
    to: str | np.ndarray | Sequence[np.ndarray] | None = None
    name: str = "tether"

    def __post_init__(self) -> None:
        stiffness = positive("the stiffness of the tether", self.stiffness)
        object.__setattr__(self, "stiffness", stiffness)
        if self.to is None or isinstance(self.to, str):
            return
        if isinstance(self.to, (list, tuple)) and all(np.ndim(each) == 2 for each in self.to):
            anchors: Any = [_positions(each) for each in self.to]
        else:
            anchors = _positions(self.to)
        object.__setattr__(self, "to", anchors)

    @property
    def needs_number(self) -> bool:
        """Return whether the anchors go by the number of a structure."""
        return isinstance(self.to, list)

    @property
    def needs_start(self) -> bool:
        """Return whether the anchors are the start of a relaxation."""
        return self.to is None

    @classmethod
    def parse(cls, value: float) -> Self:
        """Return the term for the command line's value."""
        return cls(value)

    def prepare(self, atoms: Atoms, number: int) -> Mapping[str, np.ndarray]:
        """Return the anchors of a structure as ``_placed`` takes them, shape (n, 3)."""
        anchors = self._anchors(atoms, number)
        if anchors.shape != (len(atoms), 3):
            raise StructureError(
                f"the tether has {len(anchors)} anchors for its {len(atoms)} atoms"
            )
        return {self.name: self._kept(anchors, atoms)}

    def for_calculator(self) -> Self:
        """Return the tether to anchors that keep their place in space."""
        return _TetherInSpace(self.stiffness, self.to, self.name)  # type: ignore[return-value]

    def _kept(self, anchors: np.ndarray, atoms: Atoms) -> np.ndarray:
        """Return anchors as fractions of the cell vectors, shape (n, 3)."""
        return np.linalg.solve(regular_cell(atoms).T, anchors.T).T

    def _placed(self, kept: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return where the anchors are now, Angstrom, shape (N, 3)."""
        return (kept[:, None, :] @ gathered(batch.cells, batch.system_idx)).squeeze(1)

    def _anchors(self, atoms: Atoms, number: int) -> np.ndarray:
        if self.to is None:
            return atoms.positions
        if isinstance(self.to, str):
            if self.to not in atoms.arrays:
                raise StructureError(f"it has no array '{self.to}' to be tethered to")
            try:
                return _positions(atoms.arrays[self.to])
            except InputError as error:
                raise StructureError(f"its array '{self.to}' is no anchors: {error}") from None
        if isinstance(self.to, list):
            if number >= len(self.to):
                raise StructureError(f"the tether has anchors for {len(self.to)} structures only")
            return self.to[number]
        return np.asarray(self.to)

    def __call__(self, batch: Batch) -> torch.Tensor:
        kept = batch.arrays[self.name].to(batch.positions.dtype)
        tethered = ~kept.isnan().any(1, keepdim=True)
        # Zeros from the first: a NaN would turn gradients into NaN too.
        anchors = self._placed(torch.where(tethered, kept, 0), batch)
        away = torch.where(tethered, batch.positions - anchors, 0)
        values = self.stiffness / 2 * away.square().sum(1)
        return sum_by_system(values, batch.system_idx, batch.n_systems)

    def identity(self) -> dict[str, Any]:
        to: Any = self.to
        if isinstance(self.to, list):
            to = [_listed(each) for each in self.to]
        elif isinstance(self.to, np.ndarray):
            to = _listed(self.to)
        return {"name": self.name, "stiffness": self.stiffness, "to": to}


class _TetherInSpace(Tether):
    """Tether to anchors that no strain moves."""

    def _kept(self, anchors: np.ndarray, atoms: Atoms) -> np.ndarray:
        return anchors

    def _placed(self, kept: torch.Tensor, batch: Batch) -> torch.Tensor:
        return kept


def _listed(positions: np.ndarray) -> list[list[float | None]]:
    """Return positions (n, 3) as lists, None where there is no anchor: JSON has no NaN."""
    rows = positions.tolist()
    return [[None if math.isnan(number) else number for number in row] for row in rows]


def _positions(given: Any) -> np.ndarray:
    """Return positions (n, 3), Angstrom, as float64; ``InputError`` for anything else."""
    try:
        # A copy: ASE writes into positions that a caller may have handed over.
        positions = np.array(given, dtype=float)
    except (TypeError, ValueError, RuntimeError):
        positions = np.empty(0)
    if positions.ndim != 2 or positions.shape[1] != 3 or np.isinf(positions).any():
        raise InputError(
            "a tether's anchors are an array (n, 3) in Angstrom, a list of such arrays, one for "
            "each structure, or the name of a per-atom array"
        )
    return positions


TERM = Tether
