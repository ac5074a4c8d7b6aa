"""Laws of every gradient optimizer, on every kind of problem."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms
from ase.optimize import FIRE as AseFIRE
from gradient_optimizers import GRADIENT_OPTIMIZERS

from losiko_torch import SOAP, EnvironmentDatabase, relax
from losiko_torch.optimizers.fire import FIRE
from losiko_torch.optimizers.interface import hold
from losiko_torch.optimizers.registry import make_optimizer
from losiko_torch.systems.batch import sum_by_system
from losiko_torch.systems.record import ROW, SYSTEM

ORGANIC = ["CH4", "C2H6", "CH3OH", "CH3CH2OH", "H2CO", "H2O", "HCOOH", "CH3OCH3"]


@pytest.fixture(scope="module")
def molecular():
    soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=6, l_max=4, sigma=0.3)
    return EnvironmentDatabase.build(map(molecule, ORGANIC), soap)


@pytest.fixture(scope="module")
def crystalline():
    soap = SOAP(
        species=["Si"], r_cut=3.2, n_max=5, l_max=4, sigma=0.4, smooth_width=0.5, periodic=True
    )
    slab = problems()["slab"]
    slab.positions = (bulk("Si", "diamond", a=5.43, cubic=True) * (1, 1, 2)).positions
    return EnvironmentDatabase.build([bulk("Si", "diamond", a=5.43), slab], soap)


def problems():
    ethanol = molecule("CH3CH2OH")
    crystal = bulk("Si", "diamond", a=5.43, cubic=True)
    fixed = molecule("CH3OH")
    slab = bulk("Si", "diamond", a=5.43, cubic=True) * (1, 1, 2)
    slab.center(vacuum=5.0, axis=2)
    slab.pbc = [True, True, False]
    for k, atoms in enumerate((ethanol, crystal, fixed)):
        atoms.rattle(0.06, seed=k)
    fixed.set_constraint(FixAtoms([0, 1]))
    below = slab.positions[:, 2] < slab.positions[:, 2].mean()
    slab.positions += np.random.default_rng(3).normal(0, 0.06, (16, 3)) * ~below[:, None]
    slab.set_constraint(FixAtoms(mask=below))
    return {"molecule": ethanol, "crystal": crystal, "fixed atoms": fixed, "slab": slab}


@pytest.mark.parametrize("noise", [None, (0.001, 0.8)], ids=["still", "noise"])
@pytest.mark.parametrize("name", GRADIENT_OPTIMIZERS)
@pytest.mark.parametrize("problem", problems())
def test_every_optimizer_solves_every_problem(molecular, crystalline, name, problem, noise):
    atoms = problems()[problem]
    database = crystalline if problem in ("crystal", "slab") else molecular
    (result,) = relax(
        atoms,
        database,
        optimizer=name,
        targets="nearest",
        dtype="float64",
        max_steps=1000,
        noise=noise,
    )
    assert result.reason == "converged"
    assert result.loss < 0.2 * result.start_loss
    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        fixed[constraint.index] = True
    moved = (result.atoms.positions != atoms.positions).any(axis=1)
    assert (moved == ~fixed).all()


@pytest.mark.parametrize("name", GRADIENT_OPTIMIZERS)
def test_a_batch_equals_singles(molecular, name):
    structures = [molecule(name) for name in ("CH3OH", "H2O", "CH3CH2OH")]
    for k, atoms in enumerate(structures):
        atoms.rattle(0.08, seed=k)
    options = {"optimizer": name, "dtype": "float64", "max_steps": 60, "n_neighbors": 8}
    together = relax(structures, molecular, **options)
    for result, atoms in zip(together, structures, strict=True):
        (alone,) = relax(atoms, molecular, **options)
        assert result.n_steps == alone.n_steps
        assert np.abs(result.atoms.positions - alone.atoms.positions).max() < 1e-6


class Springs(Calculator):
    """A stiff and a soft direction for every atom, in ASE and in torch."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012
    stiffness = np.array([20.0, 3.0, 0.5])

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        away = self.atoms.positions
        energy = 0.5 * (self.stiffness * away**2).sum()
        self.results = {"energy": energy, "forces": -self.stiffness * away}


def test_fire_steps_as_ases_does():
    rng = np.random.default_rng(0)
    sizes = [1, 4, 7]
    starts = [rng.normal(0, 0.6, (size, 3)) for size in sizes]
    idx = torch.repeat_interleave(torch.arange(3), torch.tensor(sizes))
    optimizer = FIRE()
    state = optimizer.init(torch.tensor(np.concatenate(starts)), 3)
    stiffness = torch.tensor(Springs.stiffness)
    references = [Atoms(f"H{len(start)}", positions=start) for start in starts]
    drivers = []
    for atoms in references:
        atoms.calc = Springs()
        drivers.append(AseFIRE(atoms, logfile=None))
    never = torch.zeros(3, dtype=torch.bool)
    for _ in range(60):
        gradient = stiffness * state.trial
        loss = sum_by_system(0.5 * (gradient * state.trial).sum(1), idx, 3)
        state, _ = optimizer.step(state, loss, gradient, idx, never)
        for driver in drivers:
            driver.step()
        expected = np.concatenate([atoms.positions for atoms in references])
        assert np.abs(state.trial.numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("name", GRADIENT_OPTIMIZERS)
def test_kept_structures_go_on_as_if_nothing_had_happened(name):
    optimizer = make_optimizer(name)
    sizes = torch.tensor([2, 3, 1, 4])
    idx = torch.repeat_interleave(torch.arange(4), sizes)
    stiffness = torch.tensor(Springs.stiffness)
    generator = torch.Generator().manual_seed(3)
    state = optimizer.init(torch.randn(10, 3, generator=generator).double(), 4)

    def advance(state, idx, n_systems, first):
        gradient = stiffness * state.trial
        loss = sum_by_system(0.5 * (gradient * state.trial).sum(1), idx, n_systems)
        fresh = torch.full((n_systems,), first)
        return optimizer.step(state, loss, gradient, idx, fresh)[0]

    for step in range(6):
        state = advance(state, idx, 4, step == 0)
    systems = torch.tensor([False, True, False, True])
    atoms = systems[idx]
    kept, kept_idx = state.select({SYSTEM: systems, ROW: atoms}), torch.tensor([0] * 3 + [1] * 4)
    for _ in range(6):
        state, kept = advance(state, idx, 4, False), advance(kept, kept_idx, 2, False)
        torch.testing.assert_close(kept.trial, state.trial[atoms], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", GRADIENT_OPTIMIZERS)
def test_held_structures_are_evaluated_where_they_are(name):
    optimizer = make_optimizer(name)
    idx = torch.tensor([0, 0, 1])
    start = torch.ones(3, 3, dtype=torch.float64)
    state = optimizer.init(start, 2)
    fresh = torch.ones(2, dtype=torch.bool)
    state, accepted = optimizer.step(state, torch.ones(2).double(), start, idx, fresh)
    assert accepted.all()
    held = hold(state, torch.tensor([True, False]), idx)
    assert torch.equal(held.trial[:2], state.position[:2])
    assert torch.equal(held.trial[2], state.trial[2])
    assert not torch.equal(held.trial[2], state.position[2])


@pytest.mark.parametrize("name", GRADIENT_OPTIMIZERS)
def test_no_atom_goes_farther_than_allowed_in_a_step(name):
    optimizer = make_optimizer(name)
    start = torch.zeros(4, 3, dtype=torch.float64)
    idx, fresh = torch.tensor([0, 0, 1, 1]), torch.ones(2, dtype=torch.bool)
    gradient = torch.full_like(start, 1e6)
    state, _ = optimizer.step(
        optimizer.init(start, 2), torch.ones(2).double(), gradient, idx, fresh
    )
    longest = getattr(optimizer, "max_step", None) or optimizer.maxstep
    assert 0 < (state.trial - start).norm(dim=1).max() <= longest + 1e-12
