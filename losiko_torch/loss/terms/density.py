r"""A target of mass density for crystals whose cells relax.

k (rho - rho_0)^2,    rho = sum_i m_i / V
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_masses
from ase.units import _amu

from losiko_torch.checks import positive
from losiko_torch.errors import StructureError
from losiko_torch.keywords import names_unknown
from losiko_torch.options import Option
from losiko_torch.systems.batch import Batch, sum_by_system

#: Factor from atomic mass units per cubic Angstrom to g/cm^3.
GRAMS = _amu * 1e27


def densities(batch: Batch) -> torch.Tensor:
    """Return the mass density of each structure, g/cm^3, shape (B,)."""
    masses = torch.as_tensor(atomic_masses).to(batch.cells)[batch.numbers]
    total = sum_by_system(masses, batch.system_idx, batch.n_systems)
    return GRAMS * total / torch.linalg.det(batch.cells).abs()


@names_unknown
@dataclass(frozen=True)
class Density:
    """Penalty on the distance of a crystal's mass density from a target.

    The cell alone changes a density, so that ``relax`` wants ``cell=True`` with it.

    Masses are the standard ones of the elements, whatever ``atoms.set_masses`` says.

    Attributes:
        target: Density aimed at, g/cm^3.
        stiffness: Factor k of the penalty, (g/cm^3)^-2.

    Raises:
        InputError: For numbers that are not positive.
    """

    name: ClassVar[str] = "density"
    needs_cell: ClassVar[bool] = True
    needs_volume: ClassVar[bool] = True
    option: ClassVar[Option] = Option(
        "Target of mass density for crystals, g/cm3 (needs --cell).", metavar="RHO", text=float
    )

    target: float
    stiffness: float = 10.0

    def __post_init__(self) -> None:
        target = positive("the target of the density", self.target)
        object.__setattr__(self, "target", target)
        stiffness = positive("the stiffness of the density", self.stiffness)
        object.__setattr__(self, "stiffness", stiffness)

    @classmethod
    def parse(cls, value: float) -> Self:
        """Return the term for the command line's value."""
        return cls(value)

    def prepare(self, atoms: Atoms, number: int) -> Mapping[str, np.ndarray]:
        """Refuse a structure that has no density."""
        if not atoms.pbc.all():
            raise StructureError(
                "it has no density, as it is not periodic in three directions: relax it without "
                "the term 'density'"
            )
        return {}

    def __call__(self, batch: Batch) -> torch.Tensor:
        return self.stiffness * (densities(batch) - self.target) ** 2

    def identity(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}


TERM = Density
