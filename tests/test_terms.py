"""Laws of each built-in term of the loss: its value by hand, its gradients, its symmetries."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from small_database import NAMES, database, rattled

from losiko_torch import (
    Batch,
    Density,
    EnvironmentDatabase,
    Property,
    Repulsion,
    Tether,
    relax,
    score,
)
from losiko_torch.loss.terms.evaluate import evaluate_terms, term_values
from losiko_torch.loss.terms.interface import arrays_of
from losiko_torch.systems.batch import sum_by_system

SEEDS = st.integers(0, 2**32 - 1)
#: Angstrom; long enough that the structures of the tests overlap.
CLOSEST = {
    ("H", "H"): 1.7,
    ("H", "O"): 1.1,
    ("O", "O"): 1.6,
    ("H", "C"): 1.3,
    ("C", "O"): 1.5,
    ("Si", "Si"): 2.5,
    ("Si", "O"): 2.3,
}


class Spread(torch.nn.Module):
    """Mean squared distance from the middle, weighted by element, and the logarithmic volume."""

    def __init__(self):
        super().__init__()
        factors = torch.linspace(0.5, 1.5, 100, dtype=torch.float64)
        self.factors = torch.nn.Parameter(factors)

    def forward(self, batch):
        counts = batch.counts.to(batch.positions)
        total = sum_by_system(batch.positions, batch.system_idx, batch.n_systems)
        middle = (total / counts[:, None])[batch.system_idx]
        apart = (batch.positions - middle).square().sum(1) * self.factors[batch.numbers]
        spread = sum_by_system(apart, batch.system_idx, batch.n_systems) / counts
        return spread + 0.1 * torch.linalg.det(batch.cells).abs().log()


def molecules():
    return [molecule("H2O"), molecule("H2O2"), molecule("CH3OH")]


def crystals():
    """Crystals in cells that are no symmetric matrices."""
    rng = np.random.default_rng(4)
    found = [bulk("Si", "diamond", a=5.2), bulk("SiO", "rocksalt", a=4.4, cubic=True)]
    for atoms in found:
        deformed = atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.04, (3, 3)))
        atoms.set_cell(deformed, scale_atoms=True)
    return found


def with_anchors(structures):
    """Structures with an array of anchors (n, 3), of which the first atom has none."""
    for number, atoms in enumerate(structures):
        rng = np.random.default_rng(number)
        anchors = atoms.positions + rng.normal(0, 0.2, atoms.positions.shape)
        anchors[0] = np.nan
        atoms.set_array("anchors", anchors)
    return structures


CASES = {
    "density": (Density(2.0, 3.0), crystals()),
    "repulsion": (Repulsion(4.0, CLOSEST), [*molecules(), *crystals()]),
    "tether to the start": (Tether(0.7), [*molecules(), *crystals()]),
    "tether to a name": (Tether(0.7, "anchors"), with_anchors([*molecules(), *crystals()])),
    "tether to positions": (
        Tether(0.7, [atoms.positions + 0.1 for atoms in [*molecules(), *crystals()]]),
        [*molecules(), *crystals()],
    ),
    "tether to an array": (
        Tether(0.7, np.arange(9.0).reshape(3, 3) / 10),
        [molecule("H2O"), rattled("H2O", 1), rattled("H2O", 2)],
    ),
    "property with a target": (Property(Spread(), 0.3, 2.0), [*molecules(), *crystals()]),
    "property made large": (Property(Spread(), weight=-0.5), [*molecules(), *crystals()]),
}
EVERY = pytest.mark.parametrize("name", CASES)


def batch_of(term, structures, dtype=torch.float64, shift=0.1):
    """Batch with a term's record of the structures, whose atoms have moved since."""
    kept = [arrays_of([term], atoms, number) for number, atoms in enumerate(structures)]
    moved = []
    for atoms in structures:
        numbers = np.random.default_rng(len(atoms)).normal(0, shift, (len(atoms), 3))
        moved.append(atoms.copy())
        moved[-1].positions += numbers
    batch = Batch.from_atoms(moved, dtype)
    arrays = {
        key: torch.as_tensor(np.concatenate([each[key] for each in kept])).to(dtype)
        for key in kept[0]
    }
    return replace(batch, arrays=arrays)


def strained(batch, positions, strain):
    """Batch with other positions, deformed: r -> r (1 + strain)."""
    deformation = torch.eye(3).to(strain) + strain
    atoms = (positions[:, None, :] @ deformation[batch.system_idx]).squeeze(1)
    return replace(batch, positions=atoms, cells=batch.cells @ deformation)


@EVERY
def test_torch_differentiates_it(name):
    term, structures = CASES[name]
    batch = batch_of(term, structures)
    positions = batch.positions.clone().requires_grad_()
    strain = torch.zeros_like(batch.cells).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda at, by: term(strained(batch, at, by)), (positions, strain), atol=1e-7
    )


@EVERY
def test_gradient_and_virial_are_those_of_central_differences(name):
    term, structures = CASES[name]
    batch, h = batch_of(term, structures), 1e-5
    found = evaluate_terms([term], batch)
    torch.testing.assert_close(found.values, term_values([term], batch))
    # A term of zero everywhere would have no gradient to be wrong.
    assert max(found.gradient.abs().max(), found.virial.abs().max()) > 1e-2

    def total(positions, strain):
        return float(term(strained(batch, positions, strain)).sum())

    nothing = torch.zeros_like(batch.cells)
    for tensor, gradient, value in (
        (batch.positions, found.gradient, lambda at: total(at, nothing)),
        (nothing, found.virial, lambda by: total(batch.positions, by)),
    ):
        for place in np.ndindex(*tensor.shape):
            step = torch.zeros_like(tensor)
            step[place] = h
            slope = (value(tensor + step) - value(tensor - step)) / (2 * h)
            assert abs(slope - float(gradient[place])) <= 1e-6


def test_values_and_gradients_of_terms_add_up():
    several = [
        CASES["repulsion"][0],
        CASES["tether to the start"][0],
        CASES["property made large"][0],
    ]
    batch = batch_of(several[1], [*molecules(), *crystals()])
    together = evaluate_terms(several, batch)
    alone = [evaluate_terms([term], batch) for term in several]
    torch.testing.assert_close(together.values, torch.cat([each.values for each in alone]))
    torch.testing.assert_close(together.gradient, sum(each.gradient for each in alone))
    torch.testing.assert_close(together.virial, sum(each.virial for each in alone))
    assert term_values([], batch).shape == (0, batch.n_systems)


@EVERY
def test_a_batch_equals_single_structures(name):
    term, structures = CASES[name]
    batch = batch_of(term, structures)
    together = evaluate_terms([term], batch)
    for number in range(batch.n_systems):
        mask = batch.mask([number])
        alone = evaluate_terms([term], batch.keep(mask))
        torch.testing.assert_close(alone.values, together.values[:, mask], rtol=1e-12, atol=1e-14)
        atoms = mask[batch.system_idx]
        torch.testing.assert_close(alone.gradient, together.gradient[atoms], rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(alone.virial, together.virial[mask], rtol=1e-12, atol=1e-12)


@EVERY
def test_single_precision_comes_close(name):
    term, structures = CASES[name]
    exact, rough = (
        evaluate_terms([term], batch_of(term, structures, dtype))
        for dtype in (torch.float64, torch.float32)
    )
    for one, other in zip(exact, rough, strict=True):
        assert other.dtype == torch.float32
        size = float(one.abs().max())
        torch.testing.assert_close(other.double(), one, rtol=1e-5, atol=1e-5 * size)


@EVERY
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_the_order_of_atoms_makes_no_difference(name, seed):
    term, structures = CASES[name]
    batch = batch_of(term, structures)
    rng = np.random.default_rng(seed)
    starts = np.cumsum([0, *batch.counts.tolist()])
    order = torch.as_tensor(
        np.concatenate([a + rng.permutation(b - a) for a, b in pairwise(starts)])
    )
    shuffled = replace(
        batch,
        positions=batch.positions[order],
        numbers=batch.numbers[order],
        arrays={key: values[order] for key, values in batch.arrays.items()},
    )
    before, after = evaluate_terms([term], batch), evaluate_terms([term], shuffled)
    torch.testing.assert_close(after.values, before.values, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(after.gradient, before.gradient[order], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["density", "repulsion", "property with a target"])
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_rotations_and_translations_make_no_difference(name, seed):
    term, structures = CASES[name]
    batch, rng = batch_of(term, structures), np.random.default_rng(seed)
    rotation = torch.as_tensor(Rotation.random(random_state=rng).as_matrix())
    moved = replace(
        batch,
        positions=batch.positions @ rotation + torch.as_tensor(rng.normal(0, 3, 3)),
        cells=batch.cells @ rotation,
    )
    before, after = evaluate_terms([term], batch), evaluate_terms([term], moved)
    torch.testing.assert_close(after.values, before.values, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(after.gradient, before.gradient @ rotation, rtol=1e-8, atol=1e-9)


def test_density_is_mass_over_volume():
    silicon = bulk("Si", "diamond", a=5.431)
    grams = silicon.get_masses().sum() / units.mol / (silicon.get_volume() * 1e-24)
    assert grams == pytest.approx(2.33, abs=0.005)
    batch = Batch.from_atoms([silicon, silicon * (2, 1, 1)])
    assert Density(grams, 7.0)(batch).abs().max() < 1e-15
    np.testing.assert_allclose(Density(grams + 0.5, 7.0)(batch), 7.0 * 0.5**2, rtol=1e-7)


def test_repulsion_sees_periodic_images():
    term = Repulsion(3.0, {("H", "H"): 1.2})
    for pbc, n_pairs in ((True, 3), ((True, True, False), 2), ((0, 0, 1), 1), (False, 0)):
        atoms = Atoms("H", cell=np.eye(3), pbc=pbc)
        expected = 3.0 / 2 * n_pairs * 0.2**2
        assert float(term(Batch.from_atoms(atoms))) == pytest.approx(expected, abs=1e-12)
    # A larger cell holds the same pairs several times.
    atoms = Atoms("H", cell=np.eye(3), pbc=True)
    cells = Batch.from_atoms([atoms, atoms * (2, 2, 2)])
    one, eight = term(cells).tolist()
    assert eight == pytest.approx(8 * one)


def test_repulsion_across_the_cell_is_that_inside():
    inside = Atoms("HO", [(2, 2, 2), (2, 2, 2.8)], cell=[5, 5, 5], pbc=True)
    across = Atoms("HO", [(2, 2, 0.1), (2, 2, 4.3)], cell=[5, 5, 5], pbc=True)
    one, other = Repulsion(3.0, CLOSEST)(Batch.from_atoms([inside, across])).tolist()
    assert one == pytest.approx(other) == pytest.approx(3.0 / 2 * 0.3**2)


@settings(max_examples=30, deadline=None)
@given(apart=st.floats(0.2, 2.5), least=st.floats(0.5, 2.0), stiffness=st.floats(0.1, 100))
def test_repulsion_of_two_atoms(apart, least, stiffness):
    pair = Batch.from_atoms(Atoms("OH", [(0, 0, 0), (0, 0, apart)]))
    found = float(Repulsion(stiffness, {("O", "H"): least})(pair))
    assert found == pytest.approx(stiffness / 2 * max(0.0, least - apart) ** 2, abs=1e-12)
    # The order of the elements in the table makes no difference.
    assert found == float(Repulsion(stiffness, {(1, 8): least})(pair))


def test_unknown_pairs_have_the_sum_of_their_covalent_radii():
    least = covalent_radii[9] + covalent_radii[17]
    pair = Batch.from_atoms(Atoms("FCl", [(0, 0, 0), (0, 0, least - 0.25)]))
    assert float(Repulsion(8.0, CLOSEST)(pair)) == pytest.approx(4.0 * 0.25**2)


def test_atoms_on_one_spot_have_a_value_and_no_direction():
    batch = Batch.from_atoms(Atoms("H2", [(1, 1, 1), (1, 1, 1)]))
    found = evaluate_terms([Repulsion(2.0, CLOSEST)], batch)
    assert float(found.values) == pytest.approx(1.7**2)
    assert torch.isfinite(found.gradient).all()


def closest_of(structures):
    """Shortest interatomic distance of each pair of elements, Angstrom, by ASE."""
    found = {}
    for atoms in structures:
        first, second, apart = neighbor_list("ijd", atoms, 5.0)
        for i, j, distance in zip(first, second, apart, strict=True):
            pair = tuple(sorted((int(atoms.numbers[i]), int(atoms.numbers[j]))))
            found[pair] = min(distance, found.get(pair, np.inf))
    return found


@pytest.mark.parametrize("structures", [[molecule(name) for name in NAMES], crystals()])
def test_known_structures_are_not_repelled(structures):
    term = Repulsion(10.0, closest_of(structures))
    squeezed = []
    for atoms in structures:
        squeezed.append(atoms.copy())
        squeezed[-1].set_cell(0.5 * atoms.cell.array)
        squeezed[-1].positions *= 0.5
    assert float(term(Batch.from_atoms(structures)).max()) <= 1e-20
    assert float(term(Batch.from_atoms(squeezed)).min()) > 0.1


def test_a_database_holds_the_distances():
    structures = [*(molecule(name) for name in NAMES[:8]), *crystals()]
    soap = type(database().descriptor)(
        species=["H", "C", "N", "O", "Si"], r_cut=3.0, n_max=3, l_max=2, sigma=0.4, periodic=True
    )
    built = EnvironmentDatabase.build(structures, soap)
    if not hasattr(built, "closest"):
        pytest.skip("databases do not hold the shortest interatomic distances")
    expected = closest_of(structures)
    assert set(built.closest) == set(expected)
    for pair, distance in expected.items():
        assert built.closest[pair] == pytest.approx(distance, abs=1e-5)
    for each in score(structures, built, terms=[Repulsion()], dtype="float64"):
        assert each.terms["repulsion"] == pytest.approx(0, abs=1e-8)
    near = molecule("H2O")
    near.positions *= 0.8
    assert score(near, built, terms=[Repulsion()])[0].terms["repulsion"] > 0.01


def test_a_tether_is_a_spring():
    water, away = molecule("H2O"), np.array([[0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.3]])
    batch = batch_of(Tether(3.0), [water], shift=0)
    moved = batch.with_positions(batch.positions + torch.as_tensor(away))
    assert float(Tether(3.0)(moved)) == pytest.approx(1.5 * 0.14)
    found = evaluate_terms([Tether(3.0)], moved)
    np.testing.assert_allclose(found.gradient, 3.0 * away, atol=1e-12)


def test_a_strain_takes_the_anchors_along():
    batch = batch_of(Tether(3.0), crystals(), shift=0)
    strain = torch.full_like(batch.cells, 0.05)
    assert term_values([Tether(3.0)], strained(batch, batch.positions, strain)).max() < 1e-25


def test_atoms_without_an_anchor_are_free():
    water = molecule("H2O")
    anchors = water.positions.copy()
    anchors[1] = np.nan
    term = Tether(3.0, anchors)
    batch = batch_of(term, [water], shift=0)
    batch.positions[1] += 100.0
    found = evaluate_terms([term], batch)
    assert float(found.values) == pytest.approx(0, abs=1e-25)
    assert found.gradient.abs().max() < 1e-12
    batch.positions[2] += 0.1
    assert float(term(batch)) == pytest.approx(3.0 / 2 * 0.03)


def test_a_property_is_a_copy_of_its_module():
    module = Spread().train()
    term = Property(module, weight=2.0)
    batch = Batch.from_atoms(molecules())
    before, expected = term(batch), 2.0 * module(batch)
    torch.testing.assert_close(before, expected.detach())
    identity = term.identity()
    with torch.no_grad():
        module.factors.fill_(7.0)
    torch.testing.assert_close(term(batch), before)
    assert term.identity() == identity != Property(module, weight=2.0).identity()
    assert not term.module.training
    assert not any(each.requires_grad for each in term.module.parameters())


def test_a_property_has_a_target():
    batch = Batch.from_atoms(molecules())
    values = Spread()(batch).detach()
    torch.testing.assert_close(
        Property(Spread(), 0.3, 2.0)(batch), 2.0 * (values - 0.3) ** 2, rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_terms_of_results_add_up(dtype):
    terms = [Repulsion(4.0, CLOSEST), Tether(0.05), Property(Spread(), 0.3, 1e-3, name="spread")]
    guesses = [rattled("CH3OH", 1), rattled("H2O", 2)]
    options = {"terms": terms, "dtype": dtype, "weights": {"H": 0.5}}
    exact = 1e-12 if dtype == "float64" else 1e-6
    for found in (
        *relax(guesses, database(), max_steps=8, **options),
        *score(guesses, database(), **options),
    ):
        assert list(found.terms) == ["repulsion", "tether", "spread"]
        total = found.distances.astype(float).sum() + sum(found.terms.values())
        assert found.loss == pytest.approx(total, rel=exact)
    # Values are those of the relaxed structures; a score tethers these to where they are.
    relaxed = relax(guesses, database(), max_steps=8, **options)
    again = score([each.atoms for each in relaxed], database(), **options)
    for one, other in zip(relaxed, again, strict=True):
        assert one.terms["spread"] == pytest.approx(other.terms["spread"], rel=1e-4)
        assert one.terms["tether"] > 0 == other.terms["tether"]
