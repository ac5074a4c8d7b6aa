"""Counts and maps of the water case."""

import numpy as np
import pytest

pytest.importorskip("tblite")
pytest.importorskip("rdkit")

from ase import Atoms
from cases import loss_surfaces, water

from losiko_torch import relax


@pytest.fixture(scope="module")
def sharp():
    return water.database_of(water.water())


@pytest.fixture(scope="module")
def wide():
    return water.database_of(water.water(), water.WIDE)


def unmoved(atoms, database):
    return relax(atoms, database, max_steps=1, **water.RELAX)[0]


def test_random_starts_follow_from_the_seed_alone():
    starts = water.random_starts(20, seed=5)
    for few, many in zip(water.random_starts(8, seed=5), starts, strict=False):
        np.testing.assert_array_equal(few.positions, many.positions)
    for atoms in starts:
        assert (atoms.positions >= 0).all()
        assert (atoms.positions <= water.EDGE).all()
        assert min(water.geometry(atoms)[k] for k in (0, 1, 3)) >= water.LEAST


def test_water_is_water_however_it_lies_and_nothing_else_is(sharp):
    turned = water.water()
    turned.rotate(40, (1, 2, 3))
    turned.positions *= [1, 1, -1]
    assert water.is_water(unmoved(turned, sharp))
    longer, wider = water.water(), water.water()
    longer.set_distance(0, 1, water.BOND + 0.006, fix=0)
    wider.set_angle(1, 0, 2, water.ANGLE + 0.6)
    assert not water.is_water(unmoved(longer, sharp))
    assert not water.is_water(unmoved(wider, sharp))


@pytest.mark.parametrize(
    ("hydrogens", "kind"),
    [
        ([[0.97, 0.0, 0], [0.97, 0.1, 0]], "H on H"),
        ([[0.94, 0.0, 0], [2.2, 0.98, 0]], "H behind H"),
        ([[0.92, 0.0, 0], [-5.0, 0.0, 0]], "OH, and H far away"),
        ([[3.0, 0.0, 0], [0.0, 3.0, 0]], "no O-H bond"),
    ],
)
def test_what_is_no_water_is_called_by_what_it_is(sharp, hydrogens, kind):
    assert water.kind(unmoved(Atoms("OH2", [[0, 0, 0], *hydrogens]), sharp)) == kind


@pytest.mark.parametrize(("fixed", "moving"), [(water.two_hydrogens(), 0), (water.one_bond(), 2)])
def test_surfaces_have_two_mirror_minima_of_loss_zero(sharp, fixed, moving):
    surface = loss_surfaces.surface(sharp, fixed, moving, half=2.95, points=31)
    assert surface.loss.shape == (31, 31)
    found = loss_surfaces.minima(sharp, surface)
    low = [each for each in found if each.loss < 1e-8]
    assert len(low) == 2
    places = [each.atoms.positions[moving] for each in low]
    np.testing.assert_allclose(places[0], places[1] * [1, -1, 1], atol=1e-3)
    assert all(each.loss > 0.2 for each in found[2:])
    assert all(
        water.geometry(each.atoms).angle == pytest.approx(water.ANGLE, abs=0.1) for each in low
    )


def test_the_wide_surface_has_no_false_minima(wide):
    for fixed, moving in ((water.two_hydrogens(), 0), (water.one_bond(), 2)):
        found = loss_surfaces.minima(
            wide, loss_surfaces.surface(wide, fixed, moving, half=2.95, points=31)
        )
        assert [each.loss < 1e-8 for each in found] == [True, True]


def test_wide_first_finds_water_where_the_sharp_descriptor_does_not(sharp, wide):
    starts = water.random_starts(12, seed=water.REPORTING_SEEDS[0])
    plain = relax(starts, sharp, **water.RELAX)
    finely = water.wide_first(starts, wide, sharp)
    assert sum(map(water.is_water, plain)) < 12
    assert all(map(water.is_water, finely))
    roughly = relax(starts, wide, **water.RELAX)
    assert all(a.n_steps > b.n_steps for a, b in zip(finely, roughly, strict=True))


def test_evaluations_are_those_of_all_copies(sharp):
    starts = water.random_starts(4, seed=3)
    got = water.share(lambda some: relax(some, sharp, n_starts=3, **water.RELAX), [starts])
    results = relax(starts, sharp, n_starts=3, **water.RELAX)
    assert got.evaluations == np.mean([sum(c.n_steps for c in r.starts) for r in results])


def test_paths_lead_from_the_start_to_where_the_relaxation_ends(sharp):
    starts = water.random_starts(3, seed=water.REPORTING_SEEDS[0])
    wholes = relax(starts, sharp, **water.RELAX)
    paths = water.paths(starts, sharp)
    assert [len(path.results) for path in paths] == [whole.n_steps for whole in wholes]
    for start, path, whole in zip(starts, paths, wholes, strict=True):
        np.testing.assert_array_equal(path.results[0].atoms.positions, start.positions)
        np.testing.assert_array_equal(path.results[-1].atoms.positions, whole.atoms.positions)
        assert (np.diff(path.losses) <= 0).all()
        if water.is_water(whole):
            assert path.energies[-1] == pytest.approx(0, abs=0.01)
        stages = water.stages(path)
        assert stages[0] == 0
        assert stages[-1] == len(path.results) - 1


def test_a_path_rises_by_its_steepest_step(sharp):
    result = unmoved(water.water(), sharp)
    assert water.Path([result] * 4, np.array([2.0, 1.0, 1.5, np.nan])).climb == 0.5
    assert not water.Path([result] * 3, np.array([2.0, 1.0, 1.005])).rises
