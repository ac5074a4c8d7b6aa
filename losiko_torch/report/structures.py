"""Structures as the page draws them: balls, sticks, cell, and the text of each atom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.neighborlist import natural_cutoffs, neighbor_list
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from losiko_torch.io.labels import DISTANCE
from losiko_torch.report.names import References

if TYPE_CHECKING:
    import pyarrow as pa

    from losiko_torch.runs.folder import RunFolder

#: Most atoms of a structure that is drawn as a whole. Atoms drawn around the worst atom of a
#: larger one.
ATOMS, AROUND = 300, 60
#: Longest bond, in units of the sum of the covalent radii.
BOND = 1.2
#: Number of points on a ball.
BALL = 120
#: Angles about x and y (degrees) by which crystals are turned, lest cell vectors hide each other.
TILT = (15.0, -25.0)
#: Columns of the table that an entry has unchanged.
TOLD = (
    *("number", "source", "formula", "n_atoms", "reason", "n_steps", "start_loss", "loss", "rmsd"),
    *("expected_rmsd", "doubt"),
)


def entries(
    run: RunFolder, table: pa.Table, rows: Sequence[int], references: References
) -> list[dict[str, Any]]:
    """Return entries, see ``entry``, of the structures in some rows of a run's table."""
    if not rows:
        return []
    chosen = table.take(np.array(rows, dtype=np.int64)).to_pylist()
    found = run.atoms([row["number"] for row in chosen])
    return [entry(found[row["number"]], row, references) for row in chosen]


def entry(atoms: Atoms, row: dict[str, Any], references: References) -> dict[str, Any]:
    """Return a structure for the page, in types that JSON has.

    Args:
        atoms: The relaxed structure, with the per-atom array ``losiko_distance``.
        row: Its row of the run's table.
        references: Names of the nearest reference of each atom.

    Returns:
        The columns of ``TOLD``, and

        - "symbols", "indices", "positions" (Angstrom, around the middle, seen along the third
          axis), "distances" and "nearest" (names) of the atoms drawn;
        - "bonds": for each half of a bond the place of its atom among the atoms drawn, and the
          vector from there to the bond's middle (Angstrom), so that a bond to an atom that is not
          drawn ends halfway;
        - "cell": the periodic cell vectors (Angstrom), none unless all atoms are drawn;
        - "origin": the point where the cell vectors start (Angstrom).
    """
    whole = len(atoms) <= ATOMS
    atoms, drawn = _wrapped(atoms) if whole else _around(atoms, row["worst_atom"])
    place = np.full(len(atoms), -1)
    place[drawn] = np.arange(len(drawn))
    first, vector = neighbor_list("iD", atoms, natural_cutoffs(atoms, mult=BOND))
    kept = place[first] >= 0
    turn = _turn(atoms[drawn])
    halves = (vector[kept] @ turn / 2).round(3)
    positions = atoms.positions[drawn] @ turn
    # The cell of a structure that is not drawn as a whole would show nothing.
    cell = atoms.cell.array[atoms.pbc] @ turn if whole else np.zeros((0, 3))
    middle = cell.sum(0) / 2 if len(cell) == 3 else (positions.min(0) + positions.max(0)) / 2
    nearest = [np.array(row[name])[drawn] for name in ("nearest_structure", "nearest_atom")]
    # A table of an earlier version lacks some.
    told = {name: row.get(name) for name in TOLD}
    # JSON has no NaN.
    told |= {k: None for k, v in told.items() if isinstance(v, float) and not np.isfinite(v)}
    return told | {
        "symbols": [atoms.symbols[k] for k in drawn],
        "indices": drawn.tolist(),
        "positions": (positions - middle).round(3).tolist(),
        "distances": [float(f"{distance:.4g}") for distance in atoms.arrays[DISTANCE][drawn]],
        "nearest": references.environments(*nearest),
        "bonds": [
            [int(k), *half] for k, half in zip(place[first[kept]], halves.tolist(), strict=True)
        ],
        "cell": cell.round(3).tolist(),
        "origin": (-middle).round(3).tolist(),
    }


def elements(drawn: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return radius (Angstrom) and colour (ASE's, RGB) of the balls, by symbol of the element.

    Args:
        drawn: Entries of ``entry``, whose elements are meant.
    """
    symbols = sorted({symbol for one in drawn for symbol in one["symbols"]})
    numbers = Atoms(symbols).numbers
    return {
        symbol: {
            "radius": round(0.5 * float(covalent_radii[number]), 3),
            "color": (255 * jmol_colors[number]).round().astype(int).tolist(),
        }
        for symbol, number in zip(symbols, numbers, strict=True)
    }


def ball() -> dict[str, list[list[float]]]:
    """Return a sphere of radius 1: points, shape (v, 3), and triangles of them, facing outwards."""
    # Points on a spiral, the golden angle apart, cover a sphere evenly.
    height = 1 - (2 * np.arange(BALL) + 1) / BALL
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(BALL)
    ring = np.sqrt(1 - height**2)
    points = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
    triangles = ConvexHull(points).simplices
    a, b, c = (points[triangles[:, k]] for k in range(3))
    inside_out = (np.cross(b - a, c - a) * a).sum(1) < 0
    triangles[inside_out] = triangles[inside_out][:, ::-1]
    return {"points": points.round(4).tolist(), "triangles": triangles.tolist()}


def _wrapped(atoms: Atoms) -> tuple[Atoms, np.ndarray]:
    """Return all atoms, wrapped into the cell along periodic directions, and their indices."""
    atoms = atoms.copy()
    atoms.wrap()
    return atoms, np.arange(len(atoms))


def _around(atoms: Atoms, worst: int) -> tuple[Atoms, np.ndarray]:
    """Return the images of the atoms nearest to the worst one, and the rising indices to draw."""
    vectors = atoms.get_distances(worst, range(len(atoms)), mic=atoms.pbc.any(), vector=True)
    drawn = np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")[:AROUND]
    atoms = atoms.copy()
    atoms.set_positions(atoms.positions[worst] + vectors, apply_constraint=False)
    return atoms, np.sort(drawn)


def _turn(atoms: Atoms) -> np.ndarray:
    """Find the rotation (3, 3) of row vectors that lets a view along the third axis show most."""
    if atoms.pbc.any():
        return Rotation.from_euler("xy", TILT, degrees=True).as_matrix().T
    _, _, axes = np.linalg.svd(atoms.positions - atoms.positions.mean(0))
    # A mirror image would be another molecule.
    axes[2] *= np.linalg.det(axes)
    return axes.T
