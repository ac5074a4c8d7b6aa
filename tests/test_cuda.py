"""Equal results on GPU and processor: everything once on a CUDA device, with and without kernels.

In double precision both relax alike until rounding, whose order differs from run to run on a GPU,
decides: structures agree far better than ``fmax``, though not to the last bit.
"""

import numpy as np
import pytest
import small_learned
import torch
from ase.build import bulk
from ase.constraints import FixAtoms
from small_database import PARAMETERS, database, rattled

from losiko_torch import (
    SOAP,
    Density,
    EnvironmentDatabase,
    LosikoCalculator,
    Repulsion,
    Tether,
    accelerators,
    relax,
    score,
)
from losiko_torch.batching import memory
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.report.environment_map import environment_map

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

NAMES = ["CH3OH", "C6H6", "H2O", "CH3NO2", "C5H5N", "isobutane", "HCN", "CH3CONH2", "C4H4O"]


@pytest.fixture(params=["kernels", "plain torch"])
def kernels(request, monkeypatch):
    if request.param == "plain torch":
        monkeypatch.setattr(accelerators, "_kernels", lambda device: None)
    elif accelerators.kernels_for(torch.device("cuda")) is None:
        pytest.fail("the kernels for CUDA cannot be used")


def many():
    return [rattled(name, seed, 0.05) for seed, name in enumerate(NAMES)]


def crystals():
    made = [bulk("C", "diamond", 3.6, cubic=True), bulk("C", "bcc", 2.6, cubic=True)]
    for seed, atoms in enumerate(made):
        atoms.rattle(0.03, seed=seed)
    return made


def crystal_database():
    return EnvironmentDatabase.build(
        [bulk("C", "diamond", 3.57), bulk("C", "fcc", 3.1), bulk("C", "sc", 1.9)],
        SOAP(
            species=["C"], r_cut=2.5, n_max=4, l_max=4, sigma=0.3, periodic=True, smooth_width=0.5
        ),
    )


def both(structures, made, **options):
    """Results of the processor and of the GPU."""
    options = {"dtype": "float64", **options}
    return [relax(structures, made, device=device, **options) for device in ("cpu", "cuda")]


def assert_alike(found, position=1e-4, loss=1e-6):
    for one, other in zip(*found, strict=True):
        assert one.reason == other.reason
        assert other.loss == pytest.approx(one.loss, abs=loss)
        assert other.start_loss == pytest.approx(one.start_loss, rel=1e-6)
        np.testing.assert_allclose(other.atoms.positions, one.atoms.positions, atol=position)
        np.testing.assert_allclose(other.atoms.cell, one.atoms.cell, atol=position)


@pytest.mark.parametrize("optimizer", ["lbfgs", "fire", "adam", "gradient-descent"])
@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
def test_relaxation(kernels, targets, optimizer):
    found = both(many(), database(), targets=targets, optimizer=optimizer, max_steps=25)
    assert_alike(found)


def test_single_precision(kernels):
    one, other = both(many(), database(), dtype="float32")
    for ours, theirs in zip(one, other, strict=True):
        assert theirs.loss <= theirs.start_loss
        assert theirs.loss == pytest.approx(ours.loss, abs=5e-3)
    assert sum(result.converged for result in other) >= len(other) - 1


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
def test_cells(kernels, targets):
    found = both(crystals(), crystal_database(), targets=targets, cell=True, max_steps=20)
    assert_alike(found)


def test_terms(kernels):
    terms = [Repulsion(closest={("C", "C"): 1.5, ("C", "H"): 1.2}), Tether(0.1)]
    assert_alike(both(many(), database(), terms=terms, max_steps=25))
    penalty = Density(3.3, 10.0)
    assert_alike(
        both(crystals(), crystal_database(), cell=True, terms=[penalty, terms[0]], max_steps=20)
    )


def test_noise_starts_and_fixed_atoms(kernels):
    structures = many()[:4]
    structures[0].set_constraint(FixAtoms([0, 2]))
    found = both(
        structures, database(), targets="nearest", noise=(0.01, 0.5), n_starts=2, max_steps=10
    )
    assert_alike(found)
    np.testing.assert_array_equal(
        found[1][0].atoms[[0, 2]].positions, structures[0][[0, 2]].positions
    )


def test_nelder_mead():
    assert_alike(both(many()[2], database(), optimizer="nelder-mead", max_steps=60))


def test_weighted_references(kernels):
    weighted = database().weighted(lambda record: 2.0 if "O" in record["formula"] else 1.0)
    assert_alike(both(many(), weighted, max_steps=15))


@pytest.mark.parametrize(
    "changes", [{"rbf": "polynomial"}, {"compression": {"mode": "mu2"}}], ids=str
)
def test_other_descriptors(kernels, changes):
    made = EnvironmentDatabase.build(many(), SOAP(**{**PARAMETERS, **changes}))
    starts = [rattled(name, 5, 0.05) for name in NAMES]
    assert_alike(both(starts, made, max_steps=10))


def test_score_and_matches(kernels):
    one, other = (score(many(), database(), dtype="float64", device=d) for d in ("cpu", "cuda"))
    for ours, theirs in zip(one, other, strict=True):
        assert theirs.loss == pytest.approx(ours.loss, rel=1e-6)
        np.testing.assert_array_equal(theirs.matches.structure, ours.matches.structure)
        np.testing.assert_allclose(theirs.matches.distance, ours.matches.distance, atol=1e-6)


def test_calculator(kernels):
    atoms, found = rattled("CH3OH"), []
    for device in ("cpu", "cuda"):
        atoms.calc = LosikoCalculator(database(), device=device)
        found.append((atoms.get_potential_energy(), atoms.get_forces()))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], atol=1e-6)


def test_database_made_on_the_gpu(kernels, tmp_path):
    """A database made on the GPU gives the same losses, though its components may be turned."""
    structures = [rattled(name, 0, 0.0) for name in NAMES]
    built = EnvironmentDatabase.build(structures, SOAP(**PARAMETERS).to("cuda"))
    assert built.device.type == "cuda"
    built.save(tmp_path / "small.losiko")
    here = EnvironmentDatabase.load(tmp_path / "small.losiko")
    there = EnvironmentDatabase.load(tmp_path / "small.losiko", device="cuda")
    ours = [each.loss for each in score(many(), here, dtype="float64")]
    for made in (built, there):
        theirs = [each.loss for each in score(many(), made, dtype="float64")]
        np.testing.assert_allclose(theirs, ours, rtol=1e-6)


def test_map():
    one, other = (environment_map(many(), database(), device=d) for d in ("cpu", "cuda"))
    assert not other.failures
    for ours, theirs in zip(one.elements, other.elements, strict=True):
        np.testing.assert_allclose(theirs.separation, ours.separation, atol=1e-4)
        np.testing.assert_array_equal(theirs.nearest, ours.nearest)


def test_batches_that_fit(kernels):
    made = database().to("cuda")
    assert memory.atoms_that_fit(Objective(made, LocallyLinear(64)), torch.float32) > 1000
    whole = relax(many(), made, dtype="float64")
    parts = relax(many(), made, dtype="float64", batch_atoms=20)
    assert_alike((whole, parts))


def test_learned_targets_lead_to_the_same_end(kernels):
    learned = small_learned.of_molecules()
    some = [small_learned.molecule(name, k) for k, name in enumerate(small_learned.NAMES)]
    expected = relax(some, learned, dtype="float64")
    for one, other in zip(
        relax(some, learned, dtype="float64", device="cuda"), expected, strict=True
    ):
        assert one.reason == other.reason
        assert np.abs(one.atoms.positions - other.atoms.positions).max() < 1e-3
        assert one.expected_error == pytest.approx(other.expected_error, rel=1e-2)


def test_fit_on_a_gpu_is_about_that_of_the_processor(kernels):
    plain = small_learned.plain_molecules()
    here, there = (
        small_learned.fitted(each, steps=40).learned.info for each in (plain, plain.to("cuda"))
    )
    assert there["error"] == pytest.approx(here["error"], rel=0.1)
