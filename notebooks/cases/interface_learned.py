"""Silicon joined to silica with learned targets, beside locally-linear ones of the same database.

Starts have overlapping atoms at the seam, so that both are far from what a fit has seen.
"""

from __future__ import annotations

import numpy as np

from cases.data import amorphous_silica
from cases.fitted import fitted
from cases.interface import (
    CRYSTAL_SOAP,
    HEADINGS,
    REPORTED,
    TOUCHING,
    WITH_SUBOXIDES,
    database,
    energy_per_area,
    joined,
    references,
    relaxed,
    summary,
)
from losiko_torch import Result


def table() -> str:
    """Full-size means in markdown: glasses and reported seeds."""
    glasses = amorphous_silica()
    starts = [joined(glass, seed) for glass in glasses for seed in REPORTED]
    before = [energy_per_area(start, start.atoms) for start in starts]
    found = fitted(database(references(WITH_SUBOXIDES), CRYSTAL_SOAP), "interface")
    plain = relaxed(starts, found, targets="locally-linear")
    first = relaxed(starts, found)
    second = relaxed([s._replace(atoms=r.atoms) for s, r in zip(starts, first, strict=True)], found)
    mixed = relaxed([s._replace(atoms=r.atoms) for s, r in zip(starts, plain, strict=True)], found)
    apart = [joined(glass, seed, TOUCHING) for glass in glasses for seed in REPORTED]
    touching = relaxed(apart, found)
    rows = {
        "start": [start.atoms for start in starts],
        "locally-linear": [one.atoms for one in plain],
        "learned": [one.atoms for one in first],
        "learned, twice": [one.atoms for one in second],
        "locally-linear, then learned": [one.atoms for one in mixed],
        f"learned, from {TOUCHING} A apart": [one.atoms for one in touching],
    }
    lines = [f"{len(starts)} interfaces: {len(glasses)} glasses, seeds {REPORTED}.", "", HEADINGS]
    lines += [f"| {name} | {summary(starts, each, before)} |" for name, each in rows.items()]
    told = {"locally-linear": plain, "learned": first, "learned, twice": second}
    lines += ["", *(f"{name}: {_ends(each)}" for name, each in told.items())]
    return "\n".join(lines)


def _ends(results: list[Result]) -> str:
    done = sum(one.converged for one in results)
    doubted = sum(not one.reliable for one in results)
    steps = np.median([one.n_steps for one in results])
    return f"{done} converged, {doubted} doubted, {steps:.0f} evaluations (median)."
