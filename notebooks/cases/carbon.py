"""Carbon designed by its database: random cells relaxed to graphite, to diamond, or to the nearest
carbon of low energy. The case of the paper's Fig. 6."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.geometry import cellpar_to_cell
from ase.neighborlist import neighbor_list
from ase.units import _amu

from cases import data
from cases.energies import chgnet_energy
from cases.polymorphs import (
    BOND,
    WINDOW,
    coordination,
    descriptor,
    kind,
    known_carbon,
    name_of,
    named,
)
from losiko_torch import Density, EnvironmentDatabase, Result, relax

#: Density of 1 amu/A^3, g/cm3.
GRAMS = _amu * 1e27
#: Random cells: atoms, density (g/cm3), smallest distance (A). The counts are even, as graphene and
#: diamond have two atoms a cell: no odd number of atoms makes a perfect one of either.
COUNTS, DENSITIES, APART = (6, 8, 10, 12), (3.7, 4.2), 1.2
STARTS, SEED = 300, 0
#: Noisy copies of a structure in each search of ``searched``, and their noise (A).
COPIES, START_NOISE = 8, 0.5
#: Wider descriptor, which ``searched`` searches with: r_cut and sigma (A).
WIDER = (3.0, 0.3)
#: Weights of all references but the favoured ones, and kT (eV) of the Boltzmann weights.
BIASES, KT = (1.0, 0.3, 0.1, 0.0), 0.1
#: Target densities (g/cm3), and the stiffness of their penalty, (g/cm3)^-2.
TARGETS, STIFFNESS = (2.0, 2.4, 2.8, 3.2, 3.6), 10.0
#: How far above graphite (eV/atom, CHGNet) a result may lie to count as low: diamond is at 0.12.
LOW = 0.15
#: Starts of the full table, where not all are used: for the combined database, for each bias, for
#: each target density.
FULL_WEIGHTED, FULL_BIASED, FULL_TARGETED = 60, 40, 3


def density(atoms: Atoms) -> float:
    """Mass density, g/cm3."""
    return float(atoms.get_masses().sum() * GRAMS / atoms.get_volume())


def random_cells(count: int, seed: int = SEED) -> list[Atoms]:
    """Random carbon in cells of random shape; a smaller count gives the first of the same cells."""
    rng = np.random.default_rng(seed)
    return [_random_cell(rng) for _ in range(count)]


def _random_cell(rng: np.random.Generator) -> Atoms:
    count = int(rng.choice(COUNTS))
    weight = Atoms("C").get_masses().sum() * GRAMS
    volume = count * weight / rng.uniform(*DENSITIES)
    while True:
        angles = rng.uniform(60, 120, 3)
        if angles.sum() > 350 or 2 * angles.max() > angles.sum() - 10:
            continue
        cell = cellpar_to_cell([*rng.uniform(0.7, 1.4, 3), *angles])
        size = np.linalg.det(cell)
        if size < 0.3:  # flat
            continue
        cell *= (volume / size) ** (1 / 3)
        placed = _placed(rng, cell, count)
        if placed is not None:
            return Atoms(["C"] * count, placed @ cell, cell=cell, pbc=True)


def _placed(rng: np.random.Generator, cell: np.ndarray, count: int) -> np.ndarray | None:
    """Random fractional coordinates (count, 3), ``APART`` from each other; None means no fit."""
    images = np.array(list(np.ndindex(5, 5, 5))) - 2
    x = rng.random((1, 3))
    for trial in rng.random((1000, 3)):
        apart = trial - x
        apart -= np.round(apart)
        if np.linalg.norm((apart[:, None] + images) @ cell, axis=2).min() >= APART:
            x = np.vstack([x, trial])
            if len(x) == count:
                return x
    return None


def combined_carbon(known: Sequence[Atoms]) -> list[Atoms]:
    """Carbon within ``WINDOW``: ``known``, and the structures of random search at 10 GPa.

    ``info["above_graphite"]`` is the energy above graphite, eV/atom. Known carbon has its energy
    above the hull there. The lowest structure of the search is diamond: it has that of diamond,
    and the others follow by their differences from it.
    """
    found = data.random_search_carbon()
    lowest = min(atoms.info.get("energy_per_atom", 0.0) for atoms in found)
    diamond = named(known, "diamond").info["e_above_hull"]
    for atoms in known:
        atoms.info["above_graphite"] = atoms.info["e_above_hull"]
    low = []
    for atoms in found:
        above = atoms.info.get("energy_per_atom", lowest) - lowest
        if above <= WINDOW:
            atoms.info["above_graphite"] = diamond + above
            low.append(atoms)
    return [*known, *low]


def favour(name: str, others: float) -> Callable[[dict], float]:
    """Function from a reference's record to its weight: 1 for the crystal ``name``."""
    return lambda record: 1.0 if name_of(record["material_id"]) == name else others


def boltzmann(record: dict) -> float:
    """Weight exp(-E/kT) of a reference from its record, E its energy above graphite."""
    return float(np.exp(-record["above_graphite"] / KT))


def searched(
    starts: Sequence[Atoms],
    first: EnvironmentDatabase,
    wider: EnvironmentDatabase,
    copies: int = COPIES,
) -> list[Result]:
    """Relax, search twice with a wider descriptor, and relax again.

    A search relaxes noisy copies of each structure and keeps the best one. Both databases hold the
    same structures.
    """
    found = relax(starts, first, cell=True, targets="nearest")
    for seed in (1, 2):
        found = relax(
            [result.atoms for result in found],
            wider,
            cell=True,
            targets="nearest",
            n_starts=copies,
            start_noise=START_NOISE,
            seed=seed,
        )
    return relax([result.atoms for result in found], first, cell=True, targets="nearest")


class Finding(NamedTuple):
    """A relaxed structure: density (g/cm3), shares of atoms with three and four neighbours, loss an
    atom, energy by CHGNet (eV/atom), and the name of the known carbon that it is ("" if none)."""

    density: float
    threefold: float
    fourfold: float
    loss: float
    energy: float
    kind: str


def finding(result: Result, energy: bool = True) -> Finding:
    atoms = result.atoms
    bonds = coordination(atoms)
    per_atom = chgnet_energy(atoms) / len(atoms) if energy else np.nan
    return Finding(
        density(atoms),
        float(np.mean(bonds == 3)),
        float(np.mean(bonds == 4)),
        result.loss / len(atoms),
        per_atom,
        kind(atoms),
    )


def upright(atoms: Atoms) -> Atoms:
    """Copy turned so that z is the direction in which its bonds reach least: across layers."""
    first, vectors = neighbor_list("iD", atoms, BOND)
    turned = atoms.copy()
    if len(first):
        turned.rotate(np.linalg.svd(vectors)[2][2], "z", rotate_cell=True)
    return turned


def with_density(
    starts: Sequence[Atoms], database: EnvironmentDatabase, target: float, steps: int = 300
) -> list[Result]:
    """Relax positions and cells in batches on the loss with a penalty on the density."""
    penalty = Density(target, STIFFNESS)
    return relax(
        starts,
        database,
        targets="nearest",
        cell=True,
        terms=[penalty],
        optimizer="fire",
        fmax=0.01,
        max_steps=steps,
    )


def shares(findings: Sequence[Finding]) -> dict[str, float]:
    """Shares of each known carbon among all results, the most frequent first."""
    counts = Counter(found.kind for found in findings if found.kind)
    return {name: count / len(findings) for name, count in counts.most_common()}


def graphite_energy() -> float:
    """Energy of graphite by CHGNet, eV/atom."""
    graphite = named(known_carbon(), "graphite")
    return chgnet_energy(graphite) / len(graphite)


def row(label: str, findings: Sequence[Finding], graphite: float) -> list[str]:
    """Cells of a row of the table: densities, coordination, recognised carbon, and energies."""
    densities = [found.density for found in findings]
    above = np.array([found.energy for found in findings]) - graphite
    recognised = ", ".join(f"{name} {100 * s:.0f} %" for name, s in shares(findings).items())
    best = findings[int(np.nanargmin(above))]
    return [
        label,
        str(len(findings)),
        "{:.2f} to {:.2f} to {:.2f}".format(*np.percentile(densities, [5, 50, 95])),
        f"{100 * np.mean([found.threefold == 1 for found in findings]):.0f} %",
        f"{100 * np.mean([found.fourfold == 1 for found in findings]):.0f} %",
        recognised or "none",
        f"{np.nanmin(above):.3f} ({best.kind or 'not recognised'})",
        f"{np.nanmedian(above):.2f}",
        f"{100 * np.mean(above <= LOW):.0f} %",
    ]


HEADINGS = (
    "database, run",
    "starts",
    "density (g/cm3): 5 %, median, 95 %",
    "all atoms threefold",
    "all fourfold",
    "recognised",
    "lowest energy above graphite (eV/atom)",
    "median",
    f"within {LOW} eV/atom",
)


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table() -> str:
    """Full-size results in markdown, by database, by bias of weights and by target density."""
    known = known_carbon()
    contents = {
        "graphite": [named(known, "graphite")],
        "diamond": [named(known, "diamond")],
        "combined": combined_carbon(known),
    }
    narrow = {n: EnvironmentDatabase.build(held, descriptor()) for n, held in contents.items()}
    wide = {n: EnvironmentDatabase.build(held, descriptor(*WIDER)) for n, held in contents.items()}
    starts, graphite = random_cells(STARTS), graphite_energy()

    def told(label: str, results: Sequence[Result]) -> list[str]:
        return row(label, [finding(result) for result in results], graphite)

    rows, paper = [], {}
    for name, database in narrow.items():
        paper[name] = relax(starts, database, cell=True, targets="nearest")
        rows.append(told(f"{name}, one call", paper[name]))
    for name in ("graphite", "diamond"):
        rows.append(told(f"{name}, searched", searched(starts, narrow[name], wide[name])))
    few = starts[:FULL_WEIGHTED]
    for label, weights in (("combined", None), ("combined, Boltzmann weights", boltzmann)):
        both = [databases["combined"].weighted(weights) for databases in (narrow, wide)]
        rows.append(told(f"{label}, searched", searched(few, *both)))
    few = starts[:FULL_BIASED]
    for name in ("graphite", "diamond"):
        for others in BIASES:
            biased = narrow["combined"].weighted(favour(name, others))
            relaxed = relax(few, biased, cell=True, targets="nearest")
            rows.append(told(f"combined, all but {name} weigh {others:g}, one call", relaxed))
    aimed = [
        [name, f"{target:.1f}", *_aimed(paper[name][:FULL_TARGETED], narrow[name], target)]
        for name in ("graphite", "combined")
        for target in TARGETS
    ]
    headings = ("database", "target density (g/cm3)", "reached", "loss an atom", "without target")
    return f"{markdown(HEADINGS, rows)}\n\n{markdown(headings, aimed)}"


def _aimed(
    results: Sequence[Result], database: EnvironmentDatabase, target: float
) -> tuple[str, str, str]:
    moved = with_density([result.atoms for result in results], database, target)
    reached = np.mean([density(each.atoms) for each in moved])
    loss = np.mean([each.distances.sum() / len(each.atoms) for each in moved])
    before = np.mean([result.loss / len(result.atoms) for result in results])
    return f"{reached:.2f}", f"{loss:.4f}", f"{before:.4f}"
