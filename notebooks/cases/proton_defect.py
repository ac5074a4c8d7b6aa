"""A proton in place of a lithium ion in LiCoO2: starting structures, settings, measurements.

H replaces Li at the centre of six O, 2.1 Angstrom from each, and is to bind to one of them.
Energies are CHGNet's, in eV, of the whole cell (see ``cases.energies``). Settings were chosen by
CHGNet's energies as well, among more than 300 tried on this very defect. Other seeds end in the
same structure: they do not test the settings on another defect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import spglib
from ase import Atoms
from ase.geometry import find_mic

from cases.data import crystals
from cases.energies import chgnet_energy, chgnet_relaxed
from losiko_torch import SOAP, EnvironmentDatabase, Result, relax, within

SYSTEM, SPECIES = "Li-Co-O-H", ("H", "Li", "O", "Co")
#: LiCoO2 in the Materials Project, and the name of its stand-in.
HOST = ("mp-22526", "LiCoO2")
#: Largest energy above the hull of a reference crystal, eV per atom; and a wider limit, with a
#: crystal (mp-1276248) of O-H bonds of 1.05 Angstrom, which some starts then end up like.
HULL, WIDER_HULL = 0.1, 0.2
#: Conventional cells along a, b and c: 108 atoms.
REPEAT = (3, 3, 1)
#: SOAP of the paper's Table S1; of `losiko build` for crystals; and the best one here. The paper's
#: has no ``smooth_width``.
PAPER = {"r_cut": 4.0, "n_max": 4, "l_max": 2, "sigma": 0.7, "smooth_width": 0.5}
LIBRARY = {"r_cut": 3.5, "n_max": 8, "l_max": 6, "sigma": 0.35, "smooth_width": 0.5}
CHOSEN = {"r_cut": 3.0, "n_max": 8, "l_max": 6, "sigma": 0.4, "smooth_width": 0.5}
#: Options of the relaxations: H weighs three times in the loss. O within this distance of it
#: (Angstrom) moves along in the second call.
HOW: dict[str, Any] = {"targets": "nearest", "weights": {"H": 3.0}}
BOND = 1.3
#: Standard deviation (Angstrom) of the noise that moves H off the site, where symmetry leaves no
#: gradient. Settings were chosen on seeds 0 to 6 (the hull limit last, since seed 5 ends up like
#: mp-1276248), and are reported on others.
NOISE, CHOOSING, SEEDS = 0.1, range(7), range(7, 17)
#: Largest force (eV/Angstrom) at which CHGNet's relaxations end: of the defect, of the host, and of
#: the defect with its cell, where 0.05 would stop at a stress of 1 GPa already.
FMAX, HOST_FMAX, CELL_FMAX = 0.05, 0.005, 0.02


class Defect(NamedTuple):
    """A supercell with H on a lithium site.

    Attributes:
        atoms: The supercell. h: Index of H in it.
        octahedron: Vectors from the site to the six O around it, (6, 3), Angstrom.
    """

    atoms: Atoms
    h: int
    octahedron: np.ndarray

    @property
    def only_h(self) -> np.ndarray:
        mask = np.zeros(len(self.atoms), dtype=bool)
        mask[self.h] = True
        return mask

    def with_h_at(self, displacement: np.ndarray) -> Atoms:
        """Supercell with H moved off the site by a vector, Angstrom."""
        atoms = self.atoms.copy()
        atoms.positions[self.h] += displacement
        return atoms

    def off_site(self, seed: int) -> Atoms:
        """Supercell with H moved by N(0, ``NOISE``) in each direction."""
        return self.with_h_at(np.random.default_rng(seed).normal(0, NOISE, 3))


def host_cell(references: Sequence[Atoms]) -> Atoms:
    """The conventional hexagonal cell (12 atoms) of LiCoO2, taken from the references."""
    (found,) = (atoms for atoms in references if atoms.info.get("material_id") in HOST)
    cell = (found.cell.array, found.get_scaled_positions(), found.numbers)
    lattice, scaled, numbers = spglib.standardize_cell(cell, to_primitive=False)
    return Atoms(numbers, cell=lattice, scaled_positions=scaled, pbc=True)


def put_h(host: Atoms) -> Defect:
    """Put H in the place of the lithium that is nearest to the middle of the cell."""
    atoms = host.copy()
    lithium = np.flatnonzero(atoms.symbols == "Li")
    apart = atoms.positions[lithium] - atoms.cell.array.sum(axis=0) / 2
    h = int(lithium[np.linalg.norm(apart, axis=1).argmin()])
    atoms.numbers[h] = 1
    return Defect(atoms, h, _to_oxygen(atoms, h)[:6])


def build(references: Sequence[Atoms], soap: dict[str, Any]) -> EnvironmentDatabase:
    return EnvironmentDatabase.build(references, SOAP(species=SPECIES, periodic=True, **soap))


def bound(defect: Defect, starts: list[Atoms], database: EnvironmentDatabase) -> list[Result]:
    """Relax by LOSIKO: first H alone, then H and the O that it is bound to."""
    alone = relax(starts, database, movable=defect.only_h, **HOW)
    return relax([r.atoms for r in alone], database, movable=within(BOND, of=[defect.h]), **HOW)


def path(
    start: Atoms, database: EnvironmentDatabase, steps: Sequence[int], movable: Any
) -> list[Atoms]:
    """Structures of a relaxation after each of these numbers of evaluations of the loss."""
    return [relax(start, database, max_steps=n, movable=movable, **HOW)[0].atoms for n in steps]


def oxygen_distances(atoms: Atoms, h: int) -> np.ndarray:
    """Interatomic distances from H to each O, nearest first, Angstrom."""
    return np.linalg.norm(_to_oxygen(atoms, h), axis=1)


def neighbourhood(
    atoms: Atoms, defect: Defect, radius: float, elements: Sequence[str] = SPECIES
) -> tuple[Atoms, np.ndarray]:
    """Atoms of some elements that were within ``radius`` (Angstrom) of the site, and indices."""
    site = defect.atoms.positions[defect.h]
    before, apart = find_mic(defect.atoms.positions - site, defect.atoms.cell)
    near = np.flatnonzero((apart <= radius) & np.isin(list(atoms.symbols), elements))
    moved, _ = find_mic(atoms.positions[near] - defect.atoms.positions[near], atoms.cell)
    return Atoms(atoms.numbers[near], before[near] + moved), near


def positions_at_oxygen(defect: Defect, bond: float = 0.98) -> dict[str, Atoms]:
    """Starts of CHGNet's search for the fully relaxed cell: H bound to O in two directions.

    The six O around the site are equivalent, so that only the direction of the bond differs: to the
    site, and 60 degrees away from there, sideways in the layer.
    """
    to_oxygen = defect.octahedron[0]
    inward = -to_oxygen / np.linalg.norm(to_oxygen)
    sideways = np.cross(inward, [0, 0, 1.0])
    sideways /= np.linalg.norm(sideways)
    return {
        "bond towards the site": defect.with_h_at(to_oxygen + bond * inward),
        "bond turned by 60 degrees": defect.with_h_at(
            to_oxygen + bond * (0.5 * inward + np.sqrt(0.75) * sideways)
        ),
    }


def fully_relaxed(starts: dict[str, Atoms], steps: int = 300) -> dict[str, Atoms]:
    """Relax all atoms by CHGNet in the fixed cell; ``info["chgnet_energy"]`` is the energy, eV."""
    return {name: chgnet_relaxed(atoms, False, FMAX, steps) for name, atoms in starts.items()}


def lowest(relaxed: dict[str, Atoms]) -> Atoms:
    return min(relaxed.values(), key=lambda atoms: atoms.info["chgnet_energy"])


def settings(
    defect: Defect, start: Atoms, databases: dict[str, EnvironmentDatabase]
) -> list[tuple[str, str, Result]]:
    """Relax a start in several ways; return descriptor, options in words, and result of each."""
    rows = []
    for name, database in databases.items():
        plain = {
            "all atoms, nearest": {"targets": "nearest"},
            "all atoms, locally-linear": {},
            "all atoms and the cell, locally-linear": {"cell": True},
            "all atoms, annealed noise, locally-linear": {"noise": (0.02, 0.3, 3)},
            "all atoms, nearest, H x 3": HOW,
            "within 3.5 A of H, locally-linear": {"movable": within(3.5, of=[defect.h])},
            "H alone, nearest, H x 3": {"movable": defect.only_h, **HOW},
        }
        for what, options in plain.items():
            rows.append((name, what, relax(start, database, **options)[0]))
        rows.append(
            (name, "H, then H and its O, nearest, H x 3", bound(defect, [start], database)[0])
        )
    return rows


def table() -> str:
    """Full-size results in markdown."""
    references = crystals(SYSTEM, HULL)
    given = host_cell(references)
    own = chgnet_relaxed(given, cell=True, fmax=HOST_FMAX)
    databases = {
        "paper (4, 4, 2, 0.7)": build(references, PAPER),
        "library (3.5, 8, 6, 0.35)": build(references, LIBRARY),
        "chosen (3, 8, 6, 0.4)": build(references, CHOSEN),
    }
    chosen = databases["chosen (3, 8, 6, 0.4)"]
    parts, lines = [], []
    for name, cell in (("CHGNet's", own), ("Materials Project's", given)):
        defect = put_h(cell * REPEAT)
        results = bound(defect, [defect.off_site(seed) for seed in SEEDS], chosen)
        energies = np.array([chgnet_energy(result.atoms) for result in results])
        bonds = [oxygen_distances(result.atoms, defect.h)[0] for result in results]
        ends = {"what LOSIKO made of it": results[0].atoms}
        if cell is own:
            ends |= positions_at_oxygen(defect)
        relaxed = fully_relaxed(ends)
        best = lowest(relaxed)
        zero = best.info["chgnet_energy"]
        host = chgnet_energy(cell * REPEAT)
        host_relaxed = chgnet_relaxed(cell * REPEAT, False, FMAX).info["chgnet_energy"]
        excess, unrelaxed = energies - zero, chgnet_energy(defect.atoms) - zero
        lines.append(
            f"| {name} | {max(host - host_relaxed, 0.0):.2f} | {unrelaxed:.2f} | "
            f"{excess.mean():.2f} ({excess.min():.2f} to {excess.max():.2f}) | "
            f"{min(bonds):.3f} to {max(bonds):.3f} | "
            f"{oxygen_distances(best, defect.h)[0]:.3f} |"
        )
        if cell is own:
            parts.append(_other_numbers(defect, results, best, relaxed, databases))
    head = (
        f"H on a Li site of LiCoO2, {len(defect.atoms)} atoms; {len(references)} reference "
        f"crystals within {HULL} eV an atom of the hull. Energies by CHGNet, eV a cell, above the "
        f"fully relaxed defect in the same cell (fmax {FMAX} eV/A); LOSIKO: mean and range of "
        f"{len(SEEDS)} seeds.\n\n"
        "| host and its cell | host itself above its relaxed one | H at the Li site | "
        "relaxed by LOSIKO | O-H, LOSIKO (A) | O-H, CHGNet (A) |\n|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(lines) + "\n\n" + "\n\n".join(parts)


def _other_numbers(
    defect: Defect,
    results: list[Result],
    best: Atoms,
    relaxed: dict[str, Atoms],
    databases: dict[str, EnvironmentDatabase],
) -> str:
    """Sentences on the full relaxations, a free cell and other settings, in CHGNet's cell."""
    zero = best.info["chgnet_energy"]
    free = chgnet_relaxed(best, True, CELL_FMAX, 300)
    below = zero - free.info["chgnet_energy"]
    wider = build(crystals(SYSTEM, WIDER_HULL), CHOSEN)
    ends = bound(defect, [defect.off_site(seed) for seed in (*CHOOSING, *SEEDS)], wider)
    above = np.array([chgnet_energy(end.atoms) for end in ends]) - zero
    chosen_on, reported = np.split(above, [len(CHOOSING)])
    lines = [
        f"With references within {WIDER_HULL} eV an atom of the hull: mean "
        f"{reported.mean():.2f} eV ({reported.min():.2f} to {reported.max():.2f}) on the same "
        f"seeds, {chosen_on.mean():.2f} ({chosen_on.min():.2f} to {chosen_on.max():.2f}) on those "
        f"that settings were chosen on; above 0.4 eV: {(above > 0.4).sum()} of {len(above)}, with "
        f"a loss of {_losses(ends, above > 0.4)}; the others: {_losses(ends, above <= 0.4)}.\n",
        f"Fully relaxed with the cell free (fmax {CELL_FMAX}): {below:.3f} eV below that in the "
        f"host's cell; LOSIKO's is {below + chgnet_energy(results[0].atoms) - zero:.2f} eV above "
        "it.",
        "\n| CHGNet's relaxation starts from | eV above the lowest | O-H (A) |\n|---|---|---|",
    ]
    lines += [
        f"| {name} | {atoms.info['chgnet_energy'] - zero:.3f} | "
        f"{oxygen_distances(atoms, defect.h)[0]:.3f} |"
        for name, atoms in relaxed.items()
    ]
    lines.append(
        f"\nOther settings, seed {CHOOSING[0]} (descriptor: r_cut, n_max, l_max, sigma):\n\n"
        "| descriptor | moves | O-H (A) | eV above fully relaxed |\n|---|---|---|---|"
    )
    for name, what, result in settings(defect, defect.off_site(CHOOSING[0]), databases):
        energy = chgnet_energy(result.atoms) - zero
        distance = oxygen_distances(result.atoms, defect.h)[0]
        lines.append(f"| {name} | {what} | {distance:.2f} | {energy:.2f} |")
    return "\n".join(lines)


def _losses(results: list[Result], chosen: np.ndarray) -> str:
    values = sorted({f"{r.loss:.2f}" for r, yes in zip(results, chosen, strict=True) if yes})
    return ", ".join(values) or "none"


def _to_oxygen(atoms: Atoms, h: int) -> np.ndarray:
    """Vectors from H to each O, nearest first."""
    oxygen = atoms.positions[atoms.symbols == "O"] - atoms.positions[h]
    vectors, lengths = find_mic(oxygen, atoms.cell)
    return vectors[np.argsort(lengths, kind="stable")]
