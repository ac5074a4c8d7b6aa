"""Symmetry functions: DScribe's numbers, Behler's equations where DScribe has none, and their laws.

Errors are the largest difference over the largest feature: 1e-8 is promised, 1.3e-15 measured.
"""

import itertools
import json

import dscribe.descriptors
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell, molecule
from ase.collections import g2
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from test_soap_derivatives import central_differences
from test_soap_laws import clusters, crystal, differentiable, same
from test_soap_parity import error, periodic_structures, rattled_triclinic

from losiko_torch.descriptors.acsf import acsf as acsf_module
from losiko_torch.descriptors.acsf.acsf import ACSF
from losiko_torch.errors import InputError, StructureError
from losiko_torch.systems.batch import Batch

PARITY = 1e-8
G2 = {"g2_params": [[1.0, 0.0], [0.4, 1.5], [4.0, 2.0]]}
G3 = {"g3_params": [0.0, 1.0, 2.7]}
G4 = {"g4_params": [[0.005, 1, 1], [0.1, 2, -1], [0.0, 8, 0.5], [0.3, 3, 0]]}
G5 = {"g5_params": [[0.02, 4, -1], [0.1, 1, 1], [0.05, 16, -0.7]]}
ORGANIC = {"r_cut": 3.5, "species": ["O", "H", "N", "C"]}
ALL = {**ORGANIC, **G2, **G3, **G4, **G5}
#: Exponents that are no integers, for which DScribe gives NaN where three atoms lie on a line.
FRACTIONAL = {"g4_params": [[0.01, 2.5, 1], [0.1, 0.7, -1]], "g5_params": [[0.02, 4.1, 1]]}
SMALL = {
    "r_cut": 2.4,
    "species": ["H", "O"],
    "g2_params": [[1.0, 0.5]],
    "g3_params": [1.0],
    "g4_params": [[0.1, 1, 1], [0.05, 2.5, -1]],
    "g5_params": [[0.1, 2, -1]],
}


def parity(atoms, centers=None, **parameters) -> float:
    ours = ACSF(**parameters).create(atoms, centers)
    return error(ours, dscribe.descriptors.ACSF(**parameters).create(atoms, centers))


def behlers(acsf: ACSF, atoms: Atoms, centers) -> np.ndarray:
    """The equations of the paper, written out with loops over all images of all atoms."""
    cells = [range(-4, 5) if p and acsf.periodic else [0] for p in atoms.pbc]
    images = [np.array(shift) @ atoms.cell.array for shift in itertools.product(*cells)]
    species, r_cut = acsf.species, acsf.r_cut
    pairs = [(a, b) for a in range(len(species)) for b in range(a + 1)]

    def fc(r):
        return 0.5 * (np.cos(np.pi * r / r_cut) + 1) if r < r_cut else 0.0

    rows = []
    for center in centers:
        origin = atoms.positions[center] if np.ndim(center) == 0 else np.array(center)
        near = [
            (species.index(number), position + image - origin)
            for number, position in zip(atoms.numbers, atoms.positions, strict=True)
            for image in images
            if 1e-6 < np.linalg.norm(position + image - origin) < r_cut
        ]
        radial = np.zeros((len(species), 1 + len(acsf.g2_params) + len(acsf.g3_params)))
        for element, vector in near:
            r = np.linalg.norm(vector)
            terms = [1.0, *(np.exp(-eta * (r - r_s) ** 2) for eta, r_s in acsf.g2_params)]
            radial[element] += np.array(terms + [np.cos(k * r) for k in acsf.g3_params]) * fc(r)
        angular = np.zeros((len(pairs), len(acsf.g4_params) + len(acsf.g5_params)))
        for (one, v), (two, w) in itertools.combinations(near, 2):
            r, s, t = (np.linalg.norm(x) for x in (v, w, v - w))
            cosine = np.clip(v @ w / (r * s), -1, 1)
            terms = [
                2 ** (1 - zeta)
                * (max(1 + lam * cosine, 0) if zeta % 1 else 1 + lam * cosine) ** zeta
                * np.exp(-eta * (r * r + s * s + third * third))
                * (fc(r) * fc(s) * (fc(t) if third else 1))
                for parameters, third in ((acsf.g4_params, t), (acsf.g5_params, 0.0))
                for eta, zeta, lam in parameters
            ]
            angular[pairs.index((max(one, two), min(one, two)))] += terms
        rows.append(np.concatenate([radial.ravel(), angular.ravel()]))
    return np.array(rows)


@pytest.mark.parametrize("chosen", list(itertools.product([0, 1], repeat=4)), ids=str)
def test_every_combination_of_functions(chosen):
    options = dict(ORGANIC)
    for use, functions in zip(chosen, (G2, G3, G4, G5), strict=True):
        options.update(functions if use else {})
    assert parity(molecule("CH3CONH2"), **options) < PARITY
    theirs = dscribe.descriptors.ACSF(**options)
    assert ACSF(**options).get_number_of_features() == theirs.get_number_of_features()


@pytest.mark.parametrize("r_cut", [0.9, 1.5, 2.5, 8.0])
def test_cutoffs(r_cut):
    """Parity holds where few atoms, or none, have neighbours and pairs j, k lie beyond r_cut."""
    atoms, options = molecule("CH3CONH2"), {**ALL, "r_cut": r_cut}
    ours = ACSF(**options).create(atoms)
    theirs = dscribe.descriptors.ACSF(**options).create(atoms)
    assert np.abs(ours - theirs).max() <= PARITY * np.abs(theirs).max()


@pytest.mark.parametrize("name", [n for n in g2.names if n not in ("H", "Li", "Na")][::4])
def test_molecules(name):
    atoms = molecule(name)
    if len(atoms) > 1:
        assert parity(atoms, **{**ALL, "species": sorted(set(atoms.symbols))}) < PARITY


@pytest.mark.parametrize("name", periodic_structures())
def test_periodic(name):
    atoms = periodic_structures()[name]
    options = {**ALL, "species": sorted(set(atoms.symbols)), "r_cut": 4.5, "periodic": True}
    assert parity(atoms, **options) < PARITY
    assert parity(atoms, [0], **options) < PARITY
    if len(atoms) > 1:
        assert parity(atoms, **{**options, "periodic": False, "r_cut": 6.0}) < PARITY


@pytest.mark.parametrize("pbc", [(1, 0, 0), (0, 1, 1), (1, 1, 0)])
def test_mixed_periodicity_of_a_skewed_cell(pbc):
    atoms = rattled_triclinic()
    atoms.pbc = pbc
    assert parity(atoms, **ALL, periodic=True) < PARITY


@pytest.mark.parametrize("name", ["triclinic", "tiny skewed cell", "hcp", "wire"])
def test_behlers_equations(name):
    """Behler's equations hold where DScribe has NaN (straight triples), and for free centers."""
    atoms = periodic_structures()[name]
    options = {**ALL, "species": sorted(set(atoms.symbols)), "r_cut": 3.2, "periodic": True}
    centers = [0, [0.3, 0.4, 0.5], len(atoms) - 1]
    for change in ({}, FRACTIONAL):
        acsf = ACSF(**{**options, **change})
        assert error(acsf.create(atoms, centers), behlers(acsf, atoms, centers)) < 1e-12


def test_straight_triples_that_dscribe_gets_wrong_are_known():
    """DScribe has NaN on straight triples; a release that mends them allows a test of parity."""
    atoms = bulk("Mg")
    options = {"species": ["Mg"], "r_cut": 6.0, "periodic": True, **FRACTIONAL}
    assert np.isnan(dscribe.descriptors.ACSF(**options).create(atoms)).any()
    assert np.isfinite(ACSF(**options).create(atoms)).all()


def test_order_of_features():
    """Elements ascending, G1 G2 G3 of each; pairs (0,0) (1,0) (1,1) ..., G4 G5 of each."""
    positions = {"H": [1.0, 0, 0], "C": [0, 1.2, 0], "N": [0, 0, 1.4]}
    acsf = ACSF(5.0, [[1, 0]], None, [[0.1, 1, 1]], [[0.1, 1, 1]], species=["N", "C", "H"])
    assert acsf.get_number_of_features() == 18
    for seen, features in {
        "H": {0, 1},
        "C": {2, 3},
        "N": {4, 5},
        "HC": {0, 1, 2, 3, 8, 9},
        "NH": {0, 1, 4, 5, 12, 13},
        "CN": {2, 3, 4, 5, 14, 15},
    }.items():
        atoms = Atoms(list(seen), [positions[symbol] for symbol in seen])
        row = acsf.create(atoms, [[0.0, 0, 0]])[0]
        assert set(np.flatnonzero(row)) == features


CENTERS = {
    "indices": [3, 0],
    "repeated": [1, 1, 0],
    "array": np.array([2, 1]),
    "all": None,
}


@pytest.mark.parametrize("name", CENTERS)
def test_centers(name):
    assert parity(molecule("CH3OH"), CENTERS[name], **ALL) < PARITY


def test_centers_that_dscribe_does_not_take():
    """Centers by index from the end (DScribe reads foreign memory) and by position (it refuses)."""
    atoms, acsf = molecule("CH3OH"), ACSF(**ALL)
    everywhere = acsf.create(atoms)
    assert same(acsf.create(atoms, [-1, 2]), everywhere[[-1, 2]], 1e-14)
    assert same(acsf.create(atoms, atoms.positions), everywhere, 1e-14)
    mixed = [2, [0.5, 0.5, 0.5], 0, (0.1, 0.2, 0.3)]
    assert error(acsf.create(atoms, mixed), behlers(acsf, atoms, mixed)) < 1e-12
    assert not acsf.create(atoms, [[40.0, 0, 0]]).any()


def test_free_centers_in_crystals():
    atoms, acsf = crystal(), ACSF(**ALL, periodic=True)
    inside = np.array([[0.5, 0.6, 0.7], [1.0, 2.0, 0.4]])
    far = inside + [[4, -3, 7]] @ atoms.cell
    assert same(acsf.create(atoms, far), acsf.create(atoms, inside))
    copies = atoms.positions + [[-2, 1, 3]] @ atoms.cell
    assert same(acsf.create(atoms, copies), acsf.create(atoms))


LISTS = {
    "equal": (["CH3OH", "CH3OH"], None),
    "different": (["CH3OH", "H2O", "NH3"], None),
    "one": (["CH3OH"], None),
    "with centers": (["CH3OH", "H2O"], [[0, 2], [1, 0]]),
    "with unequal centers": (["CH3OH", "H2O"], [[0, 2], [1]]),
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sparse", [False, True])
def test_lists(name, dtype, sparse):
    names, centers = LISTS[name]
    structures = [molecule(name) for name in names]
    options = {**ALL, "dtype": dtype, "sparse": sparse}
    ours = ACSF(**options).create(structures, centers=centers)
    theirs = dscribe.descriptors.ACSF(**options).create(structures, centers=centers)
    assert type(ours) is type(theirs)
    assert len(ours) == len(theirs)
    tolerance = 1e-6 if dtype == "float32" else PARITY
    for a, b in zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]:
        dense = (a.todense(), b.todense()) if sparse else (a, b)
        assert error(*dense) < tolerance


@settings(max_examples=15, deadline=None, derandomize=True)
@given(clusters(), st.integers(0, 2**32 - 1))
def test_rotation_reflection_translation_permutation(atoms, seed):
    generator = np.random.default_rng(seed)
    acsf = ACSF(**ALL)
    turn = Rotation.random(random_state=generator).as_matrix() * generator.choice([-1, 1])
    order = generator.permutation(len(atoms))
    moved = Atoms(atoms.numbers, atoms.positions @ turn + generator.normal(size=3) * 10)[order]
    assert same(acsf.create(moved), acsf.create(atoms)[order])


def test_choice_of_cell_does_not_matter():
    atoms = crystal()
    acsf = ACSF(**ALL, periodic=True)
    expected = acsf.create(atoms)

    supercell = make_supercell(atoms, [[2, 0, 0], [1, 1, 0], [0, 0, 2]])
    shifts = supercell.positions[:, None] - atoms.positions[None]
    fractional = np.linalg.solve(atoms.cell.T, shifts.reshape(-1, 3).T).T
    distance = np.abs(fractional - fractional.round()).max(1).reshape(len(supercell), -1)
    assert same(acsf.create(supercell), expected[distance.argmin(1)])

    sheared = atoms.copy()
    sheared.set_cell(np.array([[1, 2, 0], [0, 1, 0], [-1, 1, 1]]) @ atoms.cell)
    assert same(acsf.create(sheared), expected)

    scattered = atoms.copy()
    scattered.positions += np.array([[3, -1, 2], [0, 5, 0], [-2, 0, 0]]) @ atoms.cell
    assert same(acsf.create(scattered), expected)


def mixed_batch() -> list[Atoms]:
    slab = crystal()
    slab.pbc = (True, True, False)
    return [molecule("H2O"), crystal(), Atoms("C"), slab, molecule("CH3CONH2"), crystal()]


def test_batch_equals_its_structures():
    acsf = ACSF(**ALL, periodic=True)
    together = acsf(Batch.from_atoms(mixed_batch()))
    apart = torch.cat([acsf(Batch.from_atoms(atoms)) for atoms in mixed_batch()])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
    some = torch.tensor([4, 0, 7, 4])
    chosen = acsf(Batch.from_atoms(mixed_batch()), some)
    torch.testing.assert_close(chosen, together[some], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kept", [0, 2**25])
def test_chunks_of_centers_do_not_matter(kept, monkeypatch):
    acsf, batch = ACSF(**ALL, periodic=True), Batch.from_atoms(mixed_batch())

    def features_and_gradient():
        positions = batch.positions.clone().requires_grad_()
        features = acsf(batch.with_positions(positions))
        (gradient,) = torch.autograd.grad(features.square().sum(), positions)
        return features.detach(), gradient

    whole = features_and_gradient()
    monkeypatch.setattr(acsf_module, "CPU_NUMBERS", 5000)
    monkeypatch.setattr(acsf_module, "KEPT_NUMBERS", kept)
    torch.testing.assert_close(features_and_gradient(), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kept", [0, 2**25])
def test_gradients_by_positions_and_cell(kept, monkeypatch):
    monkeypatch.setattr(acsf_module, "KEPT_NUMBERS", kept)
    cell = [[2.2, 0, 0], [0.6, 2.4, 0], [0, -0.5, 2.3]]
    atoms = Atoms("OH", [[0, 0, 0], [0.9, 0.5, 0.3]], cell=cell, pbc=True)
    by_positions, positions, by_cell, cell = differentiable(ACSF(**SMALL, periodic=True), atoms)
    for function, at in ((by_positions, positions), (by_cell, cell)):
        at.requires_grad_()
        assert torch.autograd.gradcheck(function, (at,), check_forward_ad=True)


@pytest.mark.parametrize("functions", [G2, G3, G4, G5], ids=["G2", "G3", "G4", "G5"])
def test_second_derivatives(functions):
    acsf, batch = ACSF(2.4, species=["H", "O"], **functions), Batch.from_atoms(molecule("H2O"))
    positions = batch.positions.clone().requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda p: acsf(batch.with_positions(p)).square().sum(), (positions,)
    )


@pytest.mark.parametrize("name", ["CO2", "C2H2"])
def test_straight_molecules(name):
    """First and second derivatives have their limits where the cosine is 1 or -1."""
    atoms, acsf = molecule(name), ACSF(**{**ALL, "g5_params": [[0.1, 1, 1], [0.1, 2.5, -1]]})
    batch = Batch.from_atoms(atoms)
    positions = batch.positions.clone().requires_grad_()

    def total(p):
        return acsf(batch.with_positions(p)).square().sum()

    assert torch.autograd.gradcheck(total, (positions,))
    assert torch.autograd.gradgradcheck(total, (positions,))
    rough = ACSF(**ORGANIC, g4_params=[[0.1, 0.5, 1], [0.1, 0.3, -1]])
    (gradient,) = torch.autograd.grad(rough(batch.with_positions(positions)).sum(), positions)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    "call",
    [{}, {"centers": [2, 0]}, {"centers": [[0.1, 0.2, 0.3], 3]}, {"exclude": [0, 4]}],
    ids=str,
)
@pytest.mark.parametrize("periodic", [False, True])
def test_derivatives(call, periodic):
    atoms = rattled_triclinic() if periodic else molecule("CH3OH")
    if periodic:
        call = {"exclude": [0]} if "exclude" in call else call
    acsf = ACSF(**ALL, periodic=periodic)
    ours, features = acsf.derivatives(atoms, **call)
    moved = np.setdiff1d(np.arange(len(atoms)), call.get("exclude", []))
    expected = central_differences(acsf, atoms, call.get("centers"), attach=True)[:, moved]
    assert error(ours, expected) < 1e-6
    assert same(features, acsf.create(atoms, call.get("centers")), 1e-14)


def test_derivatives_equal_dscribes_and_reverse_mode():
    """DScribe's are central differences with h = 1e-4 A; reverse mode is exact."""
    atoms, acsf = molecule("CH3CONH2"), ACSF(**ALL)
    ours, features = acsf.derivatives(atoms)
    theirs, their_features = dscribe.descriptors.ACSF(**ALL).derivatives(atoms, attach=True)
    assert error(ours, theirs) < 1e-6
    assert error(features, their_features) < PARITY
    batch = Batch.from_atoms(atoms)
    jacobian = torch.autograd.functional.jacobian(
        lambda p: acsf(batch.with_positions(p)).sum(0), batch.positions
    )
    assert error(ours.sum(0).transpose(2, 0, 1), jacobian.numpy()) < 1e-12


def test_atoms_without_neighbours():
    structures = [Atoms("H"), Atoms("H2", [[0, 0, 0], [0, 0, 50]]), Atoms("CO", [[0] * 3, [1] * 3])]
    batch = Batch.from_atoms(structures)
    positions = batch.positions.clone().requires_grad_()
    features = ACSF(**ALL)(batch.with_positions(positions))
    assert not features[:3].any()
    assert features[3:].any()
    features.sum().backward()
    assert not positions.grad[:3].any()
    assert torch.isfinite(positions.grad).all()
    assert ACSF(**ALL)(batch, torch.tensor([], dtype=torch.long)).shape == (0, features.shape[1])
    assert ACSF(**ALL)(Batch.from_atoms([])).shape == (0, features.shape[1])


def test_no_jump_at_the_cutoff():
    """Value and slope vanish at the cutoff, for a third atom also where it leaves that of j."""
    acsf = ACSF(**{**ALL, "r_cut": 3.0})
    for distance in (3.0, np.sqrt(8.0)):  # from the center, and 3.0 from the neighbour
        ends = []
        for step in (-1e-5, 1e-5):
            batch = Batch.from_atoms(Atoms("OHC", [[0] * 3, [0, 0, 1.0], [0, distance + step, 0]]))
            positions = batch.positions.clone().requires_grad_()
            features = acsf(batch.with_positions(positions))[0]
            features.sum().backward()
            ends.append((features.detach(), positions.grad))
        torch.testing.assert_close(*ends, rtol=0, atol=2e-4)


def test_single_precision():
    """Largest error over largest entry: 9e-7 for features, 3e-7 for gradients."""
    options = {**ALL, "r_cut": 6.0}
    structures = [molecule(name) for name in ("CH3CONH2", "C6H6", "C2H2", "CO2", "C5H5N")]
    results = []
    for dtype in (torch.float64, torch.float32):
        batch = Batch.from_atoms([*structures, crystal()], dtype=dtype)
        positions = batch.positions.clone().requires_grad_()
        features = ACSF(**options, periodic=True)(batch.with_positions(positions))
        assert features.dtype == dtype
        features.square().sum().backward()
        results.append((features.detach().double(), positions.grad.double()))
    errors = [float((b - a).abs().max() / a.abs().max()) for a, b in zip(*results, strict=True)]
    assert max(errors) < 2e-6


def test_same_surface_as_soap():
    options = {**ALL, "g2_params": np.array(G2["g2_params"]), "periodic": True}
    acsf = ACSF(**options)
    assert acsf.species == (1, 6, 7, 8)
    assert (acsf.periodic, acsf.average, acsf.cutoff) == (True, "off", 3.5)
    again = ACSF(**json.loads(json.dumps(acsf.parameters_dict())))
    assert np.array_equal(again.create(crystal()), acsf.create(crystal()))
    assert "g4_params=[[0.005, 1.0, 1.0]" in repr(acsf)
    same_one, columns = acsf.restricted([1, 6])
    assert same_one is acsf
    assert torch.equal(columns, torch.arange(acsf.get_number_of_features()))
    assert same(acsf.float().create(crystal()), again.create(crystal()), 1e-5)
    empty = ACSF(4.0, [], [], [], np.zeros((0, 3)), species=[1])
    assert empty.get_number_of_features() == 1


BAD_PARAMETERS = [
    ({"species": None}, "ACSF needs species"),
    ({"species": ["H", "Foo"]}, "'Foo' is no chemical symbol"),
    ({"r_cut": 0}, "r_cut must be a positive number"),
    ({"r_cut": None}, "r_cut must be a positive number"),
    ({"r_cut": float("inf")}, "r_cut must be a positive number"),
    ({"dtype": "float16"}, "dtype 'float16' is none of"),
    ({"g2_params": [1.0, 2.0]}, "g2_params must list 2 numbers"),
    ({"g2_params": [[1.0, 2.0, 3.0]]}, "g2_params must list 2 numbers"),
    ({"g2_params": [[-1.0, 2.0]]}, "g2_params: eta must not be negative, not -1"),
    ({"g3_params": [[1.0]]}, "g3_params must list one number"),
    ({"g3_params": [float("nan")]}, "g3_params has an entry that is not a finite number"),
    ({"g3_params": "pi"}, "g3_params must list|g3_params has an entry"),
    ({"g4_params": [[0.1, 1]]}, "g4_params must list 3 numbers"),
    ({"g4_params": [[0.1, 0, 1]]}, "g4_params: zeta must be positive, not 0"),
    ({"g5_params": [[0.1, 1.5, -2]]}, "lambda -2 makes .* negative, so it needs a whole zeta, not"),
]


@pytest.mark.parametrize(("change", "message"), BAD_PARAMETERS)
def test_bad_parameters(change, message):
    with pytest.raises(InputError, match=message):
        ACSF(**{**ALL, **change})


def test_bad_structures_and_centers():
    acsf = ACSF(**ALL)
    with pytest.raises(StructureError, match="structure 1: the descriptor does not know Si"):
        acsf.create([molecule("H2O"), molecule("SiH4")])
    with pytest.raises(StructureError, match=r"does not know Si \(its species are H, C, N, O\)"):
        acsf(Batch.from_atoms(molecule("SiH4")))
    with pytest.raises(StructureError, match="atoms 0 and 1 lie within"):
        acsf.create(Atoms("H2", [[0, 0, 0], [0, 0, 1e-3]]))
    with pytest.raises(InputError, match="has no atom 3"):
        acsf.create(molecule("H2O"), [3])
    with pytest.raises(InputError, match="use attach=True"):
        acsf.derivatives(molecule("H2O"), attach=False)
