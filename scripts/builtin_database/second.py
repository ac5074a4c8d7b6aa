"""Make the second edition: the first, and complexes, ions, elements, larger molecules.

    OMP_NUM_THREADS=1 python second.py --work WORK_FOLDER --reuse FIRST.npz --out SECOND.npz

Starts and outcomes are kept in the work folder, so the same command goes on after an interruption;
`--minutes` bounds the relaxing of one call. What is sound is judged as the outcomes are read.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import contacts
import numpy as np
import singles
from archive import Structure, read, write
from ase.data import covalent_radii
from candidate import Candidate, kind_of, plain, topological_distances, with_hydrogens
from conformers import embed, fingerprint, is_duplicate, read_log
from contacts import Plan
from handpicked import smallest
from place import RADII, starts
from rdkit import Chem, RDLogger
from relax import BONDED, CLOSEST, SAME, SMALLEST_GAP, relax

REPOSITORY = Path(__file__).resolve().parents[2]
SEVERAL = ("inner hydrogen bonds",)  # further conformers of molecules of the first edition
EMBEDDED = 3  # conformers for each that is wanted: those of the lowest energy are taken
MOST = 9500  # structures of the file
AT_MOST = {"inner hydrogen bonds": 300}  # structures of a group
SMALL = 2  # heavy atoms of the molecules that stand ahead
RARE = {"B": 5, "Si": 14, "I": 53, "P": 15, "Br": 35}
RATTLED = 0.15  # A, of the starts that would stay at a symmetric saddle point
CONTACT = 1.1  # nearest distance of molecules in a complex, in units of the sum of the radii
APART = 1.25  # atoms that are not bonded, in units of the sum of covalent radii


def unseen() -> set[str]:
    """SMILES, without stereochemistry, of the molecules that reports are measured on."""
    sys.path.append(str(REPOSITORY / "notebooks"))
    from cases.unseen import every_one

    return every_one()


def every_plan(known: set[str], seed: int) -> list[Plan]:
    """What is to be made, most important first: nothing that is known or kept for reports."""
    kept_out = unseen()
    return [
        plan
        for plan in (*contacts.plans(seed), *singles.plans(seed))
        if Chem.CanonSmiles(plan.smiles) not in known or plan.group in SEVERAL
        if not any(plain(part) in kept_out for part in plan.smiles.split("."))
    ]


def made(plan: Plan, seed: int) -> list[np.ndarray]:
    """Start geometries of a plan."""
    if "." in plan.smiles:
        return starts(plan.smiles, list(plan.ways), plan.count, seed)
    several = embed(plan.smiles, seed, EMBEDDED * plan.count)
    shaken = RATTLED if plan.group == "hypervalent" else 0.0
    rng = np.random.default_rng(seed)
    return [r + rng.normal(0, shaken, r.shape) for _, r in several[: plan.count]]


def candidates(wanted: list[Plan], seed: int, log: Path) -> Iterator[Candidate]:
    """Start geometries; those that `log` holds already are not made again."""
    done = {entry["key"]: entry["positions"] for entry in read_log(log)}
    with log.open("a") as file:
        for plan in wanted:
            name = f"{plan.group}|{plan.smiles}|{plan.count}"
            if name not in done:
                done[name] = [positions.round(4).tolist() for positions in made(plan, seed)]
                file.write(json.dumps({"key": name, "positions": done[name]}) + "\n")
                file.flush()
            atoms = with_hydrogens(plan.smiles).GetAtoms()
            numbers = np.array([atom.GetAtomicNum() for atom in atoms])
            for k, positions in enumerate(done[name]):
                key, kind = f"{name}|{k}", kind_of(plan.smiles)
                yield Candidate(key, plan.smiles, plan.group, kind, numbers, np.array(positions))


def fault(candidate: Candidate, positions: np.ndarray, gap: float) -> str:
    """Why a relaxed structure is not kept; empty if it is sound."""
    if np.isnan(gap):
        return "not converged"
    if gap <= SMALLEST_GAP:
        return "small gap"
    numbers = candidate.numbers
    if (numbers.sum() - candidate.charge) % 2:
        return "odd number of electrons"
    bonds = topological_distances(candidate.smiles)
    distance = np.linalg.norm(positions[:, None] - positions, axis=2)
    np.fill_diagonal(distance, np.inf)
    ratio = distance / (covalent_radii[numbers][:, None] + covalent_radii[numbers])
    # atoms bonded to the same one may be close: two iodines, say, or two silicons
    if ratio[bonds == 1].max() > BONDED or (ratio[bonds > 2] < APART).any():
        return "changed bonds"
    if distance.min() < CLOSEST:
        return "atoms too close"
    if "." in candidate.smiles and loosest(candidate, distance) > CONTACT:
        return "no contact"
    return ""


def loosest(candidate: Candidate, distance: np.ndarray) -> float:
    """Weakest of the contacts that hold a complex together: distance by sum of the radii."""
    numbers = candidate.numbers
    ratio = distance / (RADII[numbers][:, None] + RADII[numbers])
    parts = [list(part) for part in Chem.GetMolFrags(with_hydrogens(candidate.smiles))]
    joined, worst = parts.pop(0), 0.0
    while parts:
        nearest = [ratio[np.ix_(joined, part)].min() for part in parts]
        worst = max(worst, min(nearest))
        joined = joined + parts.pop(int(np.argmin(nearest)))
    return float(worst)


def relaxed(every: Iterator[Candidate], log: Path, minutes: float) -> Iterator[tuple]:
    """Each candidate with its relaxed positions and gap; those not in `log` while time is left."""
    done = {e["key"]: (np.array(e["positions"]), e["gap"]) for e in read_log(log)}
    spent = 0.0
    with log.open("a") as file:
        for candidate in every:
            if candidate.key not in done:
                if spent >= 60 * minutes:
                    continue
                began = time.perf_counter()
                geometry = candidate.numbers.tolist(), candidate.positions
                positions, gap = relax(geometry, candidate.charge)
                seconds = time.perf_counter() - began
                spent += seconds
                done[candidate.key] = positions.round(5), round(gap, 3)
                entry = {
                    "key": candidate.key,
                    "gap": done[candidate.key][1],
                    "seconds": round(seconds, 2),
                    "positions": done[candidate.key][0].tolist(),
                }
                file.write(json.dumps(entry) + "\n")
                file.flush()
            yield candidate, *done[candidate.key]


def sound(
    first: list[Structure], outcomes: Iterator[tuple], tally: Counter
) -> Iterator[tuple[Candidate, np.ndarray]]:
    """Relaxed structures that are kept: sound ones, each once."""
    prints: dict[str, list[np.ndarray]] = {}
    for one in first:
        prints.setdefault(one.smiles, []).append(fingerprint(one.numbers, one.positions))
    for candidate, positions, gap in outcomes:
        why = fault(candidate, positions, gap)
        before = prints.setdefault(candidate.smiles, [])
        own = fingerprint(candidate.numbers, positions)
        if not why and is_duplicate(own, before, SAME):
            why = "repeat"
        tally[candidate.group, why or "kept"] += 1
        if not why:
            before.append(own)
            yield candidate, positions


def interleaved(first: list[Structure], added: list[tuple[str, Structure]]) -> list[Structure]:
    """The smallest ones, then the rest of each group evenly along the file, in its order.

    Beyond `MOST` structures the last of each group are left out, none of the first edition.
    """
    ahead = set(smallest())
    groups: dict[tuple[str, str], list[Structure]] = {}
    for group, one in added:
        groups.setdefault((group, rarest(one)), []).append(one)
    taken = [of_one[: AT_MOST.get(group)] for (group, _), of_one in groups.items()]
    new = evenly(taken)[: MOST - len(first)]
    small = [is_small(one) for one in new]
    return evenly(
        [
            [one for one in first if one.smiles in ahead],
            [one for one, early in zip(new, small, strict=True) if early],
        ]
    ) + evenly(
        [
            [one for one in first if one.smiles not in ahead],
            [one for one, early in zip(new, small, strict=True) if not early],
        ]
    )


def is_small(one: Structure) -> bool:
    """Return whether a structure stands ahead of the others: one molecule of two heavy atoms."""
    return "complex" not in one.kind and (one.numbers > 1).sum() <= SMALL


def rarest(one: Structure) -> str:
    """The rarest element of those that the first edition lacks; empty for none of them."""
    return next((symbol for symbol, z in RARE.items() if z in one.numbers), "")


def evenly(lists: list[list[Structure]]) -> list[Structure]:
    """Merge lists so that any first part holds the same share of each."""
    placed = [((k + 0.5) / len(one), item) for one in lists for k, item in enumerate(one)]
    return [item for _, item in sorted(placed, key=lambda pair: pair[0])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for what can be resumed")
    parser.add_argument("--reuse", type=Path, required=True, help="the first edition's file")
    parser.add_argument("--out", type=Path, required=True, help="file to be written")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of relaxing")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.reuse.resolve() == arguments.out.resolve():
        parser.error("--reuse and --out name the same file: keep a copy of the older one")
    RDLogger.DisableLog("rdApp.*")
    arguments.work.mkdir(parents=True, exist_ok=True)
    first = read(arguments.reuse)
    wanted = every_plan({one.smiles for one in first}, arguments.seed)
    every = candidates(wanted, arguments.seed, arguments.work / "starts.jsonl")
    tally: Counter = Counter()
    outcomes = relaxed(every, arguments.work / "second.jsonl", arguments.minutes)
    kept = list(sound(first, outcomes, tally))
    kept.sort(key=lambda pair: pair[0].rank)  # further conformers and minima come last
    added = [
        (one.group, Structure(one.smiles, one.numbers, positions, one.charge, one.kind))
        for one, positions in kept
    ]
    for (group, why), count in sorted(tally.items()):
        print(f"{group:30} {why:20} {count}")
    final = interleaved(first, added)
    write(final, arguments.seed, arguments.out)
    new = len(final) - len(first)
    print(f"sound: {len(added)}; written: {len(final)} structures, {new} of them new")


if __name__ == "__main__":
    main()
