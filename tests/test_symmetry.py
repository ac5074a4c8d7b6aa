"""Laws of symmetrizing: symmetry is found, kept to, and nothing else is touched."""

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.spacegroup import crystal
from scipy.spatial.transform import Rotation

from losiko_torch import SOAP, EnvironmentDatabase, InputError, relax, score
from losiko_torch.relaxation.symmetry import symmetrized


def crystals():
    quartz = crystal(
        ["Si", "O"],
        [(0.47, 0, 1 / 3), (0.41, 0.27, 0.21)],
        spacegroup=154,
        cellpar=[4.91, 4.91, 5.41, 90, 90, 120],
    )
    return {
        "quartz": Atoms(quartz),
        "silicon": bulk("Si", "diamond", a=5.43, cubic=True),
        "magnesium": bulk("Mg", "hcp", a=3.21, c=5.21) * (1, 1, 2),
        "salt": bulk("NaCl", "rocksalt", a=5.64),
    }


def disturbed(atoms, noise=0.03, strain=0.005, seed=0):
    rng = np.random.default_rng(seed)
    atoms = atoms.copy()
    change = rng.normal(0, strain, (3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + (change + change.T) / 2), scale_atoms=True)
    atoms.positions += rng.normal(0, noise, atoms.positions.shape)
    return atoms


def group(atoms, symprec=1e-5):
    structure = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    return spglib.get_symmetry_dataset(structure, symprec=symprec)


def apart(one, other):
    """RMSD of fractional coordinates in the other's cell, without drift."""
    shift = one.get_scaled_positions(wrap=False) - other.get_scaled_positions(wrap=False)
    shift -= np.round(shift)
    return np.sqrt(np.square((shift - shift.mean(0)) @ other.cell.array).sum(1).mean())


@pytest.mark.parametrize("name", crystals())
def test_symmetry_comes_back(name):
    perfect = crystals()[name]
    start = disturbed(perfect)
    found = symmetrized(start, 0.25)
    assert group(found).number == group(perfect).number
    assert len(group(found).rotations) == len(group(perfect).rotations)
    assert apart(found, perfect) < 0.7 * apart(start, perfect) + 1e-9
    stretch = np.linalg.solve(start.cell.array, found.cell.array)
    np.testing.assert_allclose(stretch, stretch.T, atol=1e-10)
    assert group(start).number == 1


@pytest.mark.parametrize("name", crystals())
def test_what_is_symmetric_stays(name):
    perfect = crystals()[name]
    found = symmetrized(perfect, 0.1)
    np.testing.assert_allclose(found.positions, perfect.positions, atol=1e-9)
    np.testing.assert_allclose(found.cell.array, perfect.cell.array, atol=1e-9)


def test_rotation_translation_permutation_come_through():
    start = disturbed(crystals()["quartz"])
    expected = symmetrized(start, 0.25)
    turn = Rotation.random(random_state=3).as_matrix()
    order = np.random.default_rng(0).permutation(len(start))
    moved = Atoms(
        start.numbers[order],
        (start.positions @ turn.T)[order] + [0.4, -7.0, 2.0],
        cell=start.cell.array @ turn.T,
        pbc=True,
    )
    found = symmetrized(moved, 0.25)
    np.testing.assert_allclose(found.cell.array, expected.cell.array @ turn.T, atol=1e-9)
    back = np.empty_like(found.positions)
    back[order] = (found.positions - found.positions.mean(0)) @ turn
    np.testing.assert_allclose(back, expected.positions - expected.positions.mean(0), atol=1e-9)


def test_nothing_to_find():
    rng = np.random.default_rng(1)
    lone = Atoms("SiCN", rng.uniform(0, 4, (3, 3)), cell=rng.normal(0, 0.5, (3, 3)) + 5 * np.eye(3))
    lone.pbc = True
    assert symmetrized(lone, 0.1) is None
    # A tolerance as large as bonds: spglib gives up, or finds no operation that meets the atoms.
    assert symmetrized(disturbed(crystals()["quartz"], 0.3), 1e-3) is None


@pytest.fixture(scope="module")
def database():
    soap = SOAP(
        species=["O", "Si"],
        r_cut=3.0,
        n_max=4,
        l_max=3,
        sigma=0.35,
        smooth_width=0.5,
        periodic=True,
    )
    return EnvironmentDatabase.build([crystals()["quartz"], crystals()["silicon"]], soap)


OPTIONS = {"cell": True, "targets": "nearest", "dtype": "float64", "fmax": 0.01}


def test_relaxed_crystals_are_made_symmetric(database):
    starts = [disturbed(crystals()["quartz"], 0.08), disturbed(crystals()["silicon"], 0.08)]
    plain = relax(starts, database, **OPTIONS)
    results = relax(starts, database, symprec=0.3, **OPTIONS)
    for result, before, name in zip(results, plain, ("quartz", "silicon"), strict=True):
        assert group(result.atoms, 1e-4).number == group(crystals()[name]).number
        assert result.loss <= result.start_loss
        assert result.reason == before.reason
        (judged,) = score(result.atoms, database, targets="nearest", dtype="float64")
        assert result.loss == pytest.approx(judged.loss, rel=1e-6, abs=1e-12)
        (alone,) = relax(starts[name == "silicon"], database, symprec=0.3, **OPTIONS)
        np.testing.assert_allclose(alone.atoms.positions, result.atoms.positions, atol=1e-6)


@pytest.mark.parametrize(("symbol", "edge"), [("Cu", 3.61), ("Al", 4.05)])
def test_a_sheared_crystal_comes_back_where_the_gradient_vanishes(symbol, edge):
    good = bulk(symbol, "fcc", a=edge, cubic=True)
    soap = SOAP(
        species=[symbol], r_cut=3.5, n_max=8, l_max=6, sigma=0.35, smooth_width=0.5, periodic=True
    )
    made = EnvironmentDatabase.build(good, soap)
    sheared = good.copy()
    sheared.set_cell(good.cell.array @ [[1.03, 0, 0], [0, 0.97, 0], [0, 0, 1]], scale_atoms=True)
    sheared.rattle(0.05, seed=1)
    (result,) = relax(sheared, made, cell=True)
    assert result.reliable
    assert result.atoms.cell.lengths() == pytest.approx([edge] * 3, rel=5e-3)
    assert result.atoms.cell.angles() == pytest.approx([90] * 3, abs=0.3)
    # Where only some strains are allowed, no symmetry is sought.
    (other,) = relax(sheared, made, cell=True, strain_mask=[1, 1, 1, 1, 1, 0])
    assert np.ptp(other.atoms.cell.lengths()) > 0.05
    assert other.loss > result.loss


def test_no_symmetry_is_taken_unasked_at_the_cost_of_the_loss():
    """The reference is the disturbed crystal itself: symmetrizing it could only raise the loss."""
    odd = disturbed(crystals()["silicon"], 0.02)
    soap = SOAP(
        species=["Si"], r_cut=3.0, n_max=4, l_max=3, sigma=0.35, smooth_width=0.5, periodic=True
    )
    (result,) = relax(odd, EnvironmentDatabase.build(odd, soap), **OPTIONS)
    np.testing.assert_allclose(result.atoms.positions, odd.positions, atol=1e-6)


def test_what_is_fixed_or_no_crystal_is_left_alone(database):
    held = disturbed(crystals()["silicon"], 0.08)
    held.set_constraint(FixAtoms([0]))
    slab = disturbed(crystals()["silicon"], 0.05)
    slab.pbc = [True, True, False]
    structures = [held, slab]
    for options in (OPTIONS, OPTIONS | {"max_steps": 1}):
        plain = relax(structures, database, **options)
        results = relax(structures, database, symprec=0.3, **options)
        for one, other in zip(plain, results, strict=True):
            np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)


def test_a_symmetry_that_the_references_object_to_is_not_taken():
    """The reference is the disturbed crystal itself: symmetrizing it could only raise the loss."""
    odd = disturbed(crystals()["silicon"], 0.1)
    soap = SOAP(
        species=["Si"], r_cut=3.0, n_max=4, l_max=3, sigma=0.35, smooth_width=0.5, periodic=True
    )
    made = EnvironmentDatabase.build(odd, soap)
    assert symmetrized(odd, 0.5) is not None
    (result,) = relax(odd, made, symprec=0.5, **OPTIONS)
    np.testing.assert_allclose(result.atoms.positions, odd.positions, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"cell": False}, "symprec makes cells symmetric too: it needs cell=True"),
        ({"symprec": 0}, "symprec must be positive, not 0"),
        ({"symprec": "0.4"}, "symprec must be positive, not '0.4'"),
        ({"constant_volume": True}, "it goes with no choice of strains"),
    ],
)
def test_wrong_arguments_are_refused(database, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        relax(molecule("H2O"), database, **({"cell": True, "symprec": 0.4} | arguments))
