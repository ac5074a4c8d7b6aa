"""Crystalline silicon joined to amorphous silica: starts, parameters, and counts of bonds.

A start is a Si(001) slab with a cell of glass laid on it, cut open at a height and moved sideways
by random numbers of its seed, then lowered until the nearest atoms across the seam overlap. Bonds
that the cut breaks stay open. The outer surfaces end in vacuum and stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.build import diamond100
from ase.constraints import FixAtoms
from ase.geometry import get_distances
from ase.neighborlist import neighbor_list

from cases.data import amorphous_silica, crystals
from cases.energies import chgnet_energy, chgnet_relaxed
from losiko_torch import SOAP, EnvironmentDatabase, Result, near_plane, relax

SILICON, OXYGEN = 14, 8
#: Silicon's cubic lattice constant (Angstrom); surface cells along x and y; layers along z.
LATTICE, ACROSS, LAYERS = 5.431, 3, 10
#: Gap between the periodic images along z, Angstrom.
VACUUM = 10.0
#: Distance of the nearest atoms across the seam of a start, Angstrom: they overlap.
CONTACT = 0.9
#: Height of the seam's plane above the topmost silicon layer, and distance from this plane within
#: which atoms move (Angstrom).
SEAM, REACH = 1.0, 5.0
#: Largest length of a bond, Angstrom.
BONDS = {("Si", "O"): 2.0, ("Si", "Si"): 2.7, ("O", "O"): 1.7}
#: Neighbours of an atom in good order.
WANTED = {SILICON: 4, OXYGEN: 2}

#: SOAP of the paper's Table S1, and the best one for crystals here (Angstrom).
PAPER_SOAP = {"r_cut": 4.0, "n_max": 8, "l_max": 6, "sigma": 0.25}
CRYSTAL_SOAP = {"r_cut": 3.5, "n_max": 8, "l_max": 6, "sigma": 0.35}
#: Largest energy above the hull (eV per atom) of references: silica and silicon; with suboxides.
SILICA_ONLY, WITH_SUBOXIDES = 0.1, 0.5
#: Larger crystals are left out of the database: zeolites, mostly.
MOST_ATOMS = 72
#: Seeds on which settings were chosen, one for each glass, and those that are reported.
CHOOSING, REPORTED = (100, 101, 102, 103), (0, 1, 2)
MAX_STEPS = 100
#: Relaxations by CHGNet, for comparison: largest force (eV/Angstrom) and FIRE's steps.
CHGNET_FMAX, CHGNET_STEPS = 0.1, 100


class Start(NamedTuple):
    """An interface before relaxation.

    Attributes:
        atoms: Silicon first, then the glass. n_silicon: Atoms of the slab.
        plane: Height of the seam, Angstrom.
        strain: Strain of the glass along x and y, as it is stretched onto the silicon.
    """

    atoms: Atoms
    n_silicon: int
    plane: float
    strain: tuple[float, float]

    @property
    def area(self) -> float:
        """Area of the interface, Angstrom^2."""
        return float(np.linalg.norm(np.cross(*self.atoms.cell.array[:2])))

    @property
    def moving(self) -> np.ndarray:
        return near_plane(REACH, "z", self.plane)(self.atoms)


class Counts(NamedTuple):
    """Bonds and coordination of an interface; means and shares are those of the moving atoms.

    Attributes:
        bonds: Number of Si-O bonds. across: Those between the slab and the glass's oxygen.
        silicon, oxygen: Mean coordination, Si-Si, Si-O and O-O bonds together.
        fourfold, twofold: Shares of silicon with four neighbours, and of oxygen with two.
        shortest: Shortest interatomic distance, Angstrom.
    """

    bonds: float
    across: float
    silicon: float
    oxygen: float
    fourfold: float
    twofold: float
    shortest: float


def upright(glass: Atoms, side: float) -> tuple[Atoms, tuple[float, float]]:
    """Stretch glass to a right cell with a square base at its density; also return the strain.

    The base is that of the three faces that needs least strain.
    """
    lengths = glass.cell.lengths()
    normal = min(range(3), key=lambda k: np.abs(np.log(np.delete(lengths, k) / side)).sum())
    order = [(normal + 1) % 3, (normal + 2) % 3, normal]
    cell = np.diag([side, side, glass.get_volume() / side**2])
    fitted = Atoms(
        glass.numbers, glass.get_scaled_positions()[:, order] @ cell, cell=cell, pbc=True
    )
    first, second = side / lengths[order[:2]] - 1
    return fitted, (float(first), float(second))


def cut_open(glass: Atoms, height: float) -> Atoms:
    """Cut glass at a height (a fraction of the cell), so that the cut is its lower end.

    Oxygen stays with the silicon above the cut: the lower end then has open bonds of oxygen, which
    the seam can close, and none of silicon.
    """
    atoms = glass.copy()
    scaled = atoms.get_scaled_positions()
    scaled[:, 2] = (scaled[:, 2] - height) % 1
    atoms.set_scaled_positions(scaled)
    i, j, shift = neighbor_list("ijS", atoms, {("Si", "O"): BONDS["Si", "O"]})
    down = (atoms.numbers[i] == SILICON) & (shift[:, 2] == -1)
    atoms.positions[np.unique(j[down]), 2] -= atoms.cell.array[2, 2]
    return atoms


def joined(glass: Atoms, seed: int, contact: float = CONTACT) -> Start:
    """Lay glass on a Si(001) slab, cut and moved sideways by random numbers of the seed."""
    slab = diamond100("Si", size=(ACROSS, ACROSS, LAYERS), a=LATTICE)
    slab.positions[:, 2] -= slab.positions[:, 2].min()
    side, top = slab.cell.array[0, 0], slab.positions[:, 2].max()
    height, *sideways = np.random.default_rng(seed).uniform(size=3)
    fitted, strain = upright(glass, side)
    upper = cut_open(fitted, height)
    upper.positions[:, :2] += np.array(sideways) * side
    upper.positions[:, 2] += top + contact - upper.positions[:, 2].min()
    surface = slab.positions[slab.positions[:, 2] > top - 3]

    def nearest() -> float:
        return get_distances(surface, upper.positions, slab.cell, [True, True, False])[1].min()

    while nearest() > contact + 0.05:
        upper.positions[:, 2] -= 0.05
    atoms = slab + upper
    atoms.set_cell([side, side, atoms.positions[:, 2].max() + VACUUM])
    atoms.pbc = True
    atoms.wrap()
    atoms.info = {}
    del atoms.arrays["tags"]
    return Start(atoms, len(slab), float(top + SEAM), strain)


def coordination(atoms: Atoms) -> np.ndarray:
    """Number of bonds of each atom."""
    return np.bincount(neighbor_list("i", atoms, BONDS), minlength=len(atoms))


def bond_lengths(atoms: Atoms, among: np.ndarray, first: int, second: int) -> np.ndarray:
    """Distances below 3.2 Angstrom of atoms of two elements, at least one in the mask ``among``."""
    i, j, d = neighbor_list("ijd", atoms, 3.2)
    chosen = (among[i] | among[j]) & (atoms.numbers[i] == first) & (atoms.numbers[j] == second)
    return d[chosen & (i < j)] if first == second else d[chosen]


def counts(start: Start, atoms: Atoms) -> Counts:
    """Count bonds and coordination of an interface, before or after its relaxation."""
    numbers, moves, neighbours = atoms.numbers, start.moving, coordination(atoms)
    i, j = neighbor_list("ij", atoms, BONDS)
    bond = (numbers[i] == SILICON) & (numbers[j] == OXYGEN)
    silicon = neighbours[moves & (numbers == SILICON)]
    oxygen = neighbours[moves & (numbers == OXYGEN)]
    return Counts(
        int(bond.sum()),
        int((bond & (i < start.n_silicon)).sum()),
        float(silicon.mean()),
        float(oxygen.mean()),
        float((silicon == WANTED[SILICON]).mean()),
        float((oxygen == WANTED[OXYGEN]).mean()),
        float(neighbor_list("d", atoms, 2.0).min()),
    )


def in_good_order(atoms: Atoms) -> Atoms:
    """Copy with ``losiko_weight`` 0 on atoms of wrong coordination: they are no references then."""
    marked = atoms.copy()
    wanted = np.array([WANTED[number] for number in atoms.numbers])
    marked.arrays["losiko_weight"] = (coordination(atoms) == wanted).astype(float)
    return marked


def references(hull: float, most_atoms: int = MOST_ATOMS) -> list[Atoms]:
    """Si-O crystals up to an energy above the hull (eV per atom), marked by ``in_good_order``."""
    marked = [in_good_order(a) for a in crystals("Si-O", hull) if len(a) <= most_atoms]
    return [atoms for atoms in marked if atoms.arrays["losiko_weight"].any()]


def database(structures: Sequence[Atoms], soap: dict[str, float]) -> EnvironmentDatabase:
    descriptor = SOAP(species=["Si", "O"], periodic=True, smooth_width=0.5, **soap)
    return EnvironmentDatabase.build(structures, descriptor)


def energy_per_area(start: Start, atoms: Atoms) -> float:
    """Energy by CHGNet per area of the interface, eV/Angstrom^2; only differences have meaning."""
    return chgnet_energy(atoms) / start.area


def by_chgnet(start: Start, steps: int = CHGNET_STEPS) -> Atoms:
    """Relax the moving atoms of a start by CHGNet's forces, the others fixed, for comparison."""
    atoms = start.atoms.copy()
    atoms.set_constraint(FixAtoms(mask=~start.moving))
    relaxed = chgnet_relaxed(atoms, cell=False, fmax=CHGNET_FMAX, steps=steps)
    relaxed.set_constraint()
    return relaxed


def relaxed(starts: Sequence[Start], references: EnvironmentDatabase, **options) -> list[Result]:
    """Relax starts, the atoms near the seam moving."""
    return relax(
        [start.atoms for start in starts],
        references,
        movable=[start.moving for start in starts],
        **{"max_steps": MAX_STEPS, **options},
    )


def summary(
    starts: Sequence[Start], atoms: Sequence[Atoms], energies: Sequence[float] | None = None
) -> str:
    """Mean counts as cells of a markdown row; ``energies`` (eV/Angstrom^2) are those of starts."""
    mean = Counts(*np.mean([counts(s, a) for s, a in zip(starts, atoms, strict=True)], axis=0))
    cells = [
        f"{mean.bonds:.1f}",
        f"{mean.across:.1f}",
        f"{mean.silicon:.2f}",
        f"{mean.oxygen:.2f}",
        f"{mean.fourfold:.0%}",
        f"{mean.twofold:.0%}",
        f"{mean.shortest:.2f}",
    ]
    if energies is not None:
        after = [energy_per_area(s, a) for s, a in zip(starts, atoms, strict=True)]
        change = np.subtract(after, energies)
        cells.append(f"{change.mean():+.2f} ({change.min():+.2f} to {change.max():+.2f})")
    return " | ".join(cells)


HEADINGS = (
    "| | Si-O bonds | across | Si neighbours | O neighbours | Si 4-fold | O 2-fold | "
    "shortest (A) | energy change (eV/A^2) |\n|---|---|---|---|---|---|---|---|---|"
)
#: The paper's noise, and weaker noise with steps in between: s0^2 (Angstrom^2), a, steps.
PAPER_NOISE, GENTLE_NOISE = (0.2, 0.05), (0.01, 0.3, 10)
#: Distance at which glass and slab just touch, Angstrom.
TOUCHING = 1.6


def table() -> str:
    """Full-size means in markdown: glasses and reported seeds; CHGNet's relaxation of one seed."""
    glasses = amorphous_silica()
    starts = [joined(glass, seed) for glass in glasses for seed in REPORTED]
    before = [energy_per_area(start, start.atoms) for start in starts]
    silica = database(references(SILICA_ONLY), PAPER_SOAP)
    suboxides = references(WITH_SUBOXIDES)
    sharp, ours = database(suboxides, PAPER_SOAP), database(suboxides, CRYSTAL_SOAP)
    apart = [joined(glass, seed, TOUCHING).atoms for glass in glasses for seed in REPORTED]
    rows = [
        ("start", [start.atoms for start in starts]),
        (f"start, {TOUCHING} A apart instead of {CONTACT}", apart),
    ]
    nearest = {"targets": "nearest"}
    for name, found, options in (
        ("silica only, Table S1, nearest", silica, nearest),
        ("the same with the paper's noise", silica, nearest | {"noise": PAPER_NOISE}),
        ("suboxides too, Table S1, nearest", sharp, nearest),
        ("suboxides too, crystal SOAP, nearest", ours, nearest),
        ("the same, locally-linear", ours, {}),
        ("the same with gentle noise", ours, {"noise": GENTLE_NOISE}),
    ):
        rows.append((name, [r.atoms for r in relaxed(starts, found, **options)]))
    best = rows[-2][1]
    lines = [f"{len(starts)} interfaces: {len(glasses)} glasses, seeds {REPORTED}.", "", HEADINGS]
    lines += [f"| {name} | {summary(starts, atoms, before)} |" for name, atoms in rows]

    first = slice(0, None, len(REPORTED))
    starts, before, best = starts[first], before[first], best[first]
    yardstick = [by_chgnet(start) for start in starts]
    informed = [
        relaxed([start], with_interfaces(suboxides, yardstick, k))[0].atoms
        for k, start in enumerate(starts)
    ]
    lines += ["", f"The {len(starts)} of them with seed {REPORTED[0]}.", "", HEADINGS]
    lines += [
        f"| {name} | {summary(starts, atoms, before)} |"
        for name, atoms in (
            ("start", [start.atoms for start in starts]),
            ("suboxides too, crystal SOAP, locally-linear", best),
            ("the same, with CHGNet's interfaces of the other glasses", informed),
            (f"CHGNet, {CHGNET_STEPS} steps", yardstick),
        )
    ]
    return "\n".join([*lines, "", f"Strain of the glasses: {strains(starts)}."])


def with_interfaces(
    crystals: Sequence[Atoms], interfaces: Sequence[Atoms], without: int
) -> EnvironmentDatabase:
    """Database of crystals, and of the atoms in good order of relaxed interfaces, but for one."""
    others = [in_good_order(a) for k, a in enumerate(interfaces) if k != without]
    return database([*crystals, *others], CRYSTAL_SOAP)


def strains(starts: Sequence[Start]) -> str:
    return ", ".join(f"{x:+.1%} and {y:+.1%}" for x, y in (start.strain for start in starts))


def around_seam(start: Start, atoms: Atoms, reach: float = 8.0) -> tuple[Atoms, np.ndarray]:
    """Atoms within ``reach`` (Angstrom) of the seam in the start, for a picture, and their mask."""
    shown = np.abs(start.atoms.positions[:, 2] - start.plane) <= reach
    part = atoms[shown]
    part.positions[:, 2] -= start.plane - reach
    part.set_cell([*atoms.cell.lengths()[:2], 2 * reach])
    return part, shown
