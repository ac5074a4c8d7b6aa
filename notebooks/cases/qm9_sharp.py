"""QM9's molecules, relaxed by a coarse descriptor and then by a sharp one of the same references.

SOAP's Gaussians decide how small a displacement looks large. Broad ones (sigma 0.3 Angstrom) lead
back from far; sharp ones (0.15 Angstrom) tell bond lengths apart that the broad ones do not, and
leave less slope where references have little to say, but starts that are 0.2 Angstrom off lie
beyond their reach. So the first call stops early and the second goes on from there.
"""

from __future__ import annotations

from ase import Atoms

from cases.in_turn import relax_in_turn
from cases.molecules import QM9, SHARP, SPECIES, with_noise
from cases.qm9 import HEADER, REPORTED, database_of, row, timed
from losiko_torch import SOAP, EnvironmentDatabase, Result, relax

#: The sharp descriptor, and the ``fmax`` (1/Angstrom) at which the coarse one stops.
FINE = {**SHARP, "sigma": 0.15}
HAND_OVER = 0.05
#: Standard deviations (Angstrom) of the noise on every coordinate.
NOISES = (0.0, 0.1, 0.2)
#: Smaller ``fmax`` (1/Angstrom) for the sharp descriptor than its default, and for how many
#: molecules.
FINER, FEWER = (0.002, 0.001), 100
#: Database molecules in full size, with how many molecules they are reported on.
FULL = ((None, REPORTED), (3800, 200), (38_000, 100))


def coarse_then_sharp(
    starts: list[Atoms],
    coarse: EnvironmentDatabase,
    sharp: EnvironmentDatabase,
    fmax: float | None = None,
) -> list[Result]:
    """Relax with a coarse, then with a sharp descriptor, the latter to ``fmax`` (1/Angstrom)."""
    return relax_in_turn(starts, coarse, sharp, {"fmax": HAND_OVER}, {"fmax": fmax})


def databases(
    qm9: QM9, size: int | None, without: list[Atoms]
) -> tuple[EnvironmentDatabase, EnvironmentDatabase]:
    """Databases of the coarse and of the sharp descriptor, of ``size`` molecules.

    None means the paper's 359 molecules.
    """
    if size is None:
        return qm9.paper_database(**SHARP), qm9.paper_database(**FINE)
    molecules = qm9.spaced(size, without)
    return database_of(molecules), database_of(molecules, SOAP(species=SPECIES, **FINE))


def table() -> str:
    """Full-size results in markdown: each descriptor alone, both in turn; by database size."""
    qm9 = QM9()
    reported = qm9.reporting(REPORTED)
    parts = []
    for size, count in FULL:
        molecules = reported[:count]
        coarse, sharp = databases(qm9, size, reported)
        relax(molecules[:3], sharp)  # kernels are compiled on first use
        lines = [f"{len(coarse.structures)} molecules in the database.\n", HEADER]
        for noise in NOISES:
            starts = with_noise(molecules, noise) if noise else molecules
            start = f"DFT + N(0, {noise} A)" if noise else "DFT"
            for name, work in (
                ("sigma 0.3 A", lambda s=starts, a=coarse: relax(s, a)),
                ("sigma 0.15 A", lambda s=starts, b=sharp: relax(s, b)),
                (
                    "0.3, then 0.15 A",
                    lambda s=starts, a=coarse, b=sharp: coarse_then_sharp(s, a, b),
                ),
            ):
                lines.append(row(start, name, molecules, timed(work)))
        parts += ["\n".join(lines), stopping(molecules[:FEWER], coarse, sharp)]
    return "\n\n".join(parts)


def stopping(
    molecules: list[Atoms], coarse: EnvironmentDatabase, sharp: EnvironmentDatabase
) -> str:
    """Accuracy in markdown by the ``fmax`` at which the sharp descriptor stops."""
    lines = [f"{len(coarse.structures)} molecules in the database: when to stop.\n", HEADER]
    for noise in NOISES[:2]:
        starts = with_noise(molecules, noise) if noise else molecules
        start = f"DFT + N(0, {noise} A)" if noise else "DFT"
        for fmax in (sharp.defaults.fmax, *FINER):
            made = timed(lambda s=starts, f=fmax: coarse_then_sharp(s, coarse, sharp, f))
            name = f"0.3, then 0.15 A to fmax {fmax:g}"
            lines.append(row(start, name, molecules, made))
    return "\n".join(lines)
