"""Water from a database of one molecule (the paper's Fig. 3): surfaces, random starts, energies.

Lengths in Angstrom, angles in degrees, energies in eV.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from cases.energies import xtb_energy
from cases.in_turn import relax_in_turn
from cases.loss_surfaces import minima, surface
from losiko_torch import SOAP, EnvironmentDatabase, Result, relax

#: The reference's geometry: that of the free molecule at equilibrium, from spectroscopy.
BOND, ANGLE = 0.9572, 104.52
#: The paper's descriptor (its Table S1), and the sigma of the wide one tried before it.
PAPER = {"r_cut": 4.0, "n_max": 4, "l_max": 4, "sigma": 0.25}
WIDE = 1.0
#: Options of relaxations; float64, as the loss is to fall to zero and not to float32's rounding.
RELAX = {"targets": "nearest", "dtype": "float64", "fmax": 1e-3}
#: Nelder-Mead uses no gradient, so it has no fmax.
NELDER_MEAD = {"targets": "nearest", "dtype": "float64", "optimizer": "nelder-mead"}
#: The paper's noise, (s0^2 in Angstrom^2, alpha), and a gentler one with steps in between.
PAPER_NOISE, SPACED_NOISE = (0.2, 0.05), (0.1, 0.3, 10)
#: Copies of each start, and the noise (Angstrom) that tells them apart.
COPIES = {"n_starts": 16, "start_noise": 0.4}

#: A structure is water if its loss, bonds and angle are within these of the reference's.
LOSS_LIMIT, BOND_LIMIT, ANGLE_LIMIT = 1e-4, 0.005, 0.5
#: Random starts: the edge of their box, and the smallest interatomic distance.
EDGE, LEAST = 2.0, 0.3
#: Seeds of the random starts on which the settings above were chosen, and of those reported.
CHOOSING_SEEDS, REPORTING_SEEDS = (1, 2, 3), (11, 12, 13, 14, 15)
#: Number of starts for Nelder-Mead with noise, which takes seconds for each.
SLOW = 25
#: Energy that counts as a rise from one step to the next, eV.
RISE = 0.01


def water() -> Atoms:
    """The reference: O at the origin, the molecule in the xy plane, symmetric about the y axis."""
    half = np.radians(ANGLE / 2)
    x, y = BOND * np.sin(half), BOND * np.cos(half)
    return Atoms("OH2", [[0, 0, 0], [x, y, 0], [-x, y, 0]])


def database_of(reference: Atoms, sigma: float = PAPER["sigma"]) -> EnvironmentDatabase:
    """Database of the reference's three environments, with the paper's descriptor of this sigma."""
    soap = SOAP(species=["H", "O"], **{**PAPER, "sigma": sigma})
    return EnvironmentDatabase.build([reference], soap)


def random_starts(count: int, seed: int, edge: float = EDGE) -> list[Atoms]:
    """Random starts: O, H, H in a cubic box, drawn anew where two are nearer than ``LEAST``."""
    rng = np.random.default_rng(seed)
    starts: list[Atoms] = []
    while len(starts) < count:
        atoms = Atoms("OH2", rng.uniform(0, edge, (3, 3)))
        if atoms.get_all_distances()[np.triu_indices(3, 1)].min() >= LEAST:
            starts.append(atoms)
    return starts


class Geometry(NamedTuple):
    """Geometry of O, H, H: both O-H distances, the H-O-H angle, the H-H distance."""

    first: float
    second: float
    angle: float
    apart: float


def geometry(atoms: Atoms) -> Geometry:
    first, second, apart = (float(atoms.get_distance(*pair)) for pair in ((0, 1), (0, 2), (1, 2)))
    return Geometry(first, second, float(atoms.get_angle(1, 0, 2)), apart)


def is_water(result: Result) -> bool:
    """Return whether loss and geometry are those of the reference, within the limits above."""
    if not result.loss < LOSS_LIMIT:
        return False
    found = geometry(result.atoms)
    bonds = max(abs(found.first - BOND), abs(found.second - BOND))
    return bonds <= BOND_LIMIT and abs(found.angle - ANGLE) <= ANGLE_LIMIT


def kind(result: Result) -> str:
    """Name of what a relaxation ended as, such as "water"."""
    if is_water(result):
        return "water"
    found = geometry(result.atoms)
    if found.apart < LEAST:
        return "H on H"
    if min(found.first, found.second) > 1.5:
        return "no O-H bond"
    if found.apart < 2:
        return "H behind H"
    return "OH, and H far away"


def evaluations(result: Result) -> int:
    """Number of evaluations of the loss, in all copies together."""
    return sum(copy.n_steps for copy in result.starts) or result.n_steps


def two_hydrogens() -> Atoms:
    """The reference, with the middle of its H atoms at the origin."""
    atoms = water()
    atoms.positions -= atoms.positions[1:].mean(axis=0)
    return atoms


def one_bond() -> Atoms:
    """The reference, turned so that the bond of O to the first H lies along x."""
    atoms = water()
    atoms.rotate(atoms.positions[1], "x")
    return atoms


# From random starts


def wide_first(
    starts: Sequence[Atoms], wide: EnvironmentDatabase, sharp: EnvironmentDatabase
) -> list[Result]:
    """Relax with the wide, then with the sharp descriptor; evaluations are those of both."""
    return relax_in_turn(starts, wide, sharp, RELAX, RELAX)


class Share(NamedTuple):
    """Share of random starts that became water, and its cost.

    Attributes:
        found: Share of each set of starts, %.
        evaluations: Mean number of evaluations of a start.
        milliseconds: Mean CPU time of a start.
    """

    found: list[float]
    evaluations: float
    milliseconds: float


def share(how: Callable[[list[Atoms]], list[Result]], sets: Sequence[list[Atoms]]) -> Share:
    """Relax sets of starts in one way and measure the share that becomes water."""
    began = time.process_time()
    results = [how(starts) for starts in sets]
    seconds = time.process_time() - began
    counted = [evaluations(result) for some in results for result in some]
    found = [100 * float(np.mean([is_water(result) for result in some])) for some in results]
    return Share(found, float(np.mean(counted)), 1e3 * seconds / len(counted))


def ways(
    sharp: EnvironmentDatabase, wide: EnvironmentDatabase
) -> dict[str, Callable[[list[Atoms]], list[Result]]]:
    """Ways to relax in batches by L-BFGS, by name."""

    def plain(database: EnvironmentDatabase = sharp, **options: Any):
        return lambda starts: relax(starts, database, **RELAX, **options)

    return {
        "nearest as it is": plain(),
        f"the paper's noise {PAPER_NOISE}": plain(noise=PAPER_NOISE),
        f"noise {SPACED_NOISE}": plain(noise=SPACED_NOISE),
        f"best of {COPIES['n_starts']} copies": plain(**COPIES),
        f"sigma {WIDE:g} A alone": plain(wide),
        f"sigma {WIDE:g} A, then {PAPER['sigma']:g} A": lambda starts: wide_first(
            starts, wide, sharp
        ),
    }


def by_edge(
    sharp: EnvironmentDatabase, wide: EnvironmentDatabase
) -> dict[str, Callable[[list[Atoms]], list[Result]]]:
    """Subset of ``ways`` to relax that is tried on boxes of other sizes."""
    plain, noise, _, copies, _, both = ways(sharp, wide).items()
    return dict([plain, noise, copies, both])


def nelder_mead(
    sharp: EnvironmentDatabase,
) -> dict[str, Callable[[list[Atoms]], list[Result]]]:
    """The paper's optimizer, without and with the paper's noise."""
    return {
        "Nelder-Mead": lambda starts: relax(starts, sharp, **NELDER_MEAD),
        f"Nelder-Mead, the paper's noise {PAPER_NOISE}": lambda starts: relax(
            starts, sharp, noise=PAPER_NOISE, **NELDER_MEAD
        ),
    }


# Energies along the way


class Path(NamedTuple):
    """A relaxation step by step.

    Attributes:
        results: Results after 1, 2, 3... evaluations of the loss; the first is the start.
        energies: Energies by GFN2-xTB above that of the reference, eV.
    """

    results: list[Result]
    energies: np.ndarray

    @property
    def losses(self) -> np.ndarray:
        return np.array([result.loss for result in self.results])

    @property
    def rises(self) -> bool:
        """Return whether the energy goes up by more than ``RISE`` at any step."""
        return self.climb > RISE

    @property
    def climb(self) -> float:
        """The largest rise of the energy in one step, eV."""
        return float(np.nanmax(np.diff(self.energies), initial=0.0))


def stages(of: Path) -> list[int]:
    """Indices of results to show: start, before and after the steepest rise, between, end."""
    last = len(of.results) - 1
    before = int(np.nanargmax(np.diff(of.energies)))
    return sorted({0, before, before + 1, (before + 1 + last) // 2, last})


def paths(starts: Sequence[Atoms], database: EnvironmentDatabase) -> list[Path]:
    """Paths of the starts' relaxations, each repeated with one more evaluation at a time."""
    wholes = relax(starts, database, **RELAX)
    results: list[list[Result]] = [[] for _ in starts]
    for steps in range(1, max(whole.n_steps for whole in wholes) + 1):
        going = [k for k, whole in enumerate(wholes) if whole.n_steps >= steps]
        ended = relax([starts[k] for k in going], database, max_steps=steps, **RELAX)
        for k, result in zip(going, ended, strict=True):
            results[k].append(result)
    zero = xtb_energy(water())
    return [
        Path(some, np.array([xtb_energy(result.atoms) - zero for result in some]))
        for some in results
    ]


# The table


def table() -> str:
    """Full-size results in markdown."""
    sharp, wide = database_of(water()), database_of(water(), WIDE)
    sets = [random_starts(100, seed) for seed in REPORTING_SEEDS]
    relax(sets[0][:2], sharp, **RELAX)  # kernels are compiled before anything is timed
    return "\n\n".join(
        [_surfaces(sharp, wide), _shares(sharp, wide, sets), _edges(sharp, wide), _energies(sharp)]
    )


def _surfaces(sharp: EnvironmentDatabase, wide: EnvironmentDatabase) -> str:
    lines = [
        "| moves | sigma (A) | minima of loss < 1e-4 | O-H (A) | angle (deg) | other minima |",
        "|---|---|---|---|---|---|",
    ]
    for what, fixed, moving in (("O", two_hydrogens(), 0), ("H", one_bond(), 2)):
        for sigma, database in ((PAPER["sigma"], sharp), (WIDE, wide)):
            found = minima(database, surface(database, fixed, moving, half=3.0, points=121))
            low = [geometry(result.atoms) for result in found if result.loss < LOSS_LIMIT]
            bonds = ", ".join(f"{each.second:.4f}" for each in low)
            angles = ", ".join(f"{each.angle:.2f}" for each in low)
            others = [
                f"{kind(result)}, loss {result.loss:.3f}"
                for result in found
                if result.loss >= LOSS_LIMIT
            ]
            rest = "; ".join(f"{others.count(each)} x {each}" for each in dict.fromkeys(others))
            lines.append(
                f"| {what} | {sigma} | {len(low)} | {bonds} | {angles} | {rest or 'none'} |"
            )
    return "\n".join(lines)


def _shares(
    sharp: EnvironmentDatabase, wide: EnvironmentDatabase, sets: Sequence[list[Atoms]]
) -> str:
    lines = [
        f"Random starts in a box of {EDGE} A that became water (loss < {LOSS_LIMIT:g}, O-H within "
        f"{BOND_LIMIT} A, angle within {ANGLE_LIMIT} degrees), in sets of 100.\n",
        "| how | starts | water | worst set | evaluations | CPU time (ms) |",
        "|---|---|---|---|---|---|",
    ]
    compared = [(name, how, sets) for name, how in ways(sharp, wide).items()]
    alone, noisy = nelder_mead(sharp).items()
    compared += [(*alone, sets[:1]), (*noisy, [sets[0][:SLOW]])]
    for name, how, some in compared:
        got = share(how, some)
        lines.append(
            f"| {name} | {sum(map(len, some))} | {np.mean(got.found):.1f} % | "
            f"{min(got.found):.0f} % | {got.evaluations:.0f} | {got.milliseconds:.0f} |"
        )
    plain = [result for starts in sets for result in relax(starts, sharp, **RELAX)]
    kinds = [kind(result) for result in plain]
    counted = sorted(dict.fromkeys(kinds), key=kinds.count, reverse=True)
    ends = ", ".join(f"{kinds.count(each)} {each}" for each in counted)
    return "\n".join([*lines, f"\nWhat the {len(kinds)} of nearest as it is ended as: {ends}."])


def _edges(sharp: EnvironmentDatabase, wide: EnvironmentDatabase) -> str:
    edges = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
    lines = [
        "Share of 100 that became water, by the edge of the box.\n",
        "| how | " + " | ".join(f"{edge} A" for edge in edges) + " |",
        "|---" * (len(edges) + 1) + "|",
    ]
    for name, how in by_edge(sharp, wide).items():
        shares = [
            share(how, [random_starts(100, REPORTING_SEEDS[0], edge)]).found[0] for edge in edges
        ]
        lines.append(f"| {name} | " + " | ".join(f"{each:.0f} %" for each in shares) + " |")
    return "\n".join(lines)


def _energies(sharp: EnvironmentDatabase) -> str:
    every = paths(random_starts(100, REPORTING_SEEDS[0]), sharp)
    lines = [
        "GFN2-xTB energy along the paths of nearest as it is, 100 starts.\n",
        f"| end | paths | energy rises by more than {RISE} eV at some step | loss ever rises |",
        "|---|---|---|---|",
    ]
    for name, chosen in (
        ("water", [each for each in every if is_water(each.results[-1])]),
        ("not water", [each for each in every if not is_water(each.results[-1])]),
    ):
        rising = sum(each.rises for each in chosen)
        worse = sum(bool((np.diff(each.losses) > 0).any()) for each in chosen)
        lines.append(f"| {name} | {len(chosen)} | {rising} | {worse} |")
    return "\n".join(lines)
