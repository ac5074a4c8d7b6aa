"""Candidate geometries: ETKDG embedding, force-field relaxation, distinct conformers.

Unassigned stereo centres are embedded at random, so the "conformers" of one SMILES may also be
diastereomers: all the better for a database of environments. Every molecule gets its own seed from
its SMILES, so that its geometries do not depend on what else is enumerated.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
from rdkit import Chem
from rdkit.Chem import AllChem

Geometry = tuple[list[int], np.ndarray]  # atomic numbers, positions in angstrom


def fingerprint(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Sorted interatomic distances by pair of elements: equal for congruent molecules."""
    i, j = np.triu_indices(len(numbers), 1)
    distance = np.linalg.norm(positions[i] - positions[j], axis=1)
    low, high = np.minimum(numbers[i], numbers[j]), np.maximum(numbers[i], numbers[j])
    return distance[np.lexsort((distance, high, low))]


def is_duplicate(own: np.ndarray, others: list[np.ndarray], tolerance: float) -> bool:
    """Return whether the RMS difference of a fingerprint to any other is below `tolerance`."""
    return any(np.sqrt(np.mean((own - other) ** 2)) < tolerance for other in others)


def embed(smiles: str, seed: int, count: int, tolerance: float = 0.08) -> list[Geometry]:
    """Up to `count` distinct conformers, lowest force-field energy first; none if that fails."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = (zlib.crc32(smiles.encode()) ^ seed) & 0x7FFFFFFF
    parameters.maxIterations = 20
    embedded: list[int] = []
    for small_ring_torsions in (True, False):  # with them, some common rings cannot be embedded
        parameters.useSmallRingTorsions = small_ring_torsions
        try:
            embedded = list(AllChem.EmbedMultipleConfs(molecule, count, parameters))
        except RuntimeError:  # the minimiser's own checks raise it
            continue
        if embedded:
            break
    if not embedded:
        return []
    if AllChem.MMFFHasAllMoleculeParams(molecule):
        outcome = AllChem.MMFFOptimizeMoleculeConfs(molecule, maxIters=300)
    elif AllChem.UFFHasAllMoleculeParams(molecule):
        outcome = AllChem.UFFOptimizeMoleculeConfs(molecule, maxIters=300)
    else:
        outcome = [(0, 0.0)] * len(embedded)
    kept: list[Geometry] = []
    prints: list[np.ndarray] = []
    for k in np.argsort([energy for _, energy in outcome], kind="stable"):
        positions = molecule.GetConformer(embedded[k]).GetPositions()
        own = fingerprint(np.array(numbers), positions)
        if not is_duplicate(own, prints, tolerance):
            kept.append((numbers, positions))
            prints.append(own)
    return kept


def read_log(path: Path) -> list[dict]:
    """Entries of a JSON-lines file; a last line that an interruption cut short is removed."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def embed_all(smiles: list[str], seed: int, count: int, cache: Path) -> dict[str, list[Geometry]]:
    """`embed` for many molecules; what `cache` (JSON lines) holds already is not done again."""
    done: dict[str, list[Geometry]] = {}
    for entry in read_log(cache):
        done[entry["smiles"]] = [(entry["numbers"], np.array(r)) for r in entry["positions"]]
    with cache.open("a") as file:
        for s in smiles:
            if s in done:
                continue
            done[s] = [
                (numbers, positions.round(4)) for numbers, positions in embed(s, seed, count)
            ]
            entry = {
                "smiles": s,
                "numbers": done[s][0][0] if done[s] else [],
                "positions": [positions.tolist() for _, positions in done[s]],
            }
            file.write(json.dumps(entry) + "\n")
    return {s: done[s][:count] for s in smiles}
