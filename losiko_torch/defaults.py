"""What is taken where a caller names nothing: numbers chosen by measurement, molecules and crystals
apart (benchmarks/README.md).

Molecules want many references and little ridge, and to stop early: torsions are directions on which
the references have little to say. Crystals are described by fewer, stiffer references, and have to
come close to their minimum for the noise to go.
"""

from __future__ import annotations

from dataclasses import dataclass


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
