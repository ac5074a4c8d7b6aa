"""The built-in database: how near it is to molecules made elsewhere, and how well they relax.

    python benchmarks/builtin.py [--molecules 200] [--archive OLDER.npz]

Molecules of QM9 (B3LYP), of ASE's g2 set (MP2/6-31G(d)) and those of QM7 with sulfur (PBE0). Other
molecules of QM9, and these of g2 and QM7, showed which groups an earlier database lacked; no
structure was taken from them. The first table has the separation |p - z| of each atom's unit
descriptor from its nearest reference, the second one the errors of molecules relaxed from their own
geometry and from N(0, 0.1 A) noise on every coordinate.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import ase.io
import common
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from ase.data import atomic_numbers, chemical_symbols

from losiko_torch import SOAP, EnvironmentDatabase, default_database, score
from losiko_torch.database.builtin import builtin_metadata, builtin_structures

SEED = 0
#: Standard deviation of the noise on every coordinate, Angstrom.
NOISE = 0.1
HEADER = (
    "| molecules of | count | start | targets | mean RMSD (A) | median | 95th percentile "
    "| mean bond error (A) | converged |\n|---|---|---|---|---|---|---|---|---|"
)
#: Sulfur and chlorine, which older archives do not have.
LATER = {16, 17}


def database_of(archive: Path | None) -> EnvironmentDatabase:
    """The built-in database, or the one of another archive of the same kind."""
    if archive is None:
        return default_database()
    metadata = builtin_metadata(archive)
    soap = SOAP(species=metadata["elements"], **common.SHARP)
    return EnvironmentDatabase.build(builtin_structures(archive), soap, metadata=metadata)


def g2_molecules() -> list[Atoms]:
    """Molecules of g2 with more than one atom, radicals among them."""
    return [atoms for atoms in map(molecule, g2.names) if len(atoms) > 1]


def sulfur_of_qm7() -> list[Atoms]:
    """Molecules of QM7 with sulfur, in random order."""
    everything = ase.io.read(common.data_folder() / "molecules" / "qm7.extxyz", ":")
    found = [atoms for atoms in everything if atomic_numbers["S"] in atoms.numbers]
    return [found[k] for k in np.random.default_rng(SEED).permutation(len(found))]


def known_to(database: EnvironmentDatabase, molecules: list[Atoms]) -> list[Atoms]:
    """Molecules with no other elements than the database's."""
    return [atoms for atoms in molecules if set(atoms.numbers) <= set(database.environments)]


def coverage(name: str, molecules: list[Atoms], database: EnvironmentDatabase) -> str:
    """Row of the table: median / 95th percentile of separations by element, in known molecules."""
    known = known_to(database, molecules)
    cells = ["-"] * len(database.environments)
    if known:
        scores = score(known, database, targets="nearest")
        squared = np.concatenate([one.distances for one in scores])
        distances = np.sqrt(np.maximum(squared, 0))
        numbers = np.concatenate([atoms.numbers for atoms in known])
        for place, number in enumerate(database.environments):
            own = distances[numbers == number]
            if len(own):
                cells[place] = f"{np.median(own):.3f} / {np.quantile(own, 0.95):.3f}"
    return f"| {name} | {len(known)} of {len(molecules)} | {' | '.join(cells)} |"


def accuracy(name: str, molecules: list[Atoms], database: EnvironmentDatabase) -> str:
    """Rows of the table: errors of the relaxed molecules that are known, from each start."""
    known = known_to(database, molecules)
    if not known:
        return f"| {name} | 0 | - | - | - | - | - | - | - |"
    rows = []
    for noise in (0.0, NOISE):
        start = f"+ N(0, {noise} A)" if noise else "reference geometry"
        starts = common.with_noise(known, noise, SEED)
        for targets in ("learned", "locally-linear"):
            if targets == "learned" and database.learned is None:
                continue
            found = common.relaxation(starts, known, database, targets=targets)
            distances = found.distances
            rows.append(
                f"| {name} | {len(known)} | {start} | {targets} | {distances.mean():.3f} "
                f"| {np.median(distances):.3f} | {np.quantile(distances, 0.95):.3f} "
                f"| {found.bonds.mean():.4f} | {found.converged:.1%} |"
            )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--molecules", type=int, default=200, help="of QM9; half of QM7's")
    parser.add_argument("--archive", type=Path, help="an older organic.npz instead")
    arguments = parser.parse_args()
    common.one_core()
    began = time.perf_counter()
    database = database_of(arguments.archive)
    print(f"{database}  [{time.perf_counter() - began:.1f} s]\n")

    from_qm9 = common.QM9().reporting(5 * arguments.molecules // 2)
    from_g2, from_qm7 = g2_molecules(), sulfur_of_qm7()
    later = [bool(LATER & set(atoms.numbers)) for atoms in from_g2]
    symbols = " | ".join(chemical_symbols[number] for number in database.environments)
    print(f"| molecules of | known | {symbols} |")
    print(f"|---|---|{'---|' * len(database.environments)}")
    print(coverage("QM9", from_qm9, database), flush=True)
    print(coverage("g2", from_g2, database), flush=True)
    print(coverage("QM7, with S", from_qm7, database), flush=True)

    print(f"\n{HEADER}")
    older = [atoms for atoms, new in zip(from_g2, later, strict=True) if not new]
    newer = [atoms for atoms, new in zip(from_g2, later, strict=True) if new]
    print(accuracy("QM9", from_qm9[: arguments.molecules], database), flush=True)
    print(accuracy("g2, without S and Cl", older, database), flush=True)
    print(accuracy("g2, with S or Cl", newer, database), flush=True)
    print(accuracy("QM7, with S", from_qm7[: arguments.molecules // 2], database), flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
