"""What is taken where a caller names nothing: numbers chosen by measurement, molecules and crystals
apart (benchmarks/README.md).

Molecules want many references and little ridge, and to stop early: torsions are directions on which
the references have little to say. Crystals are described by fewer, stiffer references, and have to
come close to their minimum for the noise to go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Defaults:
    """For a database of one kind.

    Attributes:
        n_neighbors: References that an atom's target combines.
        reg: Ridge on their weights.
        fmax: Largest gradient on any atom at which a structure has converged, 1/Angstrom.
    """

    n_neighbors: int
    reg: float
    fmax: float


MOLECULES = Defaults(n_neighbors=64, reg=1e-3, fmax=0.02)
CRYSTALS = Defaults(n_neighbors=32, reg=0.3, fmax=0.003)
#: Width of SOAP's Gaussians (Angstrom) with which the numbers for molecules were chosen.
SIGMA = 0.3


def for_molecules(sigma: float) -> Defaults:
    """With Gaussians of this width (Angstrom): ``fmax`` falls with its square where it is sharper.

    Sharper descriptors tell smaller displacements apart and are still right where the loss is
    flatter: 0.02, 0.01 and 0.005 1/Angstrom are best for 0.3, 0.2 and 0.15 Angstrom.
    """
    return replace(MOLECULES, fmax=MOLECULES.fmax * min(1.0, (sigma / SIGMA) ** 2))
