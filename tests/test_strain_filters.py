"""Laws of what a cell may do: the allowed strains, and nothing else, as ASE's filters have it."""

import numpy as np
import pytest
import torch
from ase.build import bulk, fcc111, molecule
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from gradient_optimizers import GRADIENT_OPTIMIZERS

from losiko_torch import (
    SOAP,
    Batch,
    EnvironmentDatabase,
    InputError,
    LosikoCalculator,
    annealed,
    relax,
)
from losiko_torch.optimizers.registry import OPTIMIZERS
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.strain import StrainFilter

EXACT = {"dtype": "float64", "cell": True, "targets": "nearest", "fmax": 1e-5}


@pytest.fixture(scope="module")
def database():
    soap = SOAP(
        species=["H", "Si"],
        r_cut=3.2,
        n_max=5,
        l_max=4,
        sigma=0.4,
        smooth_width=0.5,
        periodic=True,
    )
    return EnvironmentDatabase.build(
        [bulk("Si", "diamond", a=5.43), bulk("Si", "bcc", a=3.1), molecule("SiH4")], soap
    )


def strained(seed=0, cubic=True):
    atoms = bulk("Si", "diamond", a=5.43, cubic=cubic)
    rng = np.random.default_rng(seed)
    atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, 0.02, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0, 0.03, atoms.positions.shape)
    return atoms


def logarithmic_strain(result, start):
    """The symmetric E of cell = start exp(E)."""
    deformation = np.linalg.solve(start.cell.array, result.atoms.cell.array)
    values, vectors = np.linalg.eigh((deformation + deformation.T) / 2)
    assert np.abs(deformation - deformation.T).max() < 1e-9
    return vectors @ np.diag(np.log(values)) @ vectors.T


def slab():
    atoms = fcc111("Al", (1, 1, 3), a=4.05, vacuum=6.0)
    atoms.pbc = [True, True, False]
    return atoms


FILTERS = [
    {},
    {"mask": (1, 1, 0, 0, 0, 1)},
    {"mask": (0, 0, 1, 0, 0, 0)},
    {"hydrostatic_strain": True},
    {"constant_volume": True},
    {"mask": (1, 1, 0, 0, 0, 0), "constant_volume": True},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_projections_are_projections_onto_symmetric_strains(filters):
    turned = slab()
    turned.rotate(25, "x", rotate_cell=True)
    batch = Batch.from_atoms([strained(), turned, molecule("SiH4"), slab()])
    projections = StrainFilter(**filters).projections(batch)
    torch.testing.assert_close(projections @ projections, projections)
    torch.testing.assert_close(projections.transpose(1, 2), projections)
    anything = torch.randn(4, 9, 1, generator=torch.Generator().manual_seed(0)).double()
    strain = (projections @ anything).reshape(4, 3, 3)
    torch.testing.assert_close(strain, strain.transpose(1, 2))
    assert (strain[2] == 0).all()
    # No strain along the normal of a slab.
    assert strain[3, 2].abs().max() < 1e-12
    normal = torch.as_tensor(turned.cell.array[2]).double()
    assert (strain[1] @ normal).abs().max() < 1e-10
    if "constant_volume" in filters:
        assert strain.diagonal(dim1=1, dim2=2).sum(1).abs().max() < 1e-12
    mask = StrainFilter(**filters).mask
    voigt = strain[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    assert np.abs(voigt[np.array(mask) == 0]).max(initial=0) < 1e-12


def test_dimensions_of_what_is_allowed():
    batch = Batch.from_atoms([strained(), slab()])

    def sizes(*arguments):
        ranks = StrainFilter(*arguments).projections(batch).diagonal(dim1=1, dim2=2).sum(1)
        return ranks.round().int().tolist()

    assert sizes() == [6, 3]
    assert sizes((1, 1, 0, 0, 0, 1)) == [3, 3]
    assert sizes((1, 1, 1, 1, 1, 1), True) == [1, 1]
    assert sizes((1, 1, 1, 1, 1, 1), False, True) == [5, 2]


def test_in_plane_only(database):
    start = strained()
    (result,) = relax(start, database, strain_mask=[1, 1, 0, 0, 0, 1], **EXACT)
    strain = logarithmic_strain(result, start)
    assert np.abs(strain[2]).max() < 1e-9
    assert np.abs(strain[:2, :2]).max() > 1e-3
    matrix = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    (same,) = relax(start, database, strain_mask=matrix, **EXACT)
    np.testing.assert_array_equal(same.atoms.cell.array, result.atoms.cell.array)


def test_constant_volume(database):
    start = strained()
    (result,) = relax(start, database, constant_volume=True, **EXACT)
    assert result.atoms.get_volume() == pytest.approx(start.get_volume(), rel=1e-9)
    assert np.abs(logarithmic_strain(result, start)).max() > 1e-3


def test_hydrostatic_strain(database):
    start = strained()
    (result,) = relax(start, database, hydrostatic_strain=True, **EXACT)
    strain = logarithmic_strain(result, start)
    np.testing.assert_allclose(strain, strain[0, 0] * np.eye(3), atol=1e-10)
    assert abs(strain[0, 0]) > 1e-3


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ({"hydrostatic_strain": True}, {"hydrostatic_strain": True}),
        ({"constant_volume": True}, {"constant_volume": True}),
        ({"strain_mask": [1, 1, 1, 0, 0, 0]}, {"mask": [1, 1, 1, 0, 0, 0]}),
    ],
    ids=str,
)
def test_ases_filter_ends_at_the_same_loss(database, here, there):
    start = strained(1, cubic=False)
    (result,) = relax(start, database, **(EXACT | {"max_steps": 500} | here))
    through_ase = start.copy()
    through_ase.calc = LosikoCalculator(database, targets="nearest")
    BFGS(FrechetCellFilter(through_ase, **there), logfile=None).run(fmax=1e-5, steps=100)
    assert result.loss == pytest.approx(through_ase.get_potential_energy(), abs=1e-7)
    assert result.atoms.get_volume() == pytest.approx(through_ase.get_volume(), rel=1e-4)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_optimizer_moves_cells_and_stands_noise(database, optimizer):
    start = bulk("Si", "diamond", a=5.6)
    start.rattle(0.03, seed=1)
    options = {"cell": True, "targets": "nearest", "dtype": "float64", "optimizer": optimizer}
    if optimizer == "nelder-mead":
        # The number of steps depends on the processor's rounding: 1,700 on one of them.
        options |= {"max_steps": 3500, "hydrostatic_strain": True}
    else:
        options |= {"max_steps": 1500, "fmax": 1e-3}
    (plain,) = relax(start, database, **options)
    (shaken,) = relax(start, database, noise=(0.005, 0.6), **options)
    for result in (plain, shaken):
        assert result.converged
        assert result.loss < 0.01 * result.start_loss
        assert result.atoms.get_volume() == pytest.approx(5.43**3 / 4, rel=0.01)
    assert shaken.n_steps > len(annealed(0.005, 0.6))


def test_directions_are_all_that_may_change():
    """Directions are an orthonormal basis, as many as there are free coordinates and strains."""
    batch = Batch.from_atoms([strained(), molecule("SiH4")])
    movable = torch.ones_like(batch.positions)
    movable[2:4] = 0
    coordinates = Coordinates.moving_cell(batch, movable)
    basis = coordinates.directions().flatten(1)
    assert len(basis) == int(movable.sum()) + 6
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)).double())
    assert (coordinates.directions() * (1 - coordinates.movable) == 0).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"strain_mask": [1, 1, 0]}, "strain_mask must be six numbers 0 or 1, not all 0"),
        ({"strain_mask": [0] * 6}, "strain_mask must be six numbers"),
        ({"strain_mask": [2] * 6}, "strain_mask must be six numbers"),
        ({"strain_mask": "xy"}, "strain_mask must be six numbers"),
        ({"strain_mask": [[1, 0, 0], [1, 1, 0], [0, 0, 0]]}, "strain_mask must be six numbers"),
        (
            {"hydrostatic_strain": True, "constant_volume": True},
            "hydrostatic_strain and constant_volume together allow no strain",
        ),
        ({"cell": False, "constant_volume": True}, "needs cell=True"),
        (
            {"hydrostatic_strain": True, "strain_mask": [1, 1, 0, 0, 0, 0]},
            "hydrostatic_strain takes no strain_mask",
        ),
        (
            {"constant_volume": True, "strain_mask": [0, 0, 1, 0, 0, 0]},
            "constant_volume and a strain_mask of one length allow no strain",
        ),
        ({"cell": False, "strain_mask": [1] * 6}, "needs cell=True"),
    ],
)
def test_impossible_filters_are_refused(database, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        relax(strained(), database, **({"cell": True} | arguments))


@pytest.mark.parametrize("optimizer", GRADIENT_OPTIMIZERS)
@pytest.mark.parametrize(
    "filters", [{"constant_volume": True}, {"strain_mask": [1, 0, 0, 0, 0, 1]}]
)
def test_no_optimizer_leaves_the_allowed_strains(database, optimizer, filters):
    """Optimizers keep to the allowed strains, also Adam, which scales every number by itself."""
    start = strained(2)
    start.rotate(20, (1, 2, 3), rotate_cell=True)
    options = {"cell": True, "targets": "nearest", "dtype": "float64", "max_steps": 15}
    (result,) = relax(start, database, optimizer=optimizer, **options, **filters)
    strain = logarithmic_strain(result, start)
    if "constant_volume" in filters:
        assert abs(np.trace(strain)) < 1e-9
    else:
        assert np.abs(strain[[1, 2, 1, 0], [1, 2, 2, 2]]).max() < 1e-9
    assert np.abs(strain).max() > 1e-4
