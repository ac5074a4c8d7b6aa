"""Relax molecules with GFN2-xTB and keep those that stay themselves.

GFN2-xTB (Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15, 1652, 2019) gives geometries within
a few hundredths of an angstrom of DFT in a tenth of a second for these sizes. Each outcome is
appended to a JSON-lines file at once, so a run that was stopped goes on where it was. What is sound
is judged as the file is read, so the limits may be changed without relaxing anew.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed
from ase.data import covalent_radii
from ase.optimize import LBFGS
from ase.units import Bohr, Hartree
from conformers import Geometry, fingerprint, is_duplicate, read_log
from tblite.ase import TBLite
from tblite.exceptions import TBLiteRuntimeError
from tblite.interface import Calculator

FMAX = 0.01  # eV/A
MAX_STEPS = 300
ALPHA = (
    40  # first curvature, in eV/A^2: soft contacts take a quarter fewer steps than from ASE's 70
)
BONDED = 1.3  # longest bond in units of the sum of covalent radii
CLOSEST = 0.65  # interatomic distance, in angstrom, below which a structure is broken
SMALLEST_GAP = 1.0  # eV; a closed shell is a poor description of anything below
SAME = 0.03  # RMS difference of sorted distances, in angstrom, below which conformers are equal


def bond_graph(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Boolean matrix of the pairs closer than bonded atoms are."""
    radii = covalent_radii[numbers]
    distance = np.linalg.norm(positions[:, None] - positions, axis=2)
    bonded = distance < BONDED * (radii[:, None] + radii)
    np.fill_diagonal(bonded, False)
    return bonded


def is_connected(graph: np.ndarray) -> bool:
    """Return whether every atom can be reached from the first."""
    seen = np.zeros(len(graph), dtype=bool)
    seen[0] = True
    for _ in range(len(graph)):
        seen |= graph[seen].any(axis=0)
    return bool(seen.all())


def gap_ev(atoms: Atoms, charge: int = 0) -> float:
    """Energy between the highest occupied and the lowest empty orbital."""
    calculator = Calculator("GFN2-xTB", atoms.numbers, atoms.positions / Bohr, charge)
    calculator.set("verbosity", 0)
    result = calculator.singlepoint()
    energies = result.get("orbital-energies") * Hartree
    filled = result.get("orbital-occupations") >= 1.0
    return float(energies[~filled].min() - energies[filled].max()) if not filled.all() else np.inf


def relax(geometry: Geometry, charge: int = 0) -> tuple[np.ndarray, float]:
    """Relaxed positions and HOMO-LUMO gap (eV), which is NaN when the relaxation failed."""
    numbers, start = geometry
    method = TBLite(method="GFN2-xTB", charge=charge, verbosity=0)
    atoms = Atoms(numbers, start, calculator=method)
    try:
        with LBFGS(atoms, logfile=None, alpha=ALPHA) as optimizer:
            converged = optimizer.run(fmax=FMAX, steps=MAX_STEPS)
        return atoms.get_positions(), gap_ev(atoms, charge) if converged else np.nan
    except (CalculationFailed, TBLiteRuntimeError):
        return start, np.nan


def is_sound(geometry: Geometry, positions: np.ndarray, gap: float) -> bool:
    """Return whether a relaxed molecule has kept its bonds, in a plain closed shell."""
    numbers, start = np.asarray(geometry[0]), geometry[1]
    graph = bond_graph(numbers, positions)
    i, j = np.triu_indices(len(numbers), 1)
    return bool(
        gap > SMALLEST_GAP
        and (graph == bond_graph(numbers, start)).all()
        and is_connected(graph)
        and np.linalg.norm(positions[i] - positions[j], axis=1).min() > CLOSEST
    )


def relax_all(
    candidates: list[tuple[str, Geometry]],
    known: list[tuple[str, Geometry]],
    wanted: int,
    log: Path,
) -> Iterator[tuple[str, Geometry]]:
    """Relaxed molecules in the order of the candidates, up to `wanted`.

    Molecules that repeat an earlier one, or one of the relaxed molecules `known`, are left out.
    """
    done: dict[str, tuple[np.ndarray, float]] = {}
    for entry in read_log(log):
        done[entry["key"]] = np.array(entry["positions"]), entry["gap"]
    prints: dict[str, list[np.ndarray]] = {}
    for smiles, (numbers, positions) in known:
        prints.setdefault(smiles, []).append(fingerprint(np.asarray(numbers), positions))
    kept = 0
    with log.open("a") as file:
        for smiles, geometry in candidates:
            if kept == wanted:
                return
            # the start belongs to the key: other conformers are other molecules here
            key = f"{smiles} {zlib.crc32(geometry[1].round(3).tobytes()):08x}"
            if key not in done:
                positions, gap = relax(geometry)
                done[key] = positions.round(6), round(gap, 3)
                entry = {"key": key, "gap": done[key][1], "positions": done[key][0].tolist()}
                file.write(json.dumps(entry) + "\n")
                file.flush()
            positions, gap = done[key]
            own = fingerprint(np.asarray(geometry[0]), positions)
            before = prints.setdefault(smiles, [])
            if not is_sound(geometry, positions, gap) or is_duplicate(own, before, SAME):
                continue
            before.append(own)
            kept += 1
            yield smiles, (geometry[0], positions)
