"""Make losiko_torch/data/organic.npz: enumerate, embed, choose, relax, write.

The stages with long runs behind them (embedding, relaxation) keep what they did in the work folder,
so the same command goes on after it was stopped.
"""

from __future__ import annotations

import argparse
import datetime
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from choose import ELEMENTS, choose
from conformers import Geometry, embed_all
from grow import enumerate_molecules
from handpicked import handpicked, smallest
from relax import FMAX, relax_all

REPOSITORY = Path(__file__).resolve().parents[2]
# candidates for each number of heavy atoms
QUOTAS = {1: 10, 2: 100, 3: 100, 4: 300, 5: 1000, 6: 2500, 7: 3500, 8: 4000, 9: 4000}


def write(molecules: list[tuple[str, Geometry]], seed: int, path: Path) -> None:
    """The molecules as flat arrays, readable without pickle."""
    sizes = [len(numbers) for _, (numbers, _) in molecules]
    metadata = {
        "title": "Small organic molecules of H, C, N, O and F for losiko-torch",
        "level_of_theory": f"GFN2-xTB, fmax {FMAX} eV/A, gas phase",
        "versions": {name: version(name) for name in ("rdkit", "tblite", "ase", "dscribe")},
        "elements": list(ELEMENTS.values()),
        "n_molecules": len(molecules),
        "n_atoms": sum(sizes),
        "licence": "CC0",
        "made_by": "scripts/embedded_database",
        "seed": seed,
        "date": datetime.date.today().isoformat(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        id=np.arange(1, len(molecules) + 1, dtype=np.int32),
        n_atoms=np.array(sizes, dtype=np.uint8),
        Z=np.concatenate([numbers for _, (numbers, _) in molecules]).astype(np.uint8),
        R=np.concatenate([positions for _, (_, positions) in molecules]).astype(np.float32),
        offsets=np.cumsum([0, *sizes], dtype=np.int32),
        smiles=np.frombuffer("\n".join(s for s, _ in molecules).encode(), dtype=np.uint8),
        metadata=np.frombuffer(json.dumps(metadata).encode(), dtype=np.uint8),
    )
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for what can be resumed")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "losiko_torch/data/organic.npz")
    parser.add_argument("--count", type=int, default=2400, help="molecules wanted")
    parser.add_argument(
        "--parents", type=int, default=1000, help="grown from, beyond six heavy atoms"
    )
    parser.add_argument("--visits", type=int, default=30, help="molecules tried for each parent")
    parser.add_argument("--sample", type=int, default=4000, help="environments to be covered")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)

    levels = enumerate_molecules(QUOTAS, arguments.parents, arguments.visits, arguments.seed)
    print("enumerated:", {size: len(smiles) for size, smiles in levels.items()}, flush=True)
    everything = [*smallest(), *handpicked(), *(s for level in levels.values() for s in level)]
    geometries = embed_all(
        list(dict.fromkeys(everything)), arguments.seed, arguments.work / "conformers.jsonl"
    )
    candidates = [
        (s, conformer) for s, conformers in geometries.items() for conformer in conformers
    ]
    print("conformers:", len(candidates), flush=True)

    first = sum(len(geometries[s]) for s in smallest())
    reserve = arguments.count + arguments.count // 4  # some will be dropped
    order = choose(
        [geometry for _, geometry in candidates], first, reserve, arguments.sample, arguments.seed
    )
    print("chosen:", len(order), flush=True)
    chosen = [candidates[k] for k in order]

    molecules: list[tuple[str, Geometry]] = []
    log = arguments.work / "relaxed.jsonl"
    for molecule in relax_all(chosen, arguments.count, log):
        molecules.append(molecule)
        if len(molecules) % 400 == 0:  # the first part is of use while the rest is made
            write(molecules, arguments.seed, arguments.out)
            print("relaxed:", len(molecules), flush=True)
    write(molecules, arguments.seed, arguments.out)
    print("written:", len(molecules), "molecules to", arguments.out)


if __name__ == "__main__":
    main()
