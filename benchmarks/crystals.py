"""Accuracy of crystals relaxed from perturbations, each left out of its own database.

    python benchmarks/crystals.py Si-O|Li-Co-O-H [--crystals 50] [--symprec 0.4] [--targets ...]

With `--targets learned` all these crystals are left out of the database that is fitted.

Materials Project crystals of `$LOSIKO_DATA/mp` with at most 40 atoms a cell and a hull distance of
at most 0.1 eV an atom. Each is perturbed by N(0, 0.1 A) on every coordinate and a random symmetric
strain of up to 3 % in every component; positions and cell are relaxed against all the others of
that hull distance, large ones too. RMSD: minimum-image distances between fractional coordinates in
the original's cell, after removing the drift. All other settings are the library's defaults.
"""

from __future__ import annotations

import argparse
import time

import common
import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from losiko_torch import SOAP, EnvironmentDatabase, relax
from losiko_torch.cli.build import PERIODIC
from losiko_torch.io.read import read_structures

#: Largest energy above the hull (eV an atom) of a crystal.
STABLE = 0.1


def perturbed(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """A copy with noise and strain."""
    copy = atoms.copy()
    strain = rng.uniform(-0.03, 0.03, (3, 3))
    copy.set_cell(copy.cell @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    copy.positions += rng.normal(0, 0.1, copy.positions.shape)
    return copy


def distance(atoms: Atoms, reference: Atoms) -> float:
    """RMSD (Angstrom) of the same atoms in the reference's cell, drift removed."""
    apart = atoms.get_scaled_positions(wrap=False) - reference.get_scaled_positions(wrap=False)
    vectors, _ = find_mic(apart @ reference.cell.array, reference.cell, pbc=True)
    vectors = vectors - vectors.mean(axis=0)
    return float(np.sqrt(np.square(vectors).sum(axis=1).mean()))


def volume_error(atoms: Atoms, reference: Atoms) -> float:
    return abs(atoms.get_volume() / reference.get_volume() - 1)


def deviatoric_strain(atoms: Atoms, reference: Atoms) -> float:
    """Norm of the strain of the cell without its trace."""
    deformation = np.linalg.solve(reference.cell.array, atoms.cell.array)
    strain = (deformation @ deformation.T - np.eye(3)) / 2
    return float(np.linalg.norm(strain - np.trace(strain) / 3 * np.eye(3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("system")
    parser.add_argument("--crystals", type=int, default=50)
    parser.add_argument("--targets", default="locally-linear")
    parser.add_argument("--n-neighbors", type=int, default=None)
    parser.add_argument("--reg", type=float, default=None)
    parser.add_argument("--r-cut", type=float, default=PERIODIC["r_cut"])
    parser.add_argument("--sigma", type=float, default=PERIODIC["sigma"])
    parser.add_argument("--n-max", type=int, default=8)
    parser.add_argument("--l-max", type=int, default=6)
    parser.add_argument("--fmax", type=float, default=None)
    parser.add_argument("--symprec", type=float, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=None, help="of the fit")
    arguments = parser.parse_args()
    common.one_core()
    path = common.data_folder() / "mp" / f"{arguments.system}.extxyz"
    stable = [
        atoms for atoms in read_structures(path) if atoms.info.get("e_above_hull", np.inf) <= STABLE
    ]
    small = [k for k, atoms in enumerate(stable) if len(atoms) <= 40]
    rng = np.random.default_rng(arguments.seed)
    chosen = rng.choice(small, min(arguments.crystals, len(small)), replace=False)
    species = sorted({symbol for atoms in stable for symbol in atoms.symbols})
    soap = SOAP(
        species=species,
        r_cut=arguments.r_cut,
        n_max=arguments.n_max,
        l_max=arguments.l_max,
        sigma=arguments.sigma,
        periodic=True,
        smooth_width=PERIODIC["smooth_width"],
    )
    whole = EnvironmentDatabase.build(stable, soap)
    rows, seconds = [], 0.0
    fitted = None
    if arguments.targets == "learned":
        began = time.perf_counter()
        fitted = whole.without(map(int, chosen)).fit(steps=arguments.steps)
        print(f"fitted in {(time.perf_counter() - began) / 60:.1f} min: {fitted.learned.info}")
    for k in chosen:
        database = whole.without([int(k)]) if fitted is None else fitted
        start = perturbed(stable[k], rng)
        began = time.perf_counter()
        (result,) = relax(
            start,
            database,
            cell=True,
            targets=arguments.targets,
            n_neighbors=arguments.n_neighbors,
            reg=arguments.reg,
            fmax=arguments.fmax,
            symprec=arguments.symprec,
        )
        seconds += time.perf_counter() - began
        rows.append(
            (
                distance(start, stable[k]),
                distance(result.atoms, stable[k]),
                volume_error(start, stable[k]),
                volume_error(result.atoms, stable[k]),
                deviatoric_strain(start, stable[k]),
                deviatoric_strain(result.atoms, stable[k]),
                result.converged,
                result.n_steps,
            )
        )
    before, after, volume_before, volume, shear_before, shear, converged, steps = np.array(rows).T
    print(f"{arguments.system}: {len(rows)} of {len(stable)} crystals, {whole}")
    print(vars(arguments))
    print(
        f"median RMSD {np.median(before):.3f} -> {np.median(after):.3f} A "
        f"(ratio {np.median(before) / np.median(after):.2f}), "
        f"upper decile {np.quantile(after, 0.9):.3f} "
        f"A, median volume error {np.median(volume_before):.2%} -> {np.median(volume):.2%}, "
        f"median deviatoric strain {np.median(shear_before):.2%} -> {np.median(shear):.2%}, "
        f"converged {converged.mean():.0%}, median steps {np.median(steps):.0f}, "
        f"{seconds / len(rows):.1f} s a crystal",
        flush=True,
    )


if __name__ == "__main__":
    main()
