"""Distort real molecules, relax them with the built-in database, and show what happened.

    python examples/demo.py [OUTPUT_FOLDER]

The molecules are those of ASE's g2 set with three or more heavy atoms of C, N, O, F, S and Cl
(their geometries: MP2/6-31G(d), from Curtiss et al., J. Chem. Phys. 106, 1063, 1997); no structure
of the database was taken from them.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from rich.console import Console
from rich.table import Table

from losiko_torch import default_database, relax
from losiko_torch.systems.geometry import bond_errors, rmsd

NOISE = 0.1
SHOWN = 16


def real_molecules():
    """Neutral closed-shell molecules of g2 that the built-in database is about."""
    for name in g2.names:
        atoms = molecule(name)
        heavy = (atoms.numbers > 1).sum()
        known = set(atoms.symbols) <= {"H", "C", "N", "O", "F", "S", "Cl"}
        radical = atoms.get_initial_magnetic_moments().any()
        if heavy >= 3 and known and not radical:
            atoms.info["name"] = name
            yield atoms


def guanidinium() -> Atoms:
    """The ion C(NH2)3+, planar, with C-N of 1.33 and N-H of 1.01 A."""
    atoms = Atoms("C")
    for k in range(3):
        along = np.array([np.cos(2 * np.pi * k / 3), np.sin(2 * np.pi * k / 3), 0])
        across = np.array([-along[1], along[0], 0])
        arms = [1.33 * along + 1.01 * (along / 2 + side * across * 0.75**0.5) for side in (1, -1)]
        atoms += Atoms("NHH", [1.33 * along, *arms])
    atoms.info["charge"] = 1
    return atoms


def acid_dimer() -> Atoms:
    """The dimer of formic acid: two molecules about a center of inversion, H...O of 1.68 A."""
    acid = molecule("HCOOH")
    hydrogen, oxygen = (np.flatnonzero(acid.numbers == z) for z in (1, 8))
    donor, acceptor = sorted(oxygen, key=lambda o: acid.get_distances(o, hydrogen).min())
    h = min(hydrogen, key=lambda k: acid.get_distance(donor, k))
    along = acid.get_distance(donor, h, vector=True) / acid.get_distance(donor, h)
    partner = acid.copy()
    partner.positions = acid.positions[h] + 1.68 * along + acid.positions[acceptor] - acid.positions
    return acid + partner


def contacts(database) -> Table:
    """Table of an ion and a hydrogen-bonded complex, shaken and relaxed."""
    ion, dimer = guanidinium(), acid_dimer()
    starts = [ion.copy(), dimer.copy()]
    for atoms in starts:
        atoms.rattle(0.1, seed=1)
    ends = relax(starts, database)
    n = len(dimer) // 2

    def bonds(atoms):
        return atoms.get_distances(0, np.flatnonzero(atoms.numbers == 7)).mean()

    def contact(atoms):
        apart = atoms.get_all_distances()[:n, n:]
        return apart[np.ix_(atoms.numbers[:n] == 1, atoms.numbers[n:] == 8)].min()

    table = Table(title="An ion, and a complex with hydrogen bonds")
    table.add_column("structure", min_width=18)
    for column in ("length", "at first (A)", "shaken", "relaxed", "reliable"):
        table.add_column(column, justify="right" if "A" in column else "left")
    rows = (("guanidinium", "mean C-N", bonds), ("formic acid dimer", "shortest H...O", contact))
    for (name, what, length), good, start, end in zip(
        rows, (ion, dimer), starts, ends, strict=True
    ):
        lengths = (f"{length(atoms):.3f}" for atoms in (good, start, end.atoms))
        table.add_row(name, what, *lengths, "yes" if end.reliable else end.doubt)
    return table


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo_output")
    folder.mkdir(exist_ok=True)
    console = Console(width=124)
    database = default_database()
    console.print(f"The built-in database: {database}")
    console.print("(its references are described at first use, for the locally-linear targets)\n")

    references = list(real_molecules())
    rng = np.random.default_rng(0)
    distorted = [atoms.copy() for atoms in references]
    for atoms in distorted:
        atoms.positions += rng.normal(0, NOISE, atoms.positions.shape)
    for targets in ("learned", "locally-linear"):
        relax(distorted[0], database, targets=targets)  # the very first call compiles kernels
    began = time.perf_counter()
    results = relax(distorted, database)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    others = relax(distorted, database, targets="locally-linear")
    other_seconds = time.perf_counter() - began

    table = Table(title=f"{len(results)} molecules distorted by N(0, {NOISE} A) and relaxed")
    table.add_column("molecule", min_width=18)
    for column in ("atoms", "RMSD before (A)", "after", "expected", "locally-linear"):
        table.add_column(column, justify="right")
    for column in ("bond error before (A)", "after", "steps", "reason"):
        table.add_column(column, justify="left" if column == "reason" else "right")
    rows = []
    every = zip(distorted, results, others, references, strict=True)
    for before, result, other, reference in every:
        numbers = (
            rmsd(before, reference),
            rmsd(result.atoms, reference),
            result.expected_rmsd or np.nan,
            rmsd(other.atoms, reference),
            bond_errors(before, reference).mean(),
            bond_errors(result.atoms, reference).mean(),
        )
        rows.append(numbers)
        if len(rows) <= SHOWN:
            table.add_row(
                reference.info["name"],
                str(len(reference)),
                *(f"{number:.3f}" for number in numbers),
                str(result.n_steps),
                result.reason,
            )
    table.add_section()
    for name, summary in (("mean", np.mean), ("median", np.median)):
        numbers = (f"{number:.3f}" for number in summary(rows, axis=0))
        table.add_row(f"{name} of {len(rows)}", "", *numbers, "", "")
    console.print(table)
    converged = sum(result.converged for result in results)
    console.print(
        f"{len(results)} molecules in {seconds:.1f} s with learned targets, {converged} converged; "
        f"in {other_seconds:.1f} s with locally-linear ones."
    )
    worst = max(range(len(rows)), key=lambda k: rows[k][1])
    console.print(
        f"Largest RMSD: {rows[worst][1]:.2f} A in {references[worst].info['name']}, where "
        f"{rows[worst][2]:.2f} A was to be expected."
    )
    console.print(contacts(database))
    for name, structures in (("distorted", distorted), ("relaxed", [r.atoms for r in results])):
        ase.io.write(folder / f"{name}.extxyz", structures)
    console.print(
        f"Structures: {folder}/distorted.extxyz and {folder}/relaxed.extxyz. The same from the "
        f"command line:\n  losiko relax {folder}/distorted.extxyz -o out.extxyz"
    )


if __name__ == "__main__":
    main()
