"""Names of DScribe's descriptors and kernels: those here give its numbers, and the page has all."""

import re
from pathlib import Path

import dscribe.descriptors
import dscribe.kernels
import numpy as np
import pytest
from ase.build import molecule
from test_acsf import ALL
from test_soap_parity import ORGANIC, error

from losiko_torch import ACSF, SOAP
from losiko_torch.errors import InputError

PAGE = (Path(__file__).parent.parent / "docs" / "dscribe.md").read_text()
WATER = molecule("CH3OH")
PAIRS = [
    (SOAP(**ORGANIC), dscribe.descriptors.SOAP(**ORGANIC)),
    (ACSF(**ALL), dscribe.descriptors.ACSF(**ALL)),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=["SOAP", "ACSF"])
def test_one_structure(ours, theirs):
    for centers in (None, [2, 0]):
        found = ours.create_single(WATER, centers)
        assert error(found, theirs.create_single(WATER, centers)) < 1e-8
        assert np.array_equal(found, ours.create(WATER, centers))
    arguments = WATER, [0, 1], [2, 0]
    jacobian, features = ours.derivatives_single(*arguments, attach=True)
    expected, _ = theirs.derivatives_single(*arguments, attach=True, method="numerical")
    assert jacobian.shape == expected.shape
    assert error(jacobian, expected) < 1e-5
    assert error(features, ours.create(WATER, [0, 1])) < 1e-12
    alone = ours.derivatives_single(*arguments, attach=True, return_descriptor=False)
    assert error(alone, jacobian) < 1e-12


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=["SOAP", "ACSF"])
def test_methods_of_derivatives(ours, theirs):
    for method in ("auto", "analytical", "numerical"):
        assert ours.validate_derivatives_method(method, attach=True) == "analytical"
    for one in (ours, theirs):
        with pytest.raises(ValueError, match="method"):
            one.validate_derivatives_method("guess", attach=True)


def test_elements():
    ours, theirs = PAIRS[0]
    assert ours.n_elements == theirs.n_elements
    assert ours.atomic_number_to_index == theirs.atomic_number_to_index
    assert ours.index_to_atomic_number == theirs.index_to_atomic_number


@pytest.mark.parametrize(("r_cut", "n_max", "l_max"), [(3.0, 4, 6), (5.0, 8, 3), (2.0, 1, 20)])
def test_radial_bases(r_cut, n_max, l_max):
    ours, theirs = PAIRS[0]
    assert ours.get_cutoff_padding() == pytest.approx(theirs.get_cutoff_padding(), rel=1e-14)
    for one, two in zip(
        ours.get_basis_gto(r_cut, n_max, l_max),
        theirs.get_basis_gto(r_cut, n_max, l_max),
        strict=True,
    ):
        assert one.shape == two.shape
        assert error(one, two) < 1e-8
    n_max = min(n_max, 4)
    one, two = ours.get_basis_poly(r_cut, n_max), theirs.get_basis_poly(r_cut, n_max)
    assert error(one[0], two[0]) < 1e-14
    assert error(one[1], two[1]) < 1e-8
    with pytest.raises(InputError, match="linearly dependent"):
        ours.get_basis_gto(1.5, 60, 2)


@pytest.mark.parametrize(
    ("descriptor", "names"),
    [
        (PAIRS[0][0], ["r_cut", "n_max", "l_max", "sigma", "rbf", "weighting", "smooth_width"]),
        (PAIRS[0][0], ["species", "compression"]),
        (PAIRS[1][0], ["r_cut", "g2_params", "g3_params", "g4_params", "g5_params", "species"]),
    ],
    ids=["SOAP", "SOAP's properties", "ACSF"],
)
def test_what_defines_features_is_fixed(descriptor, names):
    kind = type(descriptor).__name__
    for name in names:
        message = f"the {name} of a {kind} cannot be changed: make another {kind}"
        for error_class in (AttributeError, InputError):
            with pytest.raises(error_class, match=message):
                setattr(descriptor, name, None)


def test_the_form_of_results_may_be_changed():
    soap = SOAP(**ORGANIC)
    soap.average, soap.dtype = "inner", "float32"
    assert soap.create(WATER).shape == (soap.get_number_of_features(),)
    assert soap.create(WATER).dtype == np.float32


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def listed(title):
    """Names in the first column of the table below a title of the page."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)[1:]
    return {name for row in rows for name in re.findall(r"`(\w+)", row)}


@pytest.mark.parametrize(
    ("title", "things"),
    [
        ("SOAP and ACSF", [theirs for _, theirs in PAIRS]),
        ("Kernels", [dscribe.kernels.AverageKernel("rbf"), dscribe.kernels.REMatchKernel()]),
    ],
)
def test_the_page_has_every_public_name(title, things):
    names = set().union(*(public(thing) for thing in things))
    assert len(names) > 8
    assert names - listed(title) == set()
