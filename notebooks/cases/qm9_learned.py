"""QM9's molecules relaxed on targets that were learned from the paper's 359, beside the other ones.

The starts are those of ``cases.qm9``, and so are the molecules whose bond no other molecule has:
networks that never saw a bond extrapolate, and neither loss nor expected error says so. The
distance to the nearest reference does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from cases.conformers import same_conformers
from cases.fitted import fitted
from cases.molecules import QM9, SHARP, with_noise
from cases.qm9 import (
    DIATOMICS,
    EMBEDDED,
    FEWER,
    HEADER,
    NOISE,
    REPORTED,
    STRETCHED,
    database_of,
    diatomic,
    errors,
    row,
    timed,
)
from losiko_torch import EnvironmentDatabase, relax, score

TARGETS = ("learned", "locally-linear")


def learned_database(qm9: QM9) -> EnvironmentDatabase:
    """The paper's 359 molecules, with targets learned from them."""
    return fitted(qm9.paper_database(**SHARP), "qm9")


def with_diatomics(qm9: QM9) -> EnvironmentDatabase:
    """The same and the diatomics, with targets learned from all of them."""
    given = [qm9.molecule(k) for k in qm9.database_molecules]
    added = [diatomic(name, length) for name, length in DIATOMICS.items()]
    return fitted(database_of([*given, *added]), "qm9-and-diatomics")


def farthest(atoms: Sequence, database: EnvironmentDatabase) -> float:
    """Largest squared distance of an atom of these structures to its nearest reference."""
    judged = score(atoms, database, targets="nearest")
    return max(float(each.distances.max()) for each in judged)


def table() -> str:
    """Full-size results in markdown."""
    qm9 = QM9()
    molecules = qm9.reporting(REPORTED)
    database = learned_database(qm9)
    relax(molecules[:3], database)  # kernels are compiled on first use
    parts = [
        _starts_table(molecules, database),
        _diatomics_table(molecules[:FEWER], database, with_diatomics(qm9)),
        _knowing_table(molecules[:FEWER], database),
    ]
    return "\n\n".join(parts)


def _starts_table(molecules: list, database: EnvironmentDatabase) -> str:
    rdkit = same_conformers(molecules[:EMBEDDED])
    lines = ["The paper's 359 molecules.\n", HEADER]
    for start, truth, starts in (
        ("DFT", molecules, molecules),
        (f"DFT + N(0, {NOISE} A)", molecules, with_noise(molecules, NOISE)),
        (f"DFT + N(0, {2 * NOISE} A)", molecules, with_noise(molecules, 2 * NOISE)),
        ("ETKDG + MMFF94", rdkit.molecules, rdkit.starts),
    ):
        for targets in TARGETS:
            made = timed(lambda t=targets, s=starts: relax(s, database, targets=t))
            lines.append(row(start, targets, truth, made))
    return "\n".join(lines)


def _diatomics_table(
    molecules: list, database: EnvironmentDatabase, cured: EnvironmentDatabase
) -> str:
    usual = relax(molecules, database)
    expected = max(float(result.expected_error.max()) for result in usual)
    highest = farthest([result.atoms for result in usual], database)
    starts = ", ".join(map(str, STRETCHED))
    lines = [
        f"Molecules unlike any in QM9: bond lengths (A) reached from {starts} of the true one. Of "
        f"{len(molecules)} relaxed molecules the largest expected error of an atom is "
        f"{expected:.3f} A, the largest squared distance to a nearest reference {highest:.3f}.\n",
        "| | true length | the 359: bonds reached | expected error of the worst atom (A) | its "
        "distance | with these four added: bonds reached | expected error (A) | distance |\n"
        + "|---" * 8
        + "|",
    ]
    for name, length in DIATOMICS.items():
        cells = []
        for known in (database, cured):
            results = relax([diatomic(name, f * length) for f in STRETCHED], known)
            atoms = [result.atoms for result in results]
            expected = max(float(result.expected_error.max()) for result in results)
            reached = ", ".join(f"{each.get_distance(0, 1):.3f}" for each in atoms)
            cells += [reached, f"{expected:.3f}", f"{farthest(atoms, known):.3f}"]
        lines.append(f"| {name} | {length:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _knowing_table(molecules: list, database: EnvironmentDatabase) -> str:
    lines = [
        "Does it know how far off it is? Spearman's correlation over the atoms of "
        f"{len(molecules)} molecules, with the displacement after superposition (and with the mean "
        "error of the distances to atoms within 3 A).\n",
        "| start | `result.expected_error` | distance to the nearest reference |\n|---|---|---|",
    ]
    for start, starts in (
        ("DFT", molecules),
        (f"DFT + N(0, {NOISE} A)", with_noise(molecules, NOISE)),
    ):
        results = relax(starts, database)
        relaxed = [result.atoms for result in results]
        found = errors(relaxed, molecules)
        judged = score(relaxed, database, targets="nearest")
        signs = (
            np.concatenate([result.expected_error for result in results]),
            np.concatenate([each.distances for each in judged]),
        )
        cells = [
            f"{spearmanr(sign, found.moved)[0]:.2f} ({spearmanr(sign, found.local)[0]:.2f})"
            for sign in signs
        ]
        lines.append(f"| {start} | {' | '.join(cells)} |")
    return "\n".join(lines)
