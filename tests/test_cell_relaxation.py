"""Laws of cells that relax with their atoms."""

import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from gradient_optimizers import GRADIENT_OPTIMIZERS
from scipy.spatial.transform import Rotation

from losiko_torch import SOAP, Batch, EnvironmentDatabase, LosikoCalculator, relax, score
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.loss.targets.nearest import Nearest
from losiko_torch.relaxation.coordinates import Coordinates

SIZE = {"r_cut": 3.2, "n_max": 5, "l_max": 4, "sigma": 0.4, "smooth_width": 0.5, "periodic": True}
FLOAT64 = {"dtype": "float64", "cell": True, "targets": "nearest"}


def crystals():
    return {
        "Si": bulk("Si", "diamond", a=5.43),
        "Si cubic": bulk("Si", "diamond", a=5.43, cubic=True),
        "SiC": bulk("SiC", "zincblende", a=4.36),
        "Al": bulk("Al", "fcc", a=4.05),
    }


def strained(atoms, strain=0.03, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, strain, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0, noise, atoms.positions.shape)
    return atoms


@pytest.fixture(scope="module")
def database():
    return EnvironmentDatabase.build(
        [*crystals().values(), molecule("SiH4")], SOAP(species=["H", "C", "Al", "Si"], **SIZE)
    )


@pytest.mark.parametrize("target", [Nearest(), LocallyLinear(n_neighbors=3)])
def test_gradient_by_rows_is_that_of_the_loss(database, target):
    objective = Objective(database, target)
    slab = fcc111("Al", (1, 1, 3), a=4.05, vacuum=6.0)
    slab.pbc = [True, True, False]
    batch = Batch.from_atoms(
        [strained(crystals()["SiC"]), strained(slab, 0.02), strained(crystals()["Si cubic"])]
    )
    coordinates = Coordinates.moving_cell(batch, torch.ones_like(batch.positions))
    matching = objective.search_at(batch).matching
    generator = torch.Generator().manual_seed(0)
    rows = coordinates.rows()
    strain = 0.05 * torch.randn(3, 9, 1, generator=generator).double()
    rows = torch.cat([rows[: batch.n_atoms], (coordinates.strains @ strain).reshape(-1, 3)])
    way = torch.randn(rows.shape, generator=generator).double()
    cells = coordinates.strains @ way[batch.n_atoms :].reshape(-1, 9, 1)
    way = torch.cat([way[: batch.n_atoms], cells.reshape(-1, 3)])

    def loss(x):
        return objective.evaluate(coordinates.place(x), matching).loss.sum()

    here = objective.evaluate(coordinates.place(rows), matching)
    slope = (coordinates.gradient(rows, here) * way).sum()
    h = 1e-4
    # Five points: the error of the difference is of fourth order.
    near, far = ((loss(rows + k * h * way) - loss(rows - k * h * way)) for k in (1, 2))
    expected = (8 * near - far) / (12 * h)
    assert abs(slope - expected) < 1e-6 * abs(expected)


@pytest.mark.parametrize("name", GRADIENT_OPTIMIZERS)
def test_every_optimizer_finds_the_lattice_constant(database, name):
    start = strained(crystals()["Si cubic"], 0.02, 0.03)
    (result,) = relax(start, database, optimizer=name, fmax=1e-3, max_steps=2000, **FLOAT64)
    assert result.reason == "converged"
    assert result.atoms.get_volume() == pytest.approx(5.43**3, rel=2e-3)
    assert result.loss < 1e-4


def test_ase_finds_the_same_through_its_filter(database):
    start = strained(crystals()["SiC"])
    (result,) = relax(start, database, fmax=1e-7, **FLOAT64)
    through_ase = start.copy()
    through_ase.calc = LosikoCalculator(database, targets="nearest")
    assert BFGS(FrechetCellFilter(through_ase), logfile=None).run(fmax=1e-7, steps=500)
    assert through_ase.get_potential_energy() == pytest.approx(result.loss, abs=1e-9)
    # Shears change the descriptor of a tetrahedral site only to second order, the loss to fourth:
    # they end anywhere within 0.1 %, the volume does not.
    assert through_ase.get_volume() == pytest.approx(result.atoms.get_volume(), rel=1e-5)
    assert through_ase.cell.lengths() == pytest.approx(result.atoms.cell.lengths(), rel=3e-3)


def test_a_batch_equals_singles(database):
    starts = [strained(atoms, seed=k) for k, atoms in enumerate(crystals().values())]
    starts.append(molecule("SiH4"))
    starts[-1].rattle(0.05, seed=1)
    together = relax(starts, database, **FLOAT64)
    for result, start in zip(together, starts, strict=True):
        (alone,) = relax(start, database, **FLOAT64)
        assert result.reason == alone.reason == "converged"
        assert np.abs(result.atoms.positions - alone.atoms.positions).max() < 1e-6
        assert np.abs(result.atoms.cell.array - alone.atoms.cell.array).max() < 1e-6


def test_a_rotated_crystal_relaxes_to_the_rotated_result(database):
    start = strained(crystals()["Si cubic"])
    rotation = Rotation.random(random_state=1)
    turned = start.copy()
    turned.set_cell(rotation.apply(start.cell.array))
    turned.set_positions(rotation.apply(start.positions))
    (straight,), (result,) = (relax(each, database, **FLOAT64) for each in (start, turned))
    assert result.loss == pytest.approx(straight.loss, abs=1e-8)
    expected = rotation.apply(straight.atoms.cell.array)
    assert np.abs(result.atoms.cell.array - expected).max() < 1e-4


def test_molecules_keep_their_cell_and_relax_as_ever(database):
    boxed = molecule("SiH4", vacuum=5.0)
    boxed.rattle(0.05, seed=2)
    (moving,) = relax(boxed, database, **FLOAT64)
    (fixed,) = relax(boxed, database, **{**FLOAT64, "cell": False})
    assert (moving.atoms.cell.array == boxed.cell.array).all()
    assert np.abs(moving.atoms.positions - fixed.atoms.positions).max() < 1e-9


def test_a_slab_keeps_its_normal(database):
    slab = fcc111("Al", (2, 2, 3), a=4.25)
    slab.pbc = [True, True, False]
    assert not slab.cell[2].any()
    (result,) = relax(slab, database, max_steps=40, **FLOAT64)
    assert not result.failed
    assert not result.atoms.cell[2].any()
    assert np.abs(result.atoms.cell.array[:2, 2]).max() < 1e-12
    ratio = result.atoms.cell.lengths()[:2] / slab.cell.lengths()[:2]
    assert ratio[0] == pytest.approx(ratio[1], rel=1e-5)
    assert ratio[0] < 1


def test_fixed_atoms_keep_their_place_in_the_cell(database):
    start = strained(crystals()["Si cubic"])
    start.set_constraint(FixAtoms([2, 5]))
    (result,) = relax(start, database, **FLOAT64)
    moved = np.abs(result.atoms.get_scaled_positions() - start.get_scaled_positions())
    assert moved[[2, 5]].max() < 1e-10
    assert moved.max() > 1e-4


def test_the_result_is_scored_alike(database):
    (result,) = relax(strained(crystals()["SiC"]), database, **FLOAT64)
    (judged,) = score(result.atoms, database, targets="nearest", dtype="float64")
    assert judged.loss == pytest.approx(result.loss, rel=1e-8)
    assert result.loss < result.start_loss


def test_a_collapsing_cell_is_told():
    soap = SOAP(
        species=["He"], r_cut=3.0, n_max=3, l_max=2, sigma=0.4, periodic=True, smooth_width=0.5
    )
    dense = EnvironmentDatabase.build([bulk("He", "fcc", a=1.9)], soap)
    thin = Atoms("He", cell=[3.2] * 3, pbc=True)
    (result,) = relax(thin, dense, max_steps=500, **FLOAT64)
    assert result.reason == (
        "failed: its cell collapsed or blew up: start from a better cell, or keep it fixed"
    )
    assert (result.atoms.cell.array == thin.cell.array).all()


def test_a_sharp_cutoff_is_warned_of_where_structures_are_periodic():
    sharp = SOAP(**{**SIZE, "smooth_width": 0.0}, species=["H", "Si"])
    made = EnvironmentDatabase.build([crystals()["Si"], molecule("SiH4")], sharp)
    with pytest.warns(UserWarning, match="better build it with a smooth_width"):
        relax(strained(crystals()["Si"]), made, max_steps=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relax(molecule("SiH4"), made, max_steps=2)


def test_useless_vectors_in_open_directions_harm_nobody(database):
    """Cells that span no volume though no periodic vector is at fault."""
    boxed, slab = molecule("SiH4"), fcc111("Al", (1, 1, 3), a=4.1)
    boxed.rattle(0.05, seed=1)
    boxed.cell = [[5, 0, 0], [5, 0, 0], [0, 0, 5]]
    slab.pbc = [True, True, False]
    slab.cell[2] = slab.cell[0] + slab.cell[1]
    good = strained(crystals()["Si"])
    for cell in (True, False):
        options = {**FLOAT64, "cell": cell, "max_steps": 20}
        results = relax([boxed, good, slab], database, **options)
        assert not any(result.failed for result in results)
        (alone,) = relax(good, database, **options)
        assert np.abs(results[1].atoms.positions - alone.atoms.positions).max() < 1e-6
        np.testing.assert_array_equal(results[0].atoms.cell.array, boxed.cell.array)
        np.testing.assert_array_equal(results[2].atoms.cell.array[2], slab.cell.array[2])
        assert (results[2].atoms.cell.array[0] != slab.cell.array[0]).any() == cell


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_fixed_is_fixed_to_the_last_bit_where_the_cell_may_move(database, dtype):
    slab = fcc111("Al", (2, 2, 3), a=4.05, vacuum=6.123456789)
    slab.rattle(0.1, seed=1)
    slab.set_constraint(FixAtoms([0, 1, 2, 3]))
    options = {"cell": True, "targets": "nearest", "dtype": dtype, "max_steps": 10}
    (still,) = relax(slab, database, strain_mask=[0, 0, 1, 0, 0, 0], **options)
    np.testing.assert_array_equal(still.atoms.cell.array, slab.cell.array)
    np.testing.assert_array_equal(still.atoms.positions[:4], slab.positions[:4])
    assert (still.atoms.positions[4:] != slab.positions[4:]).any()
    (strained_,) = relax(slab, database, **options)
    deformation = np.linalg.solve(slab.cell.array, strained_.atoms.cell.array)
    expected = (slab.positions @ deformation)[:4]
    np.testing.assert_allclose(strained_.atoms.positions[:4], expected, atol=2e-6)
