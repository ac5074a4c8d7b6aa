"""The interface case: how its starts are made and what is counted in them."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

pytest.importorskip("chgnet")
pytest.importorskip("tblite")
pytest.importorskip("rdkit")

from cases import interface, prototypes


def cristobalite() -> Atoms:
    names = {a.info["material_id"]: a for a in prototypes.crystals("Si-O")}
    return names["cristobalite"]


def test_glass_is_stretched_onto_the_square_at_its_density():
    glass = cristobalite() * (2, 2, 2)
    fitted, strain = interface.upright(glass, 10.0)
    assert fitted.get_volume() == pytest.approx(glass.get_volume())
    assert fitted.cell.angles() == pytest.approx([90, 90, 90])
    assert fitted.cell.lengths()[:2] == pytest.approx([10, 10])
    lengths = np.sort(glass.cell.lengths())[:2]  # the two that are nearest to 10 A
    assert sorted(strain) == pytest.approx(sorted(10 / lengths - 1))


@pytest.mark.parametrize("height", [0.1, 0.45, 0.8])
def test_the_cut_leaves_no_silicon_open_below(height):
    glass = interface.upright(cristobalite() * (2, 2, 2), 10.0)[0]
    opened = interface.cut_open(glass, height)
    opened.pbc = [True, True, False]
    neighbours = interface.coordination(opened)
    middle = opened.positions[:, 2].mean()
    below = opened.positions[:, 2] < middle
    silicon = opened.numbers == interface.SILICON
    assert (neighbours[below & silicon] == 4).all()
    assert (neighbours[below & ~silicon] == 1).any()  # what is to bind across the seam


def test_starts_touch_as_told_and_follow_from_their_seed():
    glass = prototypes.disordered_silica()[0]
    start = interface.joined(glass, seed=3, contact=1.4)
    slab, upper = start.atoms[: start.n_silicon], start.atoms[start.n_silicon :]
    across = np.concatenate(
        [
            start.atoms.get_distances(k, range(len(slab), len(start.atoms)), mic=True)
            for k in range(len(slab))
        ]
    )
    assert 1.35 < across.min() < 1.45 + 1e-6
    assert (slab.numbers == interface.SILICON).all()
    assert len(upper) == len(glass)
    again = interface.joined(glass, seed=3, contact=1.4)
    assert np.array_equal(start.atoms.positions, again.atoms.positions)
    other = interface.joined(glass, seed=4, contact=1.4)
    assert not np.allclose(start.atoms.positions, other.atoms.positions)
    moving = start.moving
    assert moving.any()
    assert (np.abs(start.atoms.positions[moving, 2] - start.plane) <= interface.REACH).all()


def test_bonds_are_counted_within_their_own_limits():
    atoms = Atoms("OSiOSi", [[-1.9, 0, 0], [0, 0, 0], [2.1, 0, 0], [0, 2.6, 0]])
    assert interface.coordination(atoms).tolist() == [1, 2, 0, 1]


def test_references_in_bad_order_do_not_count():
    assert (interface.in_good_order(cristobalite()).arrays["losiko_weight"] == 1).all()
    vacancy = bulk("Si", "diamond", a=5.431, cubic=True) * 2
    del vacancy[0]
    weight = interface.in_good_order(vacancy).arrays["losiko_weight"]
    assert (weight == 0).sum() == 4
