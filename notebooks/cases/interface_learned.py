"""Silicon joined to silica with learned targets, beside locally-linear ones and CHGNet.

Glass is shorter of order than the crystals that the targets are fitted to, and a start overlaps:
the nearest atoms across the seam are 0.9 Angstrom apart, further from anything good than the copies
of a fit. So the ways below differ in what leads first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cases.data import amorphous_silica
from cases.fitted import fitted
from cases.interface import (
    CONTACT,
    CRYSTAL_SOAP,
    HEADINGS,
    REPORTED,
    TOUCHING,
    WITH_SUBOXIDES,
    Start,
    database,
    energy_per_area,
    joined,
    references,
    relaxed,
    summary,
)
from losiko_torch import EnvironmentDatabase, Repulsion, Result, Stage

#: Distance from the seam's plane within which atoms are nearer than this at a start, Angstrom.
LINEAR = {"targets": "locally-linear"}


def learned_database() -> EnvironmentDatabase:
    """Database of crystals, suboxides too, with targets learned from their atoms in good order."""
    return fitted(database(references(WITH_SUBOXIDES), CRYSTAL_SOAP), "interface")


def ways() -> dict[str, dict[str, Any]]:
    """Options of ``relax``, by name."""
    learned = {"targets": "learned"}
    return {
        "locally-linear": LINEAR,
        "learned": learned,
        "learned, with repulsion": learned | {"terms": [Repulsion()]},
        "locally-linear, then learned": learned
        | {"schedule": [Stage(targets="locally-linear", max_steps=100)]},
    }


def ended(
    starts: Sequence[Start], references: EnvironmentDatabase, options: dict[str, Any]
) -> list[Result]:
    return relaxed(starts, references, **options)


def table(seeds: Sequence[int] = REPORTED) -> str:
    """Full-size means in markdown, for glasses and reported seeds."""
    glasses = amorphous_silica()
    starts = [joined(glass, seed) for glass in glasses for seed in seeds]
    before = [energy_per_area(start, start.atoms) for start in starts]
    apart = [joined(glass, seed, TOUCHING).atoms for glass in glasses for seed in seeds]
    known = learned_database()
    rows = [
        ("start", [start.atoms for start in starts]),
        (f"start, {TOUCHING} A apart instead of {CONTACT}", apart),
    ]
    steps = {}
    for name, options in ways().items():
        results = ended(starts, known, options)
        rows.append((name, [result.atoms for result in results]))
        steps[name] = np.median([result.n_steps for result in results])
    lines = [f"{len(starts)} interfaces: {len(glasses)} glasses, seeds {tuple(seeds)}.", ""]
    lines += [HEADINGS, *(f"| {name} | {summary(starts, atoms, before)} |" for name, atoms in rows)]
    counted = ", ".join(f"{name} {count:.0f}" for name, count in steps.items())
    return "\n".join([*lines, "", f"Evaluations (median): {counted}."])
