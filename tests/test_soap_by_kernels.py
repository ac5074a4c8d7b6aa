"""SOAP by kernels equals SOAP by plain torch: calls, gradients, ``create`` and ``derivatives``."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from losiko_torch import SOAP, Batch, accelerators
from losiko_torch.descriptors.soap.function import kernels_serve
from losiko_torch.errors import StructureError

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")

#: Largest difference, relative to the largest number, of values and of derivatives.
VALUE, SLOPE = 1e-11, 1e-9
BASIS = {
    "species": ["H", "C", "O", "Na", "Cl"],
    "r_cut": 3.0,
    "n_max": 3,
    "l_max": 3,
    "sigma": 0.4,
    "periodic": True,
}
POW = {"function": "pow", "r0": 2.0, "c": 1.0, "d": 1.0, "m": 4, "w0": 0.5}
WEIGHTED = {
    "mode": "mu2",
    "species_weighting": {"H": 1.0, "C": 2.0, "O": 3.0, "Na": 0.5, "Cl": 4.0},
}
OPTIONS = [
    {},
    {"rbf": "polynomial"},
    # Within 5 A nine functions are so alike that the last digits are the processor's.
    {"n_max": 9, "l_max": 1, "r_cut": 7.0},
    {"l_max": 0, "n_max": 1},
    {"weighting": POW},
    {"weighting": {"w0": 0.0}},
    {"smooth_width": 0.8},
    {"compression": WEIGHTED},
    *({"average": average} for average in ("inner", "outer")),
    *({"compression": {"mode": mode}} for mode in ("mu2", "crossover", "mu1nu1")),
    {"compression": {"mode": "crossover"}, "average": "inner", "weighting": POW},
    {"compression": {"mode": "mu1nu1"}, "average": "outer", "smooth_width": 0.8},
]
MIXED = [1, [0.1, 0.2, 0.3], 3, 1]


def salt() -> Atoms:
    """Sheared cell, smaller than the cutoff, with an atom outside."""
    atoms = bulk("NaCl", "rocksalt", a=5.6) * (2, 1, 1)
    atoms += Atoms("C", [[2.0, 1.1, 7.3]])
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.1 * np.triu(np.ones((3, 3)))), scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def slab() -> Atoms:
    atoms = salt()
    atoms.pbc = (True, False, True)
    return atoms


STRUCTURES = {"cluster": lambda: molecule("CH3CH2OH"), "crystal": salt, "slab": slab}


@pytest.fixture
def plainly(monkeypatch):
    """Function that computes by plain torch."""

    def compute(work):
        with monkeypatch.context() as patch:
            patch.setattr(accelerators, "_kernels", lambda device: None)
            return work()

    return compute


def difference(ours, plain) -> float:
    assert ours.shape == plain.shape
    assert ours.dtype == plain.dtype
    return float(abs(ours - plain).max() / abs(plain).max())


def gradients(soap: SOAP, batch: Batch, centers=None) -> tuple:
    positions, cells = batch.positions.clone(), batch.cells.clone()
    moving = Batch(positions, batch.numbers, cells, batch.pbc, batch.system_idx)
    positions.requires_grad_()
    cells.requires_grad_()
    features = soap(moving, centers)
    slope = torch.randn(features.shape, generator=torch.Generator().manual_seed(1)).to(features)
    return features.detach(), *torch.autograd.grad((features * slope).sum(), (positions, cells))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_calls_and_gradients(options, dtype, plainly):
    soap = SOAP(**{**BASIS, **options})
    batch = Batch.from_atoms([make() for make in STRUCTURES.values()], dtype=dtype)
    assert kernels_serve(soap, batch)
    for centers in (None, torch.tensor([11, 3, 11, 0])):
        ours = gradients(soap, batch, centers)
        theirs = plainly(lambda centers=centers: gradients(soap, batch, centers))
        for one, other in zip(ours, theirs, strict=True):
            assert difference(one, other) < (SLOPE if dtype == torch.float64 else 2e-5)


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_create(options, name, plainly):
    soap, atoms = SOAP(**{**BASIS, **options}), STRUCTURES[name]()
    for centers in (None, [4], MIXED):
        plain = plainly(lambda centers=centers: soap.create(atoms, centers))
        assert difference(soap.create(atoms, centers), plain) < VALUE


@pytest.mark.parametrize("attach", [False, True])
@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_derivatives(options, name, attach, plainly):
    soap, atoms = SOAP(**{**BASIS, **options}), STRUCTURES[name]()
    for centers, chosen in (
        (None, {}),
        ([4], {"exclude": [0, 2]}),
        (MIXED, {"include": [3, 1, 3]}),
    ):
        call = {"centers": centers, "attach": attach, **chosen}
        plain = plainly(lambda call=call: soap.derivatives(atoms, **call))
        for one, other in zip(soap.derivatives(atoms, **call), plain, strict=True):
            assert difference(one, other) < SLOPE


@pytest.mark.parametrize("average", ["off", "outer"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("at_once", [1, 10_000])
def test_parts_and_forms(at_once, dtype, average, monkeypatch):
    """Sparse and rounded results, made in parts, are those that are made at once."""
    monkeypatch.setattr("losiko_torch.descriptors.soap.arrays.AT_ONCE", at_once)
    monkeypatch.setattr("losiko_torch.descriptors.soap.arrays.CENTERS_AT_ONCE", 2)
    parameters = {**BASIS, "average": average}
    exact, atoms = SOAP(**parameters), salt()
    for sparse in (False, True):
        soap = SOAP(**parameters, dtype=dtype, sparse=sparse)
        ours = [soap.create(atoms), *soap.derivatives(atoms, attach=True)]
        ours.append(soap.create([atoms, atoms]))
        expected = [exact.create(atoms), *exact.derivatives(atoms, attach=True)]
        expected.append(exact.create([atoms, atoms]))
        for one, other in zip(ours, expected, strict=True):
            dense = one.todense() if sparse else one
            assert one.dtype == np.dtype(dtype)
            assert difference(dense.astype(float), other) < (1e-7 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("count", [1, 60])
def test_jobs_change_nothing(count):
    soap, atoms = SOAP(**BASIS), salt() * (3, 2, 2)
    structures = [atoms] if count == 1 else [molecule("CH3CH2OH")] * count
    alone = soap.create(structures)
    for n_jobs in (2, 3, -1):
        assert np.array_equal(soap.create(structures, n_jobs=n_jobs), alone)
    slopes = soap.derivatives(structures[0], attach=True)[0]
    assert np.array_equal(soap.derivatives(structures[0], attach=True, n_jobs=2)[0], slopes)


def test_lists_of_unlike_structures(plainly):
    soap, structures = SOAP(**BASIS), [make() for make in STRUCTURES.values()]
    ours = soap.create(structures)
    assert len(ours) == 3
    for one, other in zip(ours, plainly(lambda: soap.create(structures)), strict=True):
        assert difference(one, other) < VALUE
    assert soap.create([]) == []


@pytest.mark.parametrize("options", [{}, {"average": "inner", "weighting": POW}], ids=str)
def test_a_gradient_that_is_differentiated(options, plainly):
    """Second derivatives, and ``torch.func`` and forward differentiation, are plain torch's."""
    soap = SOAP(**{**BASIS, **options, "l_max": 2, "n_max": 2})
    batch = Batch.from_atoms(molecule("CH3OH"))

    def loss(positions):
        return soap(batch.with_positions(positions)).square().sum()

    def everything():
        at = batch.positions
        tangent = torch.linspace(-1, 1, at.numel(), dtype=at.dtype).reshape(at.shape)
        return [
            torch.autograd.functional.hessian(loss, at),
            torch.func.grad(loss)(at),
            torch.func.grad(lambda p: torch.func.grad(loss)(p).square().sum())(at),
            torch.func.jvp(loss, (at,), (tangent,))[1],
        ]

    for one, other in zip(everything(), plainly(everything), strict=True):
        assert difference(one, other) < SLOPE


def test_more_of_a_graph_than_kernels_see():
    """A gradient by something that positions follow from, twice through one graph."""
    soap, batch = SOAP(**BASIS), Batch.from_atoms(molecule("CH3OH"))
    stretch = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    loss = soap(batch.with_positions(batch.positions * stretch)).square().sum()
    (one,) = torch.autograd.grad(loss, stretch, retain_graph=True)
    (other,) = torch.autograd.grad(loss, stretch, create_graph=True)
    assert difference(one, other.detach()) < SLOPE
    h = 1e-4
    ends = [soap(batch.with_positions(batch.positions * (1 + s))).square().sum() for s in (h, -h)]
    assert abs(float(ends[0] - ends[1]) / (2 * h) - float(one)) < 1e-5 * abs(float(one))


BAD = {
    "atom 1 has a coordinate that is not": Atoms("H2", [[0, 0, 0], [0, 0, np.nan]]),
    "atom 1 has a coordinate beyond": Atoms("H2", [[0, 0, 0], [0, 0, 1e7]]),
    "atoms 0 and 1 lie within 0.1 A": Atoms("H2", [[0, 0, 0], [0, 0, 0.05]]),
    "does not know Si": Atoms("Si"),
    "atomic number 0": Atoms("XH", [[0, 0, 0], [0, 0, 1]]),
    "it has no atoms": Atoms(),
    "span no volume": Atoms("H", cell=[3, 3, 0], pbc=True),
    "a vector of 0.05 A": Atoms("H", cell=[3, 3, 0.05], pbc=True),
    "an entry that is not a finite number": Atoms("H", cell=[3, 3, np.inf]),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_structures_are_refused_as_before(message, plainly):
    soap, structures = SOAP(**BASIS), [molecule("H2O"), BAD[message]]
    with pytest.raises(StructureError, match=f"structure 1: .*{message}"):
        soap.create(structures)
    with pytest.raises(StructureError, match=f"structure 1: .*{message}"):
        plainly(lambda: soap.create(structures))


def test_images_within_a_cell_that_coincide():
    atoms = Atoms("OH", [[0.01, 0, 0], [2.99, 0, 0]], cell=[3, 3, 3], pbc=True)
    with pytest.raises(StructureError, match=r"atoms 0 and 1 lie within 0\.1 A"):
        SOAP(**BASIS).create(atoms)


def test_neighbours_are_all_found():
    """As many as a sum over images has, in cells of any shape and clusters, around any places."""
    from losiko_kernels.cpu import neighbors_within

    generator = np.random.default_rng(0)
    for number in range(60):
        count, pbc = int(generator.integers(1, 60)), generator.random(3) < 0.6
        cell = np.eye(3) * generator.uniform(1.5, 12, 3) + generator.uniform(-2, 2, (3, 3))
        if abs(np.linalg.det(cell)) < 2:
            continue
        positions = generator.uniform(-2, 3, (count, 3)) @ cell
        places = generator.uniform(-1, 2, (4, 3)) @ cell if number % 2 else positions[:4].copy()
        cutoff = float(generator.uniform(0.5, 6))
        reach = np.ceil(cutoff * np.linalg.norm(np.linalg.inv(cell), axis=0)).astype(int) + 4
        turns = [np.arange(-r, r + 1) if p else [0] for r, p in zip(reach, pbc, strict=True)]
        shifts = np.stack(np.meshgrid(*turns, indexing="ij"), -1).reshape(-1, 3) @ cell
        first, neighbor, vectors = neighbors_within(places, positions, cell, pbc, cutoff)
        for row, place in enumerate(places):
            every = positions[:, None] + shifts - place
            inside = np.linalg.norm(every, axis=2) <= cutoff
            mine = slice(first[row], first[row + 1])
            assert np.array_equal(np.bincount(neighbor[mine], minlength=count), inside.sum(1))
            ours, theirs = (
                np.sort(np.linalg.norm(vectors[mine], axis=1)),
                np.sort(np.linalg.norm(every[inside], axis=1)),
            )
            assert np.allclose(ours, theirs, atol=1e-10)
