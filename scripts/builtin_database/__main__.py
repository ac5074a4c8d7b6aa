"""Make losiko_torch/data/organic.npz: enumerate, embed, choose, relax, order, write.

The stages with long runs behind them (embedding, relaxation) keep what they did in the work folder,
so the same command goes on after it was stopped. `--reuse` takes over the molecules of an older
file as they are, and adds to them what they lack.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from analogues import analogues
from archive import Structure, read, write
from choose import choose
from conformers import Geometry, embed_all
from grow import enumerate_molecules
from handpicked import familiar, handpicked, smallest
from relax import relax_all
from rings import rings

REPOSITORY = Path(__file__).resolve().parents[2]
# candidates for each number of heavy atoms
QUOTAS = {1: 10, 2: 100, 3: 100, 4: 300, 5: 1000, 6: 2500, 7: 2500, 8: 3000, 9: 6000}
LARGEST_PARENT = 8  # heavy atoms of a molecule that gets sulfur or chlorine
SULFUR, CHLORINE = 2000, 1000  # candidates with them, before sulfoxides and sulfones
SATURATED, AROMATIC = 4000, 3000  # candidates from ring skeletons
HANDPICKED_CONFORMERS, CONFORMERS = 3, 1

Molecule = tuple[str, Geometry]  # SMILES and geometry


def neutral(path: Path) -> list[Molecule]:
    """The neutral molecules of an older file."""
    return [
        (one.smiles, (one.numbers.tolist(), one.positions))
        for one in read(path)
        if one.kind == "molecule"
    ]


def candidates(known: set[str], parents: int, visits: int, seed: int, work: Path) -> list[Molecule]:
    """Force-field geometries of molecules that are not known yet, the smallest ones first."""
    levels = enumerate_molecules(QUOTAS, parents, visits, seed)
    grown = [s for level in levels.values() for s in level]
    small = [s for size, level in levels.items() if size <= LARGEST_PARENT for s in level]
    changed = analogues(small, SULFUR, CHLORINE, seed)
    cyclic = rings(SATURATED, AROMATIC, seed)
    print(
        f"SMILES: {len(grown)} grown, {len(changed)} with S or Cl, {len(cyclic)} rings", flush=True
    )
    picked = [*smallest(), *handpicked()]
    others = list(dict.fromkeys([*cyclic, *changed, *grown]))
    log = work / "conformers.jsonl"
    geometries = embed_all(picked, seed, HANDPICKED_CONFORMERS, log)
    geometries |= embed_all([s for s in others if s not in geometries], seed, CONFORMERS, log)
    return [(s, one) for s, found in geometries.items() if s not in known for one in found]


def left_out(new: list[Molecule], molecules: list[Molecule]) -> list[Molecule]:
    """Familiar molecules that were not chosen: the first geometry of each."""
    found: dict[str, Geometry] = {}
    for smiles, geometry in new:
        found.setdefault(smiles, geometry)
    inside = {smiles for smiles, _ in molecules}
    return [(s, found[s]) for s in familiar() if s in found and s not in inside]


def ordered(molecules: list[Molecule], sample: int, seed: int) -> list[Molecule]:
    """Order molecules: the smallest ones, and then the others by what each adds to those before."""
    ahead = set(smallest())
    head = [molecule for molecule in molecules if molecule[0] in ahead]
    every = head + [molecule for molecule in molecules if molecule[0] not in ahead]
    order = choose([geometry for _, geometry in every], len(head), len(every), sample, seed)
    return [every[k] for k in order]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for what can be resumed")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "losiko_torch/data/organic.npz")
    parser.add_argument("--reuse", type=Path, help="older file whose molecules are taken over")
    parser.add_argument(
        "--count", type=int, default=5000, help="molecules, without the familiar ones"
    )
    parser.add_argument(
        "--parents", type=int, default=1000, help="grown from, beyond six heavy atoms"
    )
    parser.add_argument("--visits", type=int, default=30, help="molecules tried for each parent")
    parser.add_argument("--sample", type=int, default=6000, help="environments to be covered")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    # writing over what is reused would make another file of the same command run again
    if arguments.reuse and arguments.reuse.resolve() == arguments.out.resolve():
        parser.error("--reuse and --out name the same file: keep a copy of the older one")
    arguments.work.mkdir(parents=True, exist_ok=True)

    molecules = neutral(arguments.reuse)[: arguments.count] if arguments.reuse else []
    known = {s for s, _ in molecules}
    new = candidates(known, arguments.parents, arguments.visits, arguments.seed, arguments.work)
    print("candidate geometries:", len(new), flush=True)

    ahead = set(smallest())
    first = len(molecules) + sum(s in ahead for s, _ in new)
    wanted = arguments.count - len(molecules)
    pool = [*molecules, *new]
    order = choose(
        [geometry for _, geometry in pool],
        first,
        arguments.count + wanted // 6,  # some will be dropped
        arguments.sample,
        arguments.seed,
    )
    print("chosen:", len(order) - len(molecules), flush=True)

    chosen = [pool[k] for k in order[len(molecules) :]]
    log = arguments.work / "relaxed.jsonl"
    molecules = [*molecules, *relax_all(chosen, molecules, wanted, log)]
    missing = left_out(new, molecules)
    molecules = [*molecules, *relax_all(missing, molecules, len(missing), log)]
    print("relaxed:", len(molecules), flush=True)
    final = ordered(molecules, arguments.sample, arguments.seed)
    structures = [Structure(s, np.array(z), r, 0, "molecule") for s, (z, r) in final]
    write(structures, arguments.seed, arguments.out)
    print("written:", len(molecules), "molecules to", arguments.out)


if __name__ == "__main__":
    main()
