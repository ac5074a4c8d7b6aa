"""Selections of movable atoms against their definitions; nothing else moves."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms
from small_database import database, rattled

from losiko_torch import InputError, StructureError, near_plane, relax, within
from losiko_torch.systems.selection import selection


def slab():
    atoms = fcc111("Al", (2, 2, 5), a=4.05, vacuum=6.0)
    atoms.pbc = True
    return atoms


def test_within_is_the_shortest_distance_over_images():
    atoms = slab()
    for distance in (0.1, 2.9, 4.2):
        found = within(distance, of=[0, -1])(atoms)
        apart = np.min([atoms.get_distances(k, range(20), mic=True) for k in (0, 19)], axis=0)
        np.testing.assert_array_equal(found, apart <= distance)


def test_within_of_elements_and_indices():
    atoms = molecule("CH3CH2OH")
    by_element = within(1.5, of="O")(atoms)
    np.testing.assert_array_equal(by_element, within(1.5, of=2)(atoms))
    assert by_element.sum() == 3
    assert within(1.5, of=["O", 0])(atoms).sum() > by_element.sum()
    with pytest.raises(StructureError, match="near N, and it has none"):
        within(9.0, of="N")(atoms)


def test_planes_count_their_images():
    atoms = slab()
    z = atoms.positions[:, 2]
    height = atoms.cell[2, 2]
    np.testing.assert_array_equal(near_plane(2.4, "z", z.max())(atoms), z.max() - z <= 2.4)
    shifted = near_plane(2.4, "z", z.max() + height)(atoms)
    np.testing.assert_array_equal(shifted, near_plane(2.4, "z", z.max())(atoms))
    atoms.pbc = False
    with pytest.raises(StructureError, match=r"no atom lies within 2\.4 A of z="):
        near_plane(2.4, "z", z.max() + height)(atoms)


def test_planes_find_atoms_however_many_cells_away():
    atoms = slab()
    away = atoms.copy()
    away.positions += 3 * atoms.cell.array[2] - 5 * atoms.cell.array[0]
    for plane in (near_plane(1, "c", 0.5), near_plane(1, "c", -2.5), near_plane(1, "z", 10.7)):
        np.testing.assert_array_equal(plane(atoms), plane(away))


def test_a_plane_that_is_everywhere_is_refused():
    skewed = Atoms("H", [[1, 5, 0]], cell=[[4, 3, 0], [8, 1, 0], [0, 0, 8]], pbc=True)
    with pytest.raises(StructureError, match="name a plane of the cell"):
        near_plane(0.4, "y", 0)(skewed)
    assert near_plane(9, "b", 0)(skewed).all()


def test_planes_of_a_skewed_cell():
    """Distances from planes of c are fractions times the height of the cell, not times |c|."""
    atoms = bulk("Si") * 3
    fractions = atoms.get_scaled_positions(wrap=False)[:, 2]
    height = atoms.get_volume() / np.linalg.norm(np.cross(*atoms.cell[:2]))
    for at in (0.0, 0.4, 1.7):
        apart = np.abs((fractions - at + 0.5) % 1 - 0.5) * height
        np.testing.assert_array_equal(near_plane(1.3, "c", at)(atoms), apart <= 1.3)


def test_selections_from_text():
    atoms = slab()
    for text, same in (
        ("within 3 of 0,4", within(3, [0, 4])),
        ("within 3.5 A of Al", within(3.5, "Al")),
        ("within 2.5 of z=10.5", near_plane(2.5, "z", 10.5)),
        (" within .25e1 of c = -0.5 ", near_plane(2.5, "c", -0.5)),
    ):
        np.testing.assert_array_equal(selection(text)(atoms), same(atoms))
    atoms.set_array("upper", atoms.positions[:, 2] > 12)
    np.testing.assert_array_equal(selection("upper")(atoms), atoms.arrays["upper"])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: within(0, of=1), "must be positive, not 0"),
        (lambda: within(float("nan"), of=1), "must be positive, not nan"),
        (lambda: within(1, of="Xy"), "'Xy' names no atoms and no element"),
        (lambda: within(1, of=[]), "name atoms or elements"),
        (lambda: within(1, of=1.5), "'1.5' names no atoms"),
        (lambda: within(1, of=[0, 1.5]), "'1.5' names no atoms"),
        (lambda: within("1", of=0), "must be positive, not 1"),
        (lambda: near_plane(1, "z", float("nan")), "a finite number, not nan"),
        (
            lambda: relax([molecule("H2O")], database(), movable=[np.ones(3)] * 2),
            "2 masks of movable atoms for 1 structures",
        ),
        (lambda: near_plane(1, "w", 0), "axis 'w' is none of x, y, z, a, b, c"),
        (lambda: selection("near 5 of 3"), "selection 'near 5 of 3' is not of the form"),
        (lambda: selection("within 5 of Foo"), "'Foo' names no atoms and no element"),
        (lambda: selection("within -5 of 3"), "must be positive, not -5"),
        (lambda: relax(molecule("H2O"), database(), movable="with in"), "is not of the form"),
    ],
)
def test_wrong_selections_are_refused(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


METHANOL = [True, False, True, True, False, True]


@pytest.mark.parametrize(
    "movable",
    [
        np.array(METHANOL),
        METHANOL,
        [np.array(METHANOL)],
        lambda atoms: METHANOL,
        "moves",
        np.repeat(np.array(METHANOL, dtype=int)[:, None], 3, axis=1),
    ],
    ids=["array", "list", "list of arrays", "function", "name", "coordinates"],
)
def test_only_the_movable_move(movable):
    atoms = rattled("CH3OH")
    atoms.set_array("moves", np.array(METHANOL))
    atoms.set_constraint(FixAtoms([0]))
    (result,) = relax(atoms, database(), movable=movable)
    moved = (result.atoms.positions != atoms.positions).any(axis=1)
    assert moved.tolist() == [False, False, True, True, False, True]


def test_masks_of_single_coordinates():
    atoms = rattled("CH3OH")
    mask = np.random.default_rng(0).random((6, 3)) > 0.5
    (result,) = relax(atoms, database(), movable=mask)
    np.testing.assert_array_equal(result.atoms.positions != atoms.positions, mask)


@pytest.mark.parametrize(
    ("movable", "sentence"),
    [
        ([True] * 5, "its mask of movable atoms has 5 entries for 6 atoms"),
        (np.ones((6, 2)), "its mask of movable atoms has 6 x 2 entries for 6 atoms"),
        ([0, 3, 5, 1, 1, 1], "no array of true and false (or 1 and 0)"),
        (True, "has no list of entries for 6 atoms"),
        (lambda atoms: atoms.arrays["foo"] > 0, "its selection of movable atoms fails ('foo')"),
        (within(3, of="N"), "near N, and it has none"),
        ("moves", "it has no array 'moves'"),
        ([["a"] * 6], "no array of true and false"),
        ([np.ones(6), [1] * 3], None),
        ("within 3 of 7", "near atom 7"),
        ("within 3 of c=0.5", "no cell to find the plane"),
    ],
)
def test_a_mask_that_does_not_fit_fails_its_structure(movable, sentence):
    (result,) = relax(rattled("CH3OH"), database(), movable=movable)
    if sentence is None:
        assert not result.failed
    else:
        assert sentence in result.reason


def test_every_structure_its_own_mask():
    structures = [rattled("CH3OH"), rattled("H2O"), rattled("CH4")]
    masks = [np.ones(6, bool), np.array([1, 0, 1])]
    results = relax(structures, database(), movable=masks)
    assert [result.failed for result in results] == [False, False, True]
    assert "masks of movable atoms for 2 structures only" in results[2].reason
    assert (results[1].atoms.positions[1] == structures[1].positions[1]).all()


def test_nothing_movable_is_converged_where_it_is():
    atoms = rattled("CH3OH")
    (result,) = relax(atoms, database(), movable=np.zeros(6, bool))
    assert result.converged
    assert isinstance(result.atoms, Atoms)
    np.testing.assert_array_equal(result.atoms.positions, atoms.positions)
