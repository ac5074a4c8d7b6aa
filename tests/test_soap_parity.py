"""Parity with DScribe, for whatever DScribe can do.

Errors are the largest difference over the largest feature; 1e-8 is the promise, 1e-10 the rule.
"""

import itertools
from copy import deepcopy

import dscribe.descriptors
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.collections import g2
from scipy.special import spherical_in

from losiko_torch.descriptors.soap.polynomial_basis import PolynomialBasis
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError

PARITY = 1e-8
ORGANIC = {"species": ["O", "H", "N", "C"], "r_cut": 3.5, "n_max": 3, "l_max": 3, "sigma": 0.4}
WEIGHTINGS = {
    "none": None,
    "poly": {"function": "poly", "r0": 4.0, "c": 1.3, "m": 2},
    "pow": {"function": "pow", "r0": 2.0, "c": 0.9, "d": 0.6, "m": 3},
    "exp": {"function": "exp", "r0": 1.5, "c": 1.1, "d": 0.4},
    "w0": {"w0": 0.3},
    "poly+w0": {"function": "poly", "r0": 4.0, "c": 1.0, "m": 1.5, "w0": 0.0},
    "pow+w0": {"function": "pow", "r0": 2.0, "c": 1.0, "d": 1.0, "m": 2, "w0": 2.5},
}
MODES = ("off", "mu2", "mu1nu1", "crossover")
SPECIES_WEIGHTS = {"H": 0.5, "C": 2.0, "N": 0.0, "O": -1.2}


def dscribes(**parameters) -> dscribe.descriptors.SOAP:
    """DScribe's SOAP of copied options, as DScribe writes into dictionaries of its caller."""
    return dscribe.descriptors.SOAP(**deepcopy(parameters))


def error(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def parity(atoms, centers=None, **parameters) -> float:
    ours = SOAP(**parameters).create(atoms, centers)
    return error(ours, dscribes(**parameters).create(atoms, centers))


def rattled_triclinic() -> Atoms:
    cell = [[4.1, 0.0, 0.0], [1.9, 3.6, 0.0], [-1.3, 1.1, 4.9]]
    atoms = Atoms("OCNH", scaled_positions=np.eye(4, 3) * 0.5 + 0.1, cell=cell, pbc=True)
    atoms.rattle(0.2, seed=4)
    atoms.wrap()
    return atoms


def summed_over_elements(features: np.ndarray, soap: SOAP) -> np.ndarray:
    """``mu2`` features from those without compression: c = sum_Z c^Z, so p = sum_ZZ' p^ZZ'."""
    n, degrees = soap.n_max, soap.l_max + 1
    upper = np.triu_indices(n)
    total = np.zeros((*features.shape[:-1], degrees, n, n))
    for a, b in itertools.combinations_with_replacement(soap.species, 2):
        block = features[..., soap.get_location((a, b))]
        if a == b:
            triangle = block.reshape(*block.shape[:-1], degrees, -1)
            square = np.zeros((*triangle.shape[:-1], n, n))
            square[..., upper[0], upper[1]] = square[..., upper[1], upper[0]] = triangle
        else:
            square = block.reshape(*block.shape[:-1], degrees, n, n)
            square = square + square.swapaxes(-1, -2)
        total += square
    return total[..., upper[0], upper[1]].reshape(*features.shape[:-1], -1)


@pytest.mark.parametrize("rbf", ["gto", "polynomial"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("average", ["off", "inner", "outer"])
def test_every_mode(rbf, weighting, average):
    atoms = molecule("CH3CONH2")
    options = {**ORGANIC, "rbf": rbf, "weighting": WEIGHTINGS[weighting], "average": average}
    for mode, weights in itertools.product(MODES, (None, SPECIES_WEIGHTS)):
        compression = {"mode": mode, "species_weighting": weights}
        if (rbf, mode) == ("polynomial", "mu2") and weights:
            # DScribe hands the weights to the wrong neighbours here; its other features are right.
            ours = SOAP(**options, compression=compression).create(atoms)
            plain = {**options, "compression": {"mode": "off", "species_weighting": weights}}
            theirs = summed_over_elements(dscribes(**plain).create(atoms), SOAP(**plain))
            assert error(ours, theirs) < PARITY
        else:
            assert parity(atoms, **options, compression=compression) < PARITY, (mode, weights)


@pytest.mark.parametrize("name", [n for n in g2.names if n not in ("H", "Li", "Na")][::6])
def test_molecules(name):
    atoms = molecule(name)
    species = sorted(set(atoms.symbols))[::-1]
    basis = {"r_cut": 4.0, "n_max": 4, "l_max": 4, "sigma": 0.5, "species": species}
    for rbf in ("gto", "polynomial"):
        assert parity(atoms, **basis, rbf=rbf) < PARITY


def periodic_structures() -> dict[str, Atoms]:
    slab = fcc111("Al", (1, 1, 3), vacuum=4.0)
    slab[0].symbol = "Ni"
    wire = Atoms("CH", positions=[[0, 0, 0], [0.4, 1.0, 0.3]], cell=[9, 9, 2.6], pbc=(0, 0, 1))
    tilted = bulk("Cu", "fcc", a=3.6)
    tilted.set_cell(tilted.cell @ np.array([[1, 0.3, 0], [0, 1, -0.2], [0.1, 0, 1]]), True)
    large = bulk("MgO", "rocksalt", a=4.2, cubic=True).repeat((3, 2, 1))
    large.rattle(0.05, seed=1)
    large.wrap()
    return {
        "rocksalt": bulk("NaCl", "rocksalt", a=5.6),
        "hcp": bulk("Mg"),
        "tiny skewed cell": tilted,
        "triclinic": rattled_triclinic(),
        "big": large,
        "slab": slab,
        "wire": wire,
    }


@pytest.mark.parametrize("name", periodic_structures())
@pytest.mark.parametrize("rbf", ["gto", "polynomial"])
def test_periodic(name, rbf):
    atoms = periodic_structures()[name]
    basis = {"r_cut": 4.0, "n_max": 3, "l_max": 3, "sigma": 0.5, "periodic": True, "rbf": rbf}
    basis["species"] = sorted(set(atoms.symbols))
    assert parity(atoms, **basis) < PARITY
    assert parity(atoms, **basis, average="inner", compression={"mode": "mu1nu1"}) < PARITY
    assert parity(atoms, [0, atoms.positions.mean(0)], **basis) < PARITY
    assert parity(atoms, **{**basis, "periodic": False}) < PARITY


@pytest.mark.parametrize("name", ["slab", "wire"])
def test_zero_cell_vectors_in_open_directions(name):
    """Cells with zero vectors, which DScribe refuses, equal cells with these vectors completed."""
    atoms = periodic_structures()[name]
    bare = atoms.copy()
    bare.cell[~atoms.pbc] = 0
    basis = {"r_cut": 3.0, "n_max": 3, "l_max": 2, "sigma": 0.4, "periodic": True}
    basis["species"] = sorted(set(atoms.symbols))
    assert error(SOAP(**basis).create(bare), dscribes(**basis).create(atoms)) < PARITY
    free = [[0.1, 0.2, 0.3]]
    assert error(SOAP(**basis).create(bare, free), dscribes(**basis).create(atoms, free)) < PARITY


def test_atoms_outside_the_cell():
    """Atoms outside the cell equal DScribe's wrapped ones; unwrapped, it misses neighbours."""
    atoms = rattled_triclinic()
    scattered = atoms.copy()
    scattered.positions += np.array([[2, 0, 0], [0, -3, 1], [0, 0, 0], [1, 0, 0]]) @ atoms.cell
    options = {**ORGANIC, "periodic": True}
    assert error(SOAP(**options).create(scattered), dscribes(**options).create(atoms)) < PARITY


@pytest.mark.parametrize(
    ("rbf", "l_max"), [("gto", 0), ("gto", 9), ("gto", 20), ("polynomial", 0), ("polynomial", 9)]
)
def test_degrees(rbf, l_max):
    """DScribe's polynomial features leave out small Y_lm from l = 10 on; see the test below."""
    basis = {**ORGANIC, "l_max": l_max, "r_cut": 5.0, "rbf": rbf}
    assert parity(molecule("CH3CONH2"), **basis) < PARITY


@pytest.mark.parametrize("n_max", [1, 2, 8])
@pytest.mark.parametrize("rbf", ["gto", "polynomial"])
def test_number_of_radial_functions(n_max, rbf):
    """The gto basis from n_max = 9 on is so ill-conditioned that rounding alone makes 1e-8."""
    basis = {**ORGANIC, "n_max": n_max, "r_cut": 5.0, "rbf": rbf}
    assert parity(molecule("CH3CONH2"), **basis) < PARITY


CENTERS = {
    "indices": [3, 0],
    "repeated": [1, 1, 0],
    "from the end": [-1, 2],
    "array": np.array([2, 1]),
    "positions": [[0.0, 0.1, 0.2], [1.5, -0.3, 0.8]],
    "position array": np.array([[0.3, 0.0, 0.0]]),
    "mixed": [2, [0.5, 0.5, 0.5], 0, (0.1, 0.2, 0.3)],
    "far away": [[40.0, 0.0, 0.0], 1],
}


@pytest.mark.parametrize("name", CENTERS)
@pytest.mark.parametrize("average", ["off", "inner", "outer"])
def test_centers(name, average):
    options = {**ORGANIC, "average": average, "weighting": {"w0": 0.4}}
    assert parity(molecule("CH3OH"), CENTERS[name], **options) < PARITY


def test_center_given_by_its_position_counts_as_the_atom():
    atoms = molecule("CH3OH")
    soap = SOAP(**ORGANIC, weighting={"w0": 0.4})
    assert np.array_equal(soap.create(atoms, atoms.positions), soap.create(atoms))


@pytest.mark.parametrize("species", [[8, 1, 6], ["O", "C", "H"], ("C", "H", "O", "O"), {6, 8, 1}])
def test_species_in_any_form(species):
    options = {**ORGANIC, "species": species}
    assert parity(molecule("CH3OH"), **options) < PARITY
    assert SOAP(**options).species == (1, 6, 8)


@pytest.mark.parametrize("mode", MODES)
def test_feature_order(mode):
    options = {**ORGANIC, "compression": {"mode": mode}}
    ours, theirs = SOAP(**options), dscribes(**options)
    assert ours.get_number_of_features() == theirs.get_number_of_features()
    for pair in itertools.product(["H", 6, "O", 7], repeat=2):
        if mode in ("mu1nu1", "crossover") and len(set(pair)) > 1:
            with pytest.raises(InputError, match="no features of two elements"):
                ours.get_location(pair)
        else:
            assert ours.get_location(pair) == theirs.get_location(pair)
    with pytest.raises(InputError, match="S is not among the species"):
        ours.get_location(("S", "H"))
    with pytest.raises(InputError, match="pair"):
        ours.get_location(("H",))


LISTS = {
    "equal": (["CH3OH", "CH3OH"], None),
    "different": (["CH3OH", "H2O", "NH3"], None),
    "one": (["CH3OH"], None),
    "with centers": (["CH3OH", "H2O"], [[0, 2], [1, [0.0, 0.0, 1.0]]]),
    "with unequal centers": (["CH3OH", "H2O"], [[0, 2], [1]]),
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("average", ["off", "outer"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sparse", [False, True])
def test_lists(name, average, dtype, sparse):
    names, centers = LISTS[name]
    structures = [molecule(name) for name in names]
    options = {**ORGANIC, "average": average, "dtype": dtype, "sparse": sparse}
    ours = SOAP(**options).create(structures, centers=centers)
    theirs = dscribes(**options).create(structures, centers=centers)
    assert type(ours) is type(theirs)
    assert len(ours) == len(theirs)
    tolerance = 1e-6 if dtype == "float32" else PARITY
    for a, b in zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]:
        assert type(a) is type(b)
        dense = (a.todense(), b.todense()) if sparse else (a, b)
        assert error(*dense) < tolerance


@pytest.mark.parametrize("function", ["poly", "pow", "exp"])
def test_cutoff_from_weighting(function):
    weighting = {
        "poly": {"function": "poly", "r0": 3.0, "c": 1.0, "m": 1},
        "pow": {"function": "pow", "r0": 1.0, "c": 1.0, "d": 1.0, "m": 4, "threshold": 2e-2},
        "exp": {"function": "exp", "r0": 1.0, "c": 1.0, "d": 0.5},
    }[function]
    options = {**ORGANIC, "r_cut": None, "weighting": weighting}
    assert SOAP(**options).r_cut == pytest.approx(dscribes(**options)._r_cut, rel=1e-14)
    assert parity(molecule("CH3OH"), **options) < PARITY


@pytest.mark.parametrize(("sigma", "l_max"), [(0.3, 12), (1.5, 6), (0.05, 20), (3.0, 20)])
def test_polynomial_basis_where_dscribe_errs(sigma, l_max):
    """Radial functions equal the defining integral with SciPy's Bessel functions everywhere."""
    r_cut, scale = 4.0, 5.0
    basis = PolynomialBasis(r_cut, 3, l_max, sigma, scale)
    r = np.concatenate([[0.0], np.geomspace(1e-7, 1e-3, 5), np.linspace(0.05, scale, 40)])
    ours = (
        basis(torch.tensor(r**2)).numpy()
        * (r / scale)[:, None] ** np.arange(l_max + 1)[:, None, None]
    )
    nodes, weights = np.polynomial.legendre.leggauss(100)
    q = r_cut * (nodes + 1) / 2
    powers = (r_cut - q) ** np.arange(3, 6)[:, None]
    gram = (powers * q**2 * weights * r_cut / 2) @ powers.T
    values, vectors = np.linalg.eigh(gram)
    orthonormal = (vectors / np.sqrt(values)) @ vectors.T @ powers
    measure = 4 * np.pi * orthonormal * q**2 * weights * r_cut / 2
    x = q * r[:, None] / sigma**2
    for degree in range(l_max + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.nan_to_num(spherical_in(degree, x) * np.exp(-x))
        # Beyond the range of exp, twice the leading term's precision comes from the full expansion.
        large = x > 600
        terms, term = np.ones_like(x), np.ones_like(x)
        for k in range(1, degree + 1):
            term = -term * (degree + k) * (degree - k + 1) / (2 * k * np.maximum(x, 1))
            terms = terms + term
        scaled = np.where(large, terms / (2 * np.maximum(x, 1)), scaled)
        kernel = scaled * np.exp(-((q - r[:, None]) ** 2) / (2 * sigma**2))
        expected = kernel @ measure.T
        assert np.abs(ours[degree] - expected).max() < 1e-9 * np.abs(expected).max(), degree


def test_polynomial_features_that_dscribe_gets_wrong_are_known():
    """DScribe's polynomial features err; if mended, correct the docs of ``polynomial_basis``."""
    atoms = molecule("CH3OH")
    turned = atoms.copy()
    turned.rotate(35, (1, 2, 3))
    options = {**ORGANIC, "rbf": "polynomial", "sigma": 0.3}
    for l_max, invariant in ((9, True), (10, False)):
        theirs = dscribes(**{**options, "l_max": l_max})
        assert (error(theirs.create(turned), theirs.create(atoms)) < PARITY) == invariant
    assert 1e-4 < parity(atoms, **{**options, "sigma": 1.5}) < 1e-2
