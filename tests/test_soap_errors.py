"""Unusable parameters, structures and centers, each refused with a sentence that says why."""

import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from test_soap_parity import ORGANIC

from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError, StructureError

BAD_PARAMETERS = [
    ({"species": None}, "needs species"),
    ({"species": []}, "species is empty"),
    ({"species": "H"}, "as a list"),
    ({"species": ["H", "Foo"]}, "'Foo' is no chemical symbol"),
    ({"species": [1, -2]}, "'-2' is neither"),
    ({"r_cut": None}, "give r_cut"),
    ({"r_cut": None, "weighting": {"w0": 1}}, "give r_cut"),
    ({"r_cut": -3.0}, "r_cut must be positive"),
    ({"r_cut": float("nan")}, "r_cut must be positive"),
    ({"r_cut": 0.9}, "larger than 1 A for the gto"),
    ({"n_max": 0}, "n_max must be at least 1"),
    ({"n_max": None}, "needs species, n_max and l_max"),
    ({"n_max": 2.5}, "n_max must be an integer"),
    ({"l_max": -1}, "l_max must lie between 0 and 20"),
    ({"l_max": 21}, "l_max must lie between 0 and 20"),
    ({"n_max": 60, "r_cut": 1.5}, "linearly dependent"),
    ({"sigma": 0.0}, "sigma must be positive"),
    ({"sigma": float("nan")}, "sigma must be positive"),
    ({"rbf": "spline"}, "rbf 'spline' is none of"),
    ({"average": "mean"}, "average 'mean' is none of"),
    ({"dtype": "float16"}, "dtype 'float16' is none of"),
    ({"smooth_width": -1.0}, "smooth_width must not be negative"),
    ({"weighting": {"function": "box"}}, "function 'box' is none of"),
    ({"weighting": {"function": "poly", "r0": 0.0, "c": 1, "m": 1}}, "'poly' needs 'r0'"),
    ({"weighting": {"function": "exp", "r0": 1.0, "c": 1}}, "'exp' needs 'd'"),
    ({"weighting": {"w0": -1}}, "w0 must not be negative"),
    ({"weighting": {"w1": 1}}, "unknown entries: w1"),
    (
        {"r_cut": None, "weighting": {"function": "pow", "r0": 1.0, "c": 0.1, "d": 99, "m": 2}},
        "below its threshold",
    ),
    ({"compression": {"mode": "mu3"}}, "mode 'mu3' is none of"),
    ({"compression": {"weights": {}}}, "unknown entries: weights"),
    ({"compression": {"species_weighting": [1.0]}}, "must be a dictionary"),
    ({"compression": {"species_weighting": {"H": 1.0}}}, "exactly one weight"),
]


@pytest.mark.parametrize(("change", "message"), BAD_PARAMETERS)
def test_bad_parameters(change, message):
    with pytest.raises(InputError, match=message):
        SOAP(**{**ORGANIC, **change})


BAD_STRUCTURES = [
    (Atoms("HHe", [[0, 0, 0], [0, 0, 1]]), "does not know He"),
    (Atoms("H2", [[0, 0, 0], [0, 0, np.nan]]), "atom 1 has a coordinate"),
    (Atoms("H2", [[0, 0, 0], [0, 0, 1e-3]]), "atoms 0 and 1 lie within"),
    (Atoms("H2", [[0, 0, 0], [0, 0, 3]], cell=[3, 3, 3], pbc=True), "lie within"),
    (Atoms("H2", [[0, 0, 0], [0, 0, 1]], pbc=True), "span no volume"),
    (Atoms(), "no atoms"),
    (Atoms("XH", [[0, 0, 0], [0, 0, 1]]), "not a chemical element"),
]


@pytest.mark.parametrize(("atoms", "message"), BAD_STRUCTURES)
def test_bad_structures_are_named(atoms, message):
    soap = SOAP(**ORGANIC, periodic=True)
    with pytest.raises(StructureError, match=f"structure 1: .*{message}"):
        soap.create([molecule("H2O"), atoms])
    with pytest.raises(StructureError, match=message):
        soap.derivatives(atoms)


def test_unused_cell_is_not_looked_at():
    periodic = Atoms("H2", [[0, 0, 0], [0, 0, 1]], pbc=True)
    cluster = Atoms("H2", [[0, 0, 0], [0, 0, 1]])
    soap = SOAP(**ORGANIC)
    assert np.array_equal(soap.create(periodic), soap.create(cluster))


@pytest.mark.parametrize(
    "centers", [[], [5], [-4], [[0.0, 1.0]], ["H"], [None], 3, [[0.0, np.nan, 0.0]]]
)
def test_bad_centers(centers):
    soap = SOAP(**ORGANIC)
    with pytest.raises(InputError, match=r"center|has no atom"):
        soap.create(molecule("H2O"), centers)
    with pytest.raises(InputError, match="1 structures but 2 lists of centers"):
        soap.create([molecule("H2O")], [[0], [1]])


def test_what_defines_the_features_cannot_be_changed_unnoticed():
    soap = SOAP(**ORGANIC)
    for name in ("species", "compression"):
        with pytest.raises(AttributeError):
            setattr(soap, name, None)


def test_sparse_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sparse", None)
    with pytest.raises(InputError, match="pip install sparse"):
        SOAP(**ORGANIC, sparse=True).create(molecule("H2O"))
