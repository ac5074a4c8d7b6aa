"""Accuracy that is lost by keeping references in fewer components, and in float16.

    python benchmarks/compression.py [--database 4000] [--molecules 50]

A database of molecules evenly spaced over QM9, in all components that a sample of its references
spans, and in fewer; other molecules from N(0, 0.1 A). Compared with the first row: the loss and the
gradient at the starts, and the relaxed structures. "kept" is the share of the references' squared
length. One core.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import common
import numpy as np
from ase import Atoms

from losiko_torch import SOAP, EnvironmentDatabase, LosikoCalculator, relax
from losiko_torch.systems.geometry import rmsd

NOISE = 0.1
#: Components, and whether in float16; the first row is what the others are compared with.
ROWS = ((2048, False), (512, False), (512, True), (384, False), (384, True), (256, True))
HEADER = (
    "| components | numbers | kept, worst element | loss, mean relative difference | gradient, "
    "the same | RMSD from the first row's (A): mean, largest | RMSD from DFT (A) "
    "| bond error (A) |\n" + "|---" * 8 + "|"
)


@dataclass(frozen=True)
class Outcome:
    """Losses (n,) and gradients (n arrays, 1/Angstrom) at the starts, and relaxed structures."""

    losses: np.ndarray
    gradients: list[np.ndarray]
    relaxed: list[Atoms]


def outcome(database: EnvironmentDatabase, starts: list[Atoms]) -> Outcome:
    losses, gradients = [], []
    for atoms in starts:
        copy = atoms.copy()
        copy.calc = LosikoCalculator(database, dtype="float64")
        losses.append(copy.get_potential_energy())
        gradients.append(-copy.get_forces())
    relaxed = [result.atoms for result in relax(starts, database)]
    return Outcome(np.array(losses), gradients, relaxed)


def in_float16(database: EnvironmentDatabase) -> EnvironmentDatabase:
    environments = {
        z: replace(part, vectors=part.vectors.half().float())
        for z, part in database.environments.items()
    }
    return replace(database, environments=environments)


def row(name: str, database: EnvironmentDatabase, found: Outcome, base: Outcome, truth) -> str:
    kept = min(part.length_kept for part in database.environments.values())
    loss = np.abs(found.losses / base.losses - 1).mean()
    pairs = zip(found.gradients, base.gradients, strict=True)
    gradient = np.mean([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs])
    apart = [rmsd(a, b) for a, b in zip(found.relaxed, base.relaxed, strict=True)]
    errors, bonds = common.deviations(found.relaxed, truth)
    return (
        f"| {name} | {kept:.4%} | {loss:.1e} | {gradient:.1e} | {np.mean(apart):.4f}, "
        f"{np.max(apart):.3f} | {errors.mean():.4f} | {bonds.mean():.4f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--database", type=int, default=4000, help="its molecules")
    parser.add_argument("--molecules", type=int, default=50)
    arguments = parser.parse_args()
    common.one_core()
    qm9 = common.QM9()
    molecules = qm9.reporting(arguments.molecules)
    known = qm9.spaced(arguments.database, molecules)
    starts = common.with_noise(molecules, NOISE)
    soap = SOAP(species=common.SPECIES, **common.SHARP)
    base = None
    made: dict[int, EnvironmentDatabase] = {}
    for components, half in ROWS:
        if components not in made:
            made = {components: EnvironmentDatabase.build(known, soap, components=components)}
        database = in_float16(made[components]) if half else made[components]
        if base is None:
            print(f"{database}; {len(molecules)} molecules\n\n{HEADER}")
        found = outcome(database, starts)
        base = base or found
        name = f"{components:,} | {'float16' if half else 'float32'}"
        print(row(name, database, found, base, molecules), flush=True)


if __name__ == "__main__":
    main()
