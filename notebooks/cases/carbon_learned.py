"""Carbon led to graphite and to diamond by learned targets: from random cells, and from near.

One crystal, given eight times, is enough to fit to. Learned targets lead back from where the copies
of a fit are shaken to. A random cell is further from everything, and no known surroundings tell
them that two atoms are too close.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from cases.carbon import (
    HEADINGS,
    WIDER,
    finding,
    graphite_energy,
    markdown,
    random_cells,
    row,
    searched,
)
from cases.fitted import fitted, repeated
from cases.polymorphs import LAYERS, descriptor, kind, known_carbon, named
from losiko_torch import EnvironmentDatabase, Repulsion, Result, relax

#: Random cells of the full table, and shaken copies of a crystal.
STARTS, COPIES = 300, 60
#: Noise (Angstrom) of these copies, standard deviation of their strain, and of the random numbers.
NOISES, STRAIN, SEED = (0.1, 0.2, 0.3, 0.4, 0.5), 0.03, 0
#: Cells of a crystal along its axes, for copies.
REPEATS = {"graphite": (2, 2, 1), "diamond": (2, 2, 2)}
#: What a crystal is recognised as.
SOUGHT = {"graphite": LAYERS, "diamond": "diamond"}
NEAREST: dict[str, Any] = {"targets": "nearest", "cell": True}
LEARNED: dict[str, Any] = {"targets": "learned", "cell": True}


def learned_database(crystal: str) -> EnvironmentDatabase:
    """One crystal's environments and targets learned from it, with the wider descriptor."""
    known = repeated([named(known_carbon(), crystal)])
    return fitted(EnvironmentDatabase.build(known, descriptor(*WIDER)), f"carbon-{crystal}")


def narrow_database(crystal: str) -> EnvironmentDatabase:
    """One crystal's environments, with the paper's descriptor."""
    return EnvironmentDatabase.build(named(known_carbon(), crystal), descriptor())


def shaken(crystal: str, noise: float, count: int = COPIES) -> list[Atoms]:
    """Copies of a crystal with N(0, noise) on every coordinate, their cells strained."""
    rng = np.random.default_rng(SEED)
    copies = []
    for _ in range(count):
        atoms = named(known_carbon(), crystal) * REPEATS[crystal]
        strain = rng.normal(0, STRAIN, (3, 3))
        atoms.set_cell(atoms.cell @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms.positions += rng.normal(0, noise, atoms.positions.shape)
        copies.append(atoms)
    return copies


def ways(
    starts: Sequence[Atoms], narrow: EnvironmentDatabase, learned: EnvironmentDatabase
) -> dict[str, list[Result]]:
    """Results of ways to relax random cells, by name."""
    one = relax(starts, narrow, **NEAREST)
    led = relax([result.atoms for result in one], learned, **LEARNED)
    return {
        "nearest, one call": one,
        "nearest, searched": searched(starts, narrow, learned),
        "learned, one call": relax(starts, learned, **LEARNED),
        "learned with repulsion": relax(starts, learned, terms=[Repulsion()], **LEARNED),
        "nearest, then learned": led,
        "nearest, learned, nearest": relax([r.atoms for r in led], narrow, **NEAREST),
    }


def table() -> str:
    """Full-size results in markdown: random cells by database and way; shaken crystals by noise."""
    graphite, starts = graphite_energy(), random_cells(STARTS)
    bases = {name: (narrow_database(name), learned_database(name)) for name in SOUGHT}
    rows = [
        row(f"{crystal}: {name}", [finding(result) for result in results], graphite)
        for crystal, both in bases.items()
        for name, results in ways(starts, *both).items()
    ]
    return f"{markdown(HEADINGS, rows)}\n\n{_basins(bases)}"


def _basins(bases: dict[str, tuple[EnvironmentDatabase, EnvironmentDatabase]]) -> str:
    lines = []
    for crystal, (narrow, learned) in bases.items():
        how = {
            "nearest, the paper's descriptor": (narrow, NEAREST),
            "nearest, the wider descriptor": (learned, NEAREST),
            "learned": (learned, LEARNED),
        }
        for name, (database, options) in how.items():
            cells = [f"{crystal}: {name}"]
            for noise in NOISES:
                results = relax(shaken(crystal, noise), database, **options)
                share = np.mean([kind(result.atoms) == SOUGHT[crystal] for result in results])
                steps = np.median([result.n_steps for result in results])
                cells.append(f"{share:.0%} ({steps:.0f})")
            lines.append(cells)
    told = (
        f"Copies of a crystal with noise on every coordinate and {STRAIN:.0%} strain, {COPIES} "
        "each: share that came back (median evaluations).\n\n"
    )
    return told + markdown(["database, run", *(f"{noise} A" for noise in NOISES)], lines)
