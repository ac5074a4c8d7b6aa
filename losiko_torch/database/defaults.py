"""Default settings of relaxations, chosen by measurement for molecules and for crystals.

Molecules need many references, little ridge and an early stop: the loss is flat along torsions, so
the references hardly determine them. Crystals need fewer references and more ridge, and have to
come close to the minimum before their noise is gone (benchmarks/README.md).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Defaults:
    """Default settings of targets for a database of one kind.

    Attributes:
        n_neighbors: References that an atom's target combines.
        reg: Ridge on the weights with which a target combines them.
    """

    n_neighbors: int
    reg: float


MOLECULES = Defaults(n_neighbors=64, reg=1e-3)
CRYSTALS = Defaults(n_neighbors=32, reg=0.3)
#: Largest gradient on any atom at which a structure has converged, 1/Angstrom.
FMAX_OF_MOLECULES, FMAX_OF_CRYSTALS = 0.02, 0.003
#: Width of SOAP's Gaussians (Angstrom) with which the numbers for molecules were chosen.
SIGMA = 0.3


def fmax_for_molecules(sigma: float) -> float:
    """Return ``fmax`` for molecules described by SOAP with Gaussians of width ``sigma`` (Angstrom).

    It falls with the square of a width below ``SIGMA``. Sharper descriptors distinguish smaller
    displacements and are still right where the loss is flatter: 0.02, 0.01 and 0.005 1/Angstrom are
    best for 0.3, 0.2 and 0.15 Angstrom.
    """
    return FMAX_OF_MOLECULES * min(1.0, (sigma / SIGMA) ** 2)
