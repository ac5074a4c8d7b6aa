"""Default settings of relaxations, chosen by measurement for molecules and for crystals.

Molecules need many references, little ridge and an early stop: the loss is flat along torsions, so
the references hardly determine them. Crystals need fewer references and more ridge, and have to
come close to the minimum before their noise is gone (benchmarks/README.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class TargetDefaults:
    """Default settings of targets for a database of one kind.

    Attributes:
        n_neighbors: References that an atom's target combines.
        reg: Ridge on the weights with which a target combines them.
        usual: Name of the target.
    """

    n_neighbors: int
    reg: float
    usual: str = field(default="locally-linear", kw_only=True)


@dataclass(frozen=True)
class Defaults(TargetDefaults):
    """Default settings of relaxations for a database of one kind.

    Attributes:
        fmax: Largest gradient on any atom at which a structure has converged, 1/Angstrom.
    """

    fmax: float


MOLECULES = Defaults(64, 1e-3, fmax=0.02)
CRYSTALS = Defaults(32, 0.3, fmax=0.003)
#: Largest gradient on any atom (Angstrom) at which a structure has converged on learned targets.
LEARNED_FMAX = 0.005
#: Width of SOAP's Gaussians (Angstrom) with which the numbers for molecules were chosen.
SIGMA = 0.3


def for_molecules(sigma: float) -> Defaults:
    """Defaults for molecules described by SOAP with Gaussians of width ``sigma`` (Angstrom).

    ``fmax`` falls with the square of a width below ``SIGMA``. Sharper descriptors distinguish
    smaller displacements and are still right where the loss is flatter: 0.02, 0.01 and 0.005
    1/Angstrom are best for 0.3, 0.2 and 0.15 Angstrom.
    """
    return replace(MOLECULES, fmax=MOLECULES.fmax * min(1.0, (sigma / SIGMA) ** 2))
