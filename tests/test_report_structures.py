"""Structures on the page of a report: turned, bonded and cut, but never mirrored or changed."""

import numpy as np
import pytest
import small_database
from ase import Atoms
from ase.build import bulk
from ase.collections import g2
from small_run import row

from losiko_torch.report import structures
from losiko_torch.report.names import References


def entry(atoms, worst=0):
    n = len(atoms)
    atoms = atoms.copy()
    atoms.arrays["losiko_distance"] = np.linspace(1, 2, n)
    rows = row(0, n_atoms=n, worst_atom=worst, nearest_structure=[0] * n, nearest_atom=[0] * n)
    return structures.entry(atoms, rows, References.unknown("gone"))


def volumes(positions):
    """Signed volumes of all consecutive four atoms: mirror images differ in sign."""
    a, b, c, d = (positions[k : len(positions) - 3 + k] for k in range(4))
    return np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a)


@pytest.mark.parametrize("name", ["CH3CH2OH", "C6H6", "CO2", "CH4", "H2", "cyclobutane"])
def test_drawn_molecules_are_turned_but_not_mirrored(name):
    atoms = small_database.rattled(name)
    drawn = entry(atoms)
    positions = np.array(drawn["positions"])
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)
    np.testing.assert_allclose(apart, atoms.get_all_distances(), atol=3e-3)
    if len(atoms) > 3:
        np.testing.assert_allclose(volumes(positions), volumes(atoms.positions), atol=0.02)
    # The view shows a structure at its widest, along the direction in which it is thinnest.
    spread = positions.std(0)
    assert spread[0] > spread[1] - 1e-3 > spread[2] - 2e-3
    assert drawn["cell"] == []
    assert drawn["symbols"] == list(atoms.symbols)


def test_one_atom():
    assert entry(Atoms("H", [[5, 5, 5]]))["positions"] == [[0, 0, 0]]


def test_the_halves_of_a_bond_meet():
    drawn = entry(g2["CH3CH2OH"])
    ends = [np.array(drawn["positions"][k]) + half for k, *half in drawn["bonds"]]
    assert len(ends) == 2 * 8
    apart = np.linalg.norm(np.array(ends)[:, None] - np.array(ends), axis=2)
    assert ((apart < 3e-3).sum(1) == 2).all()


def test_crystals_have_their_cell_and_bonds_through_its_faces():
    silicon = bulk("Si", cubic=True)
    moved = silicon.copy()
    moved.positions += 3 * silicon.cell[0] - 2 * silicon.cell[2]
    for atoms in (silicon, moved):
        drawn = entry(atoms)
        assert len(drawn["bonds"]) == 4 * len(atoms)
        cell = np.array(drawn["cell"])
        np.testing.assert_allclose(
            cell @ cell.T, silicon.cell.array @ silicon.cell.array.T, atol=0.02
        )
        assert np.linalg.det(cell) > 0
        inside = (np.array(drawn["positions"]) - drawn["origin"]) @ np.linalg.inv(cell)
        assert inside.min() > -1e-3
        assert inside.max() < 1
    slab = silicon.copy()
    slab.pbc = [True, True, False]
    assert len(entry(slab)["cell"]) == 2


def test_of_many_atoms_those_around_the_worst_are_drawn(monkeypatch):
    monkeypatch.setattr(structures, "ATOMS", 50)
    monkeypatch.setattr(structures, "AROUND", 17)
    atoms = bulk("Si", cubic=True) * 2
    drawn = entry(atoms, worst=20)
    # An atom, its four neighbours and their other neighbours, through the cell's faces.
    assert len(drawn["symbols"]) == 17
    assert drawn["cell"] == []
    positions = np.array(drawn["positions"])
    middle = positions[drawn["indices"].index(20)]
    distances = np.sort(np.linalg.norm(positions - middle, axis=1))
    np.testing.assert_allclose(distances[1:5], 2.351, atol=2e-3)
    np.testing.assert_allclose(distances[5:], 3.84, atol=2e-3)
    np.testing.assert_allclose(
        drawn["distances"], np.linspace(1, 2, 64)[drawn["indices"]], atol=1e-3
    )


def test_the_ball_is_closed_and_round():
    made = structures.ball()
    points, triangles = np.array(made["points"]), np.array(made["triangles"])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-3)
    edges = {(a, b) for t in triangles for a, b in zip(t, np.roll(t, -1), strict=True)}
    # Every edge belongs to two triangles, which run along it in opposite directions.
    assert len(edges) == 3 * len(triangles)
    assert edges == {(b, a) for a, b in edges}
    assert len(points) - len(edges) / 2 + len(triangles) == 2
    a, b, c = (points[triangles[:, k]] for k in range(3))
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a) > 0).all()
