"""Laws of SOAP, whatever computes it: symmetries, batches, gradients, the smooth cutoff."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.systems.batch import Batch

BASIS = {"species": ["H", "C", "N", "O"], "r_cut": 3.0, "n_max": 3, "l_max": 3, "sigma": 0.4}
SMALL = {"species": ["H", "O"], "r_cut": 2.0, "n_max": 2, "l_max": 2, "sigma": 0.3}
RBFS = ("gto", "polynomial")
MODES = ("off", "mu2", "mu1nu1", "crossover")
VARIANTS = [
    {},
    {"rbf": "polynomial"},
    {"smooth_width": 1.0},
    {"compression": {"mode": "mu2", "species_weighting": {"H": 1, "C": 2, "N": 3, "O": 4}}},
    {"compression": {"mode": "mu1nu1"}, "weighting": {"function": "poly", "r0": 4, "c": 1, "m": 1}},
    {"compression": {"mode": "crossover"}, "average": "inner"},
    {"average": "outer", "weighting": {"w0": 0.0}},
]


def same(ours, theirs, tolerance: float = 1e-10) -> bool:
    return bool(np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max())


def crystal() -> Atoms:
    cell = [[3.1, 0.0, 0.0], [1.2, 2.9, 0.0], [-0.8, 0.7, 3.4]]
    positions = [[0.2, 0.1, 0.3], [1.6, 1.4, 1.5], [0.4, 1.3, 2.4]]
    return Atoms("OCH", positions=positions, cell=cell, pbc=True)


@st.composite
def clusters(draw):
    """Two to seven atoms, none closer than 0.7 A to another."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = [np.zeros(3)]
    for _ in range(draw(st.integers(1, 6))):
        trial = generator.uniform(-2, 2, size=3)
        if min(np.linalg.norm(trial - other) for other in positions) > 0.7:
            positions.append(trial)
    numbers = generator.choice([1, 6, 7, 8], size=len(positions))
    return Atoms(numbers, positions)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@settings(max_examples=8, derandomize=True)
@given(clusters(), st.integers(0, 2**32 - 1))
def test_rotation_reflection_translation_permutation(variant, atoms, seed):
    generator = np.random.default_rng(seed)
    soap = SOAP(**BASIS, **variant)
    turn = Rotation.random(random_state=generator).as_matrix() * generator.choice([-1, 1])
    order = generator.permutation(len(atoms))
    moved = Atoms(atoms.numbers, atoms.positions @ turn + generator.normal(size=3) * 10)[order]
    expected = soap.create(atoms)
    assert same(soap.create(moved), expected if soap.average != "off" else expected[order])


@pytest.mark.parametrize("rbf", RBFS)
def test_rotation_at_degree_20(rbf):
    atoms = molecule("CH3CONH2")
    turned = atoms.copy()
    turned.rotate(77, (1, -2, 0.5))
    soap = SOAP(**{**BASIS, "l_max": 20}, rbf=rbf)
    assert same(soap.create(turned), soap.create(atoms))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_choice_of_cell_does_not_matter(variant):
    atoms = crystal()
    soap = SOAP(**BASIS, **variant, periodic=True)
    expected = soap.create(atoms)

    supercell = make_supercell(atoms, [[2, 0, 0], [1, 1, 0], [0, 0, 2]])
    copies = soap.create(supercell)
    if soap.average == "off":
        shifts = supercell.positions[:, None] - atoms.positions[None]
        fractional = np.linalg.solve(atoms.cell.T, shifts.reshape(-1, 3).T).T
        distance = np.abs(fractional - fractional.round()).max(1).reshape(len(supercell), -1)
        assert same(copies, expected[distance.argmin(1)])
    else:
        assert same(copies, expected)

    sheared = atoms.copy()
    sheared.set_cell(np.array([[1, 2, 0], [0, 1, 0], [-1, 1, 1]]) @ atoms.cell)
    assert same(soap.create(sheared), expected)

    scattered = atoms.copy()
    scattered.positions += np.array([[3, -1, 2], [0, 5, 0], [-2, 0, 0]]) @ atoms.cell
    assert same(soap.create(scattered), expected)

    turned = atoms.copy()
    turned.rotate(50, (1, 2, -1), rotate_cell=True)
    assert same(soap.create(turned), expected)


def test_centers_outside_the_cell():
    atoms, soap = crystal(), SOAP(**BASIS, periodic=True)
    inside = np.array([[0.5, 0.6, 0.7]])
    assert same(soap.create(atoms, inside + [[4, -3, 7]] @ atoms.cell), soap.create(atoms, inside))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_batch_equals_its_structures(variant):
    slab = crystal()
    slab.pbc = (True, True, False)
    structures = [molecule("H2O"), crystal(), Atoms("C"), slab, molecule("CH3CONH2"), crystal()]
    soap = SOAP(**BASIS, **variant, periodic=True)
    together = soap(Batch.from_atoms(structures))
    apart = torch.cat([soap(Batch.from_atoms(atoms)) for atoms in structures])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
    some = torch.tensor([4, 0, 7])
    if soap.average == "off":
        chosen = soap(Batch.from_atoms(structures), some)
        torch.testing.assert_close(chosen, together[some], rtol=1e-12, atol=1e-12)


def test_list_equals_its_structures_across_groups(monkeypatch):
    monkeypatch.setattr("losiko_torch.descriptors.dscribe_api.ROWS_AT_ONCE", 7)
    structures = [molecule(name) for name in ("CH4", "H2O", "CH3CONH2", "NH3", "CO")]
    soap = SOAP(**BASIS)
    for row, atoms in zip(soap.create(structures), structures, strict=True):
        assert same(row, soap.create(atoms), 1e-12)
    jacobian = soap.derivatives(structures[2], attach=True, return_descriptor=False)
    monkeypatch.undo()
    assert same(jacobian, soap.derivatives(structures[2], attach=True)[0], 1e-12)


def differentiable(soap: SOAP, atoms: Atoms):
    """Features as a function of positions, and of the cell at fixed fractional coordinates."""
    batch = Batch.from_atoms(atoms)
    fractional = torch.linalg.solve(batch.cells[0].T, batch.positions.T).T

    def by_positions(positions):
        return soap(batch.with_positions(positions))

    def by_cell(cell):
        strained = Batch(fractional @ cell, batch.numbers, cell[None], batch.pbc, batch.system_idx)
        return soap(strained)

    return by_positions, batch.positions.clone(), by_cell, batch.cells[0].clone()


@pytest.mark.parametrize(("smooth_width", "mode"), [*((0.0, mode) for mode in MODES), (1.0, "off")])
@pytest.mark.parametrize("rbf", RBFS)
def test_gradients_by_positions_and_cell(mode, rbf, smooth_width):
    soap = SOAP(
        **SMALL, rbf=rbf, compression={"mode": mode}, smooth_width=smooth_width, periodic=True
    )
    atoms = Atoms(
        "OH",
        [[0, 0, 0], [0.9, 0.5, 0.3]],
        cell=[[2.2, 0, 0], [0.6, 2.4, 0], [0, -0.5, 2.3]],
        pbc=True,
    )
    by_positions, positions, by_cell, cell = differentiable(soap, atoms)
    for function, at in ((by_positions, positions), (by_cell, cell)):
        at.requires_grad_()
        assert torch.autograd.gradcheck(function, (at,), check_forward_ad=True)


@pytest.mark.parametrize("average", ["off", "inner", "outer"])
@pytest.mark.parametrize("weighting", ["poly", "pow", "exp"])
@pytest.mark.parametrize("rbf", RBFS)
def test_second_derivatives(average, weighting, rbf):
    options = {"function": weighting, "r0": 2.0, "c": 1.0, "m": 2, "d": 0.5, "w0": 0.7}
    soap = SOAP(**{**SMALL, "l_max": 1}, rbf=rbf, average=average, weighting=options)
    batch = Batch.from_atoms(molecule("H2O"))
    positions = batch.positions.clone().requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda p: soap(batch.with_positions(p)).square().sum(), (positions,)
    )


def test_gradients_are_finite_for_atoms_alone():
    batch = Batch.from_atoms([Atoms("H"), Atoms("H2", [[0, 0, 0], [0, 0, 50]])])
    for variant in [*VARIANTS, {"weighting": {"function": "exp", "r0": 1, "c": 1, "d": 1}}]:
        positions = batch.positions.clone().requires_grad_()
        SOAP(**BASIS, **variant)(batch.with_positions(positions)).sum().backward()
        assert not positions.grad.any()


@pytest.mark.parametrize("rbf", RBFS)
def test_smooth_cutoff_leaves_no_jump(rbf):
    def features(distance: float, width: float) -> np.ndarray:
        soap = SOAP(**BASIS, rbf=rbf, smooth_width=width)
        positions = [[0, 0, 0], [0, 0, 1.1], [0, soap.cutoff + distance, 0]]
        return soap.create(Atoms("OHC", positions), [0])

    step = 1e-5
    jump = np.abs(features(step, 0.0) - features(-step, 0.0)).max()
    assert jump > 1e-7
    assert np.abs(features(step, 1.0) - features(-step, 1.0)).max() < 1e-6 * jump
    # A smooth cutoff changes nothing well inside; in its ramp a neighbour weighs less.
    assert np.array_equal(features(-1.5, 1.0), features(-1.5, 0.0))
    assert np.abs(features(-0.4, 1.0)).sum() < np.abs(features(-0.4, 0.0)).sum()


def test_smooth_cutoff_has_two_continuous_derivatives():
    from losiko_torch.descriptors.soap.neighbor_weights import smooth_cutoff

    def derivatives(r: float) -> torch.Tensor:
        at = torch.tensor([r], dtype=torch.float64, requires_grad=True)
        value = smooth_cutoff(at**2, 4.0, 1.0).sum()
        (first,) = torch.autograd.grad(value, at, create_graph=True)
        second = torch.autograd.grad(first, at)[0] if first.requires_grad else torch.zeros(1)
        return torch.cat([value[None], first, second]).detach()

    for edge, value in ((3.0, 1.0), (4.0, 0.0)):
        for side in (-1e-7, 1e-7):
            expected = torch.tensor([value, 0.0, 0.0], dtype=torch.float64)
            torch.testing.assert_close(derivatives(edge + side), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rbf", RBFS)
@pytest.mark.parametrize(
    "setting",
    [
        {"r_cut": 4.0, "n_max": 6, "l_max": 6, "sigma": 0.5},
        {"r_cut": 3.0, "n_max": 8, "l_max": 6, "sigma": 0.3},
    ],
    ids=["qm9", "fine"],
)
def test_single_precision(rbf, setting):
    """Largest error over largest entry: 4e-7 for features, 6e-7 for gradients."""
    soap = SOAP(species=BASIS["species"], rbf=rbf, **setting)
    structures = [molecule(name) for name in ("CH3CONH2", "C6H6", "CH3CH2OH", "C5H5N")]
    results = []
    for dtype in (torch.float64, torch.float32):
        batch = Batch.from_atoms(structures, dtype=dtype)
        positions = batch.positions.clone().requires_grad_()
        features = soap(batch.with_positions(positions))
        assert features.dtype == dtype
        features.square().sum().backward()
        results.append((features.detach().double(), positions.grad.double()))
    errors = [float((b - a).abs().max() / a.abs().max()) for a, b in zip(*results, strict=True)]
    assert max(errors) < 2e-6


@pytest.mark.parametrize("rbf", RBFS)
@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0])
def test_finite_in_single_precision_at_degree_20(rbf, sigma):
    soap = SOAP(
        species=["Mg", "O"], r_cut=5, n_max=4, l_max=20, sigma=sigma, rbf=rbf, periodic=True
    )
    atoms = bulk("MgO", "rocksalt", a=4.2)
    atoms.rattle(0.1, seed=0)
    exact = soap(Batch.from_atoms(atoms))
    batch = Batch.from_atoms(atoms, dtype=torch.float32)
    positions = batch.positions.clone().requires_grad_()
    features = soap(batch.with_positions(positions))
    features.sum().backward()
    assert torch.isfinite(features).all()
    assert torch.isfinite(positions.grad).all()
    assert (features - exact).abs().max() < 1e-3 * exact.abs().max()


@pytest.mark.parametrize("rbf", RBFS)
def test_chunks_of_pairs_do_not_matter(rbf, monkeypatch):
    atoms, soap = molecule("CH3CONH2"), SOAP(**BASIS, rbf=rbf)
    whole = soap.create(atoms)
    monkeypatch.setattr("losiko_torch.descriptors.soap.polynomial_basis.CHUNK_ENTRIES", 5000)
    assert same(soap.create(atoms), whole, 1e-13)


@pytest.mark.parametrize("rbf", RBFS)
def test_module_converted_to_single_precision(rbf):
    atoms = molecule("CH3CONH2")
    exact = SOAP(**BASIS, rbf=rbf).create(atoms)
    assert same(SOAP(**BASIS, rbf=rbf).float().create(atoms), exact, 1e-4)


def test_parameters_dict_makes_the_same_descriptor():
    for variant in VARIANTS:
        soap = SOAP(**BASIS, **variant)
        again = SOAP(**soap.parameters_dict())
        assert np.array_equal(soap.create(molecule("CH3OH")), again.create(molecule("CH3OH")))
