"""``derivatives`` against DScribe's, and against central differences where DScribe's are wrong.

DScribe's analytical derivatives are matched to 1e-8 of the largest entry. Its numerical ones are
central differences with h = 1e-4 A, whose error is h^2 f'''/6, about 2e-8 for the smooth cases
here: they are matched to 1e-6, and to 1e-4 where a weighting function has a kink at r = 0, so that
only first order in h is left.
"""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from test_soap_parity import MODES, ORGANIC, WEIGHTINGS, dscribes, rattled_triclinic

from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError

ANALYTICAL, NUMERICAL, KINK = 1e-8, 1e-6, 1e-4


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def parity(atoms, method="numerical", call=None, **options) -> float:
    ours, our_features = SOAP(**options).derivatives(atoms, **(call or {}))
    theirs, features = dscribes(**options).derivatives(atoms, method=method, **(call or {}))
    assert relative(our_features, features) < 1e-8
    return relative(ours, theirs)


def central_differences(soap, atoms, centers=None, attach=False, h=1e-4) -> np.ndarray:
    """Derivatives (n_centers or 1, n_atoms, 3, n_features) of ``create``."""
    centers = range(len(atoms)) if centers is None else centers
    if not attach:
        centers = [atoms.positions[c] if isinstance(c, int) else c for c in centers]
    slopes = []
    for atom in range(len(atoms)):
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * h
                ends.append(np.atleast_2d(soap.create(moved, list(centers))))
            slopes.append((ends[0] - ends[1]) / (2 * h))
    slopes = np.array(slopes).reshape(len(atoms), 3, *slopes[0].shape)
    return slopes.transpose(2, 0, 1, 3)


def turned(name: str) -> Atoms:
    """Molecule turned away from z, where DScribe's polynomial Y_lm lose half their digits."""
    atoms = molecule(name)
    atoms.rotate(35, (1, 2, 3))
    return atoms


CALLS = [
    {},
    {"centers": [2, 0]},
    {"centers": [[0.1, 0.2, 0.3], 3, [1.0, -0.4, 0.6]]},
    {"include": [3, 1]},
    {"exclude": [0, 4]},
    {"centers": [5], "include": [5]},
]


@pytest.mark.parametrize("attach", [False, True])
@pytest.mark.parametrize("mode", ["off", "crossover"])
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_analytical(attach, mode, call):
    options = {**ORGANIC, "compression": {"mode": mode}}
    call = {**call, "attach": attach}
    assert parity(molecule("CH3OH"), "analytical", call, **options) < ANALYTICAL


@pytest.mark.parametrize("attach", [False, True])
def test_analytical_at_degree_9_with_distant_atoms(attach):
    atoms = molecule("CH3CONH2")
    copy = atoms.copy()
    copy.translate([6.5, 0, 0])
    options = {**ORGANIC, "l_max": 9, "n_max": 2}
    assert parity(atoms + copy, "analytical", {"attach": attach}, **options) < ANALYTICAL


@pytest.mark.parametrize("attach", [False, True])
@pytest.mark.parametrize("weighting", ["poly", "pow", "exp"])
def test_weighting(attach, weighting):
    options = {**ORGANIC, "weighting": WEIGHTINGS[weighting]}
    kink = weighting == "exp" and not attach
    error = parity(molecule("CH3OH"), call={"attach": attach}, **options)
    assert error < (KINK if kink else NUMERICAL)


@pytest.mark.parametrize("average", ["off", "inner", "outer"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rbf", ["gto", "polynomial"])
def test_modes(average, mode, rbf):
    options = {**ORGANIC, "average": average, "compression": {"mode": mode}, "rbf": rbf}
    call = {"attach": True, "centers": [3, [0.5, 0.4, 0.3], 1]}
    assert parity(turned("CH3OH"), call=call, **options) < NUMERICAL


@pytest.mark.parametrize("average", ["off", "inner", "outer"])
def test_periodic(average):
    options = {**ORGANIC, "average": average, "periodic": True}
    for attach in (False, True):
        assert parity(rattled_triclinic(), call={"attach": attach}, **options) < NUMERICAL
    call = {"centers": [2, [0.1, 0.2, 0.3]], "include": [3, 0]}
    assert parity(rattled_triclinic(), call=call, **options) < NUMERICAL


@pytest.mark.parametrize("average", ["off", "inner", "outer"])
def test_periodic_with_some_centers_attached(average):
    """DScribe takes a center's place in the list for its atom, and moves centers that are free."""
    soap = SOAP(**ORGANIC, average=average, periodic=True)
    atoms, centers = rattled_triclinic(), [2, [0.1, 0.2, 0.3], 1]
    ours = soap.derivatives(atoms, centers, attach=True, return_descriptor=False)
    assert relative(ours, central_differences(soap, atoms, centers, attach=True)) < NUMERICAL


@pytest.mark.parametrize("average", ["inner", "outer"])
def test_average_over_centers_out_of_sight(average):
    """Averages are right where an atom does not see all centers (DScribe moves the wrong ones)."""
    soap = SOAP(**{**ORGANIC, "r_cut": 1.5}, average=average)
    atoms = molecule("H2O")
    copy = atoms.copy()
    copy.translate([6.0, 0, 0])
    atoms += copy
    ours = soap.derivatives(atoms, attach=True, return_descriptor=False)
    assert relative(ours, central_differences(soap, atoms, attach=True)) < NUMERICAL


@pytest.mark.parametrize("attach", [False, True])
def test_polynomial(attach):
    """DScribe's polynomial features are no use at 1e-4 A from an atom, where it looks for these."""
    soap = SOAP(**ORGANIC, rbf="polynomial")
    atoms = molecule("CH3OH")
    ours = soap.derivatives(atoms, attach=attach, return_descriptor=False)
    assert relative(ours, central_differences(soap, atoms, attach=attach)) < NUMERICAL


@pytest.mark.parametrize("weighting", ["w0", "poly+w0", "pow+w0"])
def test_weight_of_the_center_when_it_moves_along(weighting):
    options = {**ORGANIC, "weighting": WEIGHTINGS[weighting]}
    assert parity(molecule("CH3OH"), call={"attach": True}, **options) < NUMERICAL


def test_weight_of_the_center_when_it_is_left_behind():
    """The features jump as the atom leaves its center. DScribe differentiates beside the jump,
    with the atom's weight 1; here the atom keeps w0, so that one that is hidden stays hidden."""
    atoms = molecule("CH3OH")
    options = {**ORGANIC, "weighting": {"w0": 0.0}}
    ours = SOAP(**options).derivatives(atoms, return_descriptor=False)
    theirs = dscribes(**options).derivatives(atoms, return_descriptor=False)
    itself = np.eye(len(atoms), dtype=bool)
    assert not ours[itself].any()
    assert relative(ours[~itself], theirs[~itself]) < NUMERICAL


@pytest.mark.parametrize("attach", [False, True])
@pytest.mark.parametrize("names", [["CH3OH", "CH3OH"], ["CH3OH", "H2O"], ["H2O"]], ids=str)
@pytest.mark.parametrize("form", [{}, {"sparse": True}, {"dtype": "float32"}], ids=str)
def test_lists(attach, names, form):
    structures = [molecule(name) for name in names]
    centers, include = [[1, 0]] + [[2]] * (len(names) - 1), [0, 2]
    options = {**ORGANIC, **form}
    call = {"centers": centers, "include": include, "attach": attach}
    both = [d.derivatives(structures, **call) for d in (SOAP(**options), dscribes(**options))]
    for ours, theirs in zip(*both, strict=True):
        assert type(ours) is type(theirs)
        assert len(ours) == len(theirs)
        each = zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]
        for a, b in each:
            assert type(a) is type(b)
            assert a.dtype == b.dtype
            dense = (a.todense(), b.todense()) if "sparse" in form else (a, b)
            assert relative(*dense) < (1e-6 if "dtype" in form else ANALYTICAL)
    alone = SOAP(**options).derivatives(structures, **call, return_descriptor=False)
    assert type(alone) is type(both[0][0])


def test_translation_leaves_attached_features_unchanged():
    for atoms, periodic in ((molecule("CH3OH"), False), (bulk("NaCl", "rocksalt", a=5.6), True)):
        soap = SOAP(
            species=set(atoms.symbols), r_cut=4, n_max=3, l_max=3, sigma=0.4, periodic=periodic
        )
        slopes = soap.derivatives(atoms, attach=True, return_descriptor=False)
        assert np.abs(slopes.sum(1)).max() < 1e-10 * max(np.abs(slopes).max(), 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"include": [0], "exclude": [1]}, "not both"),
        ({"include": [9]}, "indices from 0 to 5"),
        ({"include": [-1]}, "indices from 0 to 5"),
        ({"include": []}, "no atom is left"),
        ({"exclude": np.arange(6)}, "no atom is left"),
        ({"method": "exact"}, "method 'exact'"),
        ({"centers": [7]}, "has no atom 7"),
    ],
)
def test_bad_calls(call, message):
    with pytest.raises(InputError, match=message):
        SOAP(**ORGANIC).derivatives(molecule("CH3OH"), **call)
