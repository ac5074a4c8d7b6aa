"""Angular functions whose lambda lies beyond -1 to 1, where 1 + lambda cos theta changes its sign.

Errors are the largest difference over the largest feature: 1e-8 is promised, 1.1e-15 measured.
"""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from test_acsf import PARITY, SMALL, behlers, parity
from test_soap_derivatives import central_differences
from test_soap_laws import same
from test_soap_parity import error, rattled_triclinic

from losiko_torch.descriptors.acsf.acsf import ACSF
from losiko_torch.systems.batch import Batch

#: Odd and even powers, both signs, both kinds of functions, beside one within -1 to 1.
WIDE = {
    "r_cut": 3.5,
    "species": ["O", "H", "N", "C"],
    "g4_params": [[0.01, 1, 3], [0.1, 2, -4], [0.02, 3, -1.5], [0.05, 2.5, 1]],
    "g5_params": [[0.02, 5, 6], [0.1, 8, 9], [0.02, 3, 1.5]],
}


@pytest.mark.parametrize("name", ["CH3CONH2", "C6H6", "CO2", "H2O"])
def test_equal_to_dscribe(name):
    without = {**WIDE, "g4_params": WIDE["g4_params"][:3]}
    assert parity(molecule(name), **without) < PARITY


def test_equal_to_dscribe_in_a_crystal():
    without = {**WIDE, "g4_params": WIDE["g4_params"][:3]}
    assert parity(rattled_triclinic(), **without, periodic=True) < PARITY


def test_functions_within_are_as_before():
    """Functions of usual lambda have the same values beside functions of another."""
    atoms = molecule("CH3CONH2")
    both = ACSF(**WIDE).create(atoms).reshape(len(atoms), -1)
    alone = ACSF(**{**WIDE, "g4_params": WIDE["g4_params"][3:], "g5_params": None})
    n_pairs = 10
    rows = both[:, 4:].reshape(len(atoms), n_pairs, -1)
    assert same(rows[:, :, 3], alone.create(atoms)[:, 4:].reshape(len(atoms), n_pairs), 1e-14)


def test_features_become_negative():
    """A straight molecule seen from its end: theta is 0, from its middle: theta is 180 degrees."""
    acsf = ACSF(4.0, g5_params=[[0.01, 3, -2], [0.01, 2, -2]], species=["C", "O"])
    oxygen, carbon = acsf.create(molecule("CO2"))[[1, 0]]
    assert (oxygen[2:].reshape(3, 2)[1] * [-1, 1] > 0).all()
    assert (carbon[2:].reshape(3, 2)[2] > 0).all()


def test_base_of_zero():
    """At 120 degrees with lambda 2 the base vanishes: value and slopes are those of the power."""
    positions = [[0, 0, 0], [1, 0, 0], [-0.5, np.sqrt(0.75), 0]]
    atoms = Atoms("OH2", positions)
    for zeta in (1, 2, 3):
        acsf = ACSF(3.0, g5_params=[[0.1, zeta, 2]], species=["H", "O"])
        assert abs(acsf.create(atoms, [0])[0, -3:]).max() < 1e-15
        ours = acsf.derivatives(atoms, centers=[0], return_descriptor=False)
        assert error(ours, central_differences(acsf, atoms, [0], attach=True)) < 1e-6


def test_derivatives():
    acsf, atoms = ACSF(**WIDE), molecule("CH3OH")
    ours = acsf.derivatives(atoms, return_descriptor=False)
    assert error(ours, central_differences(acsf, atoms, None, attach=True)) < 1e-6


def test_gradients_of_both_orders():
    acsf = ACSF(**{**SMALL, "g4_params": [[0.1, 3, 2.5]], "g5_params": [[0.05, 1, -3]]})
    batch = Batch.from_atoms(molecule("H2O"))
    positions = batch.positions.clone().requires_grad_()

    def total(p):
        return acsf(batch.with_positions(p)).square().sum()

    assert torch.autograd.gradcheck(total, (positions,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(total, (positions,))


def test_a_center_that_is_no_atom():
    acsf, atoms, center = ACSF(**WIDE), molecule("CH3CONH2"), [[0.1, 0.2, 0.3]]
    assert error(acsf.create(atoms, center), behlers(acsf, atoms, center)) < PARITY


def test_single_precision():
    acsf, atoms = ACSF(**WIDE), molecule("CH3CONH2")
    assert same(acsf(Batch.from_atoms(atoms, torch.float32)).numpy(), acsf.create(atoms), 2e-6)
