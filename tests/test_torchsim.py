"""Laws of the TorchSim model: the calculator's numbers, and life under TorchSim's drivers."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from small_database import database, rattled

from losiko_torch import SOAP, EnvironmentDatabase, LosikoCalculator, StructureError

ts = pytest.importorskip("torch_sim", reason="TorchSim is not installed (extra [torchsim])")
from torch_sim.models.interface import validate_model_outputs  # noqa: E402

from losiko_torch.torchsim import LosikoModel  # noqa: E402

MOLECULES = ["CH3CH2OH", "H2O", "CH3CONH2", "C6H6"]
#: Since 0.5 optimizers go by name and each direction has a periodicity of its own.
MODERN = hasattr(ts, "Optimizer")


def crystals():
    return {
        "Si": bulk("Si", "diamond", a=5.43),
        "Si cubic": bulk("Si", "diamond", a=5.43, cubic=True),
        "SiC": bulk("SiC", "zincblende", a=4.36),
        "SiO": bulk("SiO", "rocksalt", a=4.6),
    }


def strained():
    """Crystals whose cells are no symmetric matrices, so that rows and columns tell apart."""
    rng = np.random.default_rng(1)
    out = []
    for atoms in crystals().values():
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, 0.03, (3, 3))), scale_atoms=True)
        atoms.rattle(0.08, seed=3)
        out.append(atoms)
    return out


def smooth(*species):
    return SOAP(
        species=species, r_cut=3.2, n_max=5, l_max=4, sigma=0.4, smooth_width=0.5, periodic=True
    )


@pytest.fixture(scope="module")
def crystalline():
    return EnvironmentDatabase.build(crystals().values(), smooth("C", "O", "Si"))


def state_of(structures, model):
    return ts.initialize_state(structures, model.device, model.dtype)


def optimize(structures, model, cell=False, fmax=1e-3, **options):
    if MODERN:
        options["optimizer"] = ts.Optimizer.fire
        if cell:
            options["init_kwargs"] = {"cell_filter": ts.CellFilter.frechet}
    else:
        options["optimizer"] = ts.optimizers.frechet_cell_fire if cell else ts.optimizers.fire
    until = ts.generate_force_convergence_fn(force_tol=fmax, include_cell_forces=cell)
    return ts.optimize(structures, model, convergence_fn=until, max_steps=1000, **options)


def assert_is_the_calculator(structures, database, targets, **options):
    model = LosikoModel(database, targets=targets, **options)
    found = model(state_of(structures, model))
    start = 0
    for k, atoms in enumerate(structures):
        atoms.calc = LosikoCalculator(database, targets=targets, **options)
        own = slice(start, start := start + len(atoms))
        for name, expected in (
            ("energy", atoms.get_potential_energy()),
            ("energies", atoms.get_potential_energies()),
            ("forces", atoms.get_forces()),
            ("stress", atoms.get_stress(voigt=False) if atoms.pbc.all() else np.zeros((3, 3))),
        ):
            values = found[name][k if name in ("energy", "stress") else own]
            assert values.numpy() == pytest.approx(expected, rel=1e-10, abs=1e-10), (k, name)


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
def test_molecules_have_the_calculators_numbers(targets):
    assert_is_the_calculator([rattled(name) for name in MOLECULES], database(), targets)


def test_weights_and_degree_are_the_calculators():
    options = {"weights": {"H": 0.3, "O": 2.0}, "degree": 2}
    structures = [rattled(name) for name in MOLECULES]
    assert_is_the_calculator(structures, database(), "nearest", **options)


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
def test_crystals_have_the_calculators_numbers(crystalline, targets):
    assert_is_the_calculator(strained(), crystalline, targets)


@pytest.mark.skipif(not MODERN, reason="this TorchSim has no partly periodic systems")
def test_slabs_have_the_calculators_numbers():
    slab = fcc111("Al", (1, 1, 3), vacuum=5.0)
    known = EnvironmentDatabase.build([slab], smooth("Al"))
    slab.rattle(0.1, seed=1)
    thick = fcc111("Al", (2, 1, 4), vacuum=None)
    thick.rattle(0.1, seed=2)
    assert not slab.pbc.all()
    assert not thick.cell[2].any()
    assert_is_the_calculator([slab, thick], known, "nearest")


def test_a_batch_equals_its_systems(crystalline):
    model = LosikoModel(crystalline)
    structures = strained()
    together = model(state_of(structures, model))
    single = [model(state_of([atoms], model)) for atoms in structures]
    for name, values in together.items():
        expected = torch.cat([found[name] for found in single])
        assert values.numpy() == pytest.approx(expected.numpy(), rel=1e-10, abs=1e-12)


def test_torchsims_own_check():
    known = [bulk("Si"), bulk("Mg"), bulk("Fe"), bulk("Fe", "fcc", a=5.26), molecule("C6H6")]
    model = LosikoModel(EnvironmentDatabase.build(known, smooth("H", "C", "Si", "Mg", "Fe")))
    validate_model_outputs(model, model.device, model.dtype)


def test_fire_reaches_the_references():
    model = LosikoModel(database(), targets="nearest")
    start = [rattled(name, width=0.03) for name in MOLECULES]
    assert (model(state_of(start, model))["energy"] > 1e-3).all()
    end = optimize(start, model)
    assert (end.energy < 1e-4).all()


def test_fire_finds_the_volumes(crystalline):
    model = LosikoModel(crystalline, targets="nearest")
    start = []
    for k, atoms in enumerate(crystals().values()):
        atoms.set_cell(atoms.cell * (1.03 - 0.02 * k), scale_atoms=True)
        atoms.rattle(0.02, seed=k)
        start.append(atoms)
    end = optimize(start, model, cell=True)
    expected = [atoms.get_volume() for atoms in crystals().values()]
    assert torch.linalg.det(end.cell).abs().numpy() == pytest.approx(expected, rel=1e-3)
    assert (end.energy < 1e-4).all()


def test_torchsim_cuts_batches():
    model = LosikoModel(database(), targets="nearest")
    start = [rattled(name, width=0.03) for name in MOLECULES]
    batcher = ts.InFlightAutoBatcher(
        model, memory_scales_with=model.memory_scales_with, max_memory_scaler=16
    )
    cut = optimize(start, model, fmax=0.02, autobatcher=batcher)
    whole = optimize(start, model, fmax=0.02)
    assert cut.energy.numpy() == pytest.approx(whole.energy.numpy(), abs=1e-10)
    assert cut.positions.numpy() == pytest.approx(whole.positions.numpy(), abs=1e-8)


def test_only_what_is_wanted_is_computed(crystalline):
    model = LosikoModel(crystalline, compute_forces=False, compute_stress=False)
    state = state_of(strained(), model)
    alone = model(state)
    assert set(alone) == {"energy", "energies"}
    model.compute_forces = True
    assert set(model(state)) == {"energy", "energies", "forces"}
    model.compute_stress = True
    everything = model(state)
    assert set(everything) == {"energy", "energies", "forces", "stress"}
    assert alone["energy"].numpy() == pytest.approx(everything["energy"].numpy(), rel=1e-10)


def test_results_carry_no_history_and_the_models_precision():
    model = LosikoModel(database(), dtype="float32")
    state = state_of([rattled("H2O"), rattled("CH3OH")], model)
    state.positions.requires_grad_()
    exact = LosikoModel(database())
    for name, values in model(state).items():
        assert values.dtype == torch.float32
        assert not values.requires_grad
        # Each model computes in its own precision, whatever the state's.
        expected = exact(state)[name]
        assert expected.dtype == torch.float64
        assert values.double().numpy() == pytest.approx(expected.numpy(), abs=1e-3)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (Atoms("He"), r"system 1 \(He\): .*does not know He"),
        (Atoms("H", positions=[[np.nan, 0, 0]]), r"system 1 \(H\): atom 0 has a coordinate"),
        (Atoms("H", positions=[[1e6, 0, 0]]), r"system 1 \(H\): atom 0 .* beyond"),
    ],
)
def test_the_system_that_cannot_be_judged_is_named(bad, sentence):
    model = LosikoModel(database())
    with pytest.raises(StructureError, match=sentence):
        model(state_of([molecule("H2O"), bad], model))


def test_an_element_without_references_is_named():
    soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
    model = LosikoModel(EnvironmentDatabase.build([molecule("H2O")], soap))
    with pytest.raises(StructureError, match=r"system 1 \(CH4\): .*no environment of C"):
        model(state_of([molecule("H2O"), molecule("CH4")], model))


def test_crystals_need_a_database_of_crystals(crystalline):
    model = LosikoModel(database())
    with pytest.raises(StructureError, match=r"system 0 \(C2\): it is periodic but"):
        model(state_of([bulk("C")], model))
    model = LosikoModel(crystalline)
    flat = bulk("Si")
    flat.cell[2] = flat.cell[0] + flat.cell[1]
    with pytest.raises(StructureError, match=r"system 1 \(Si2\): .*span no volume"):
        model(state_of([bulk("Si"), flat], model))
