"""Molecules that a box cuts come back whole, and nothing else changes."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from losiko_torch.systems.whole import whole_molecules


def in_a_box(atoms, shift, lengths=(9.0, 8.0, 7.0), tilt=0.0):
    boxed = atoms.copy()
    boxed.set_cell([[lengths[0], 0, 0], [tilt, lengths[1], 0], [0, tilt, lengths[2]]])
    boxed.pbc = True
    boxed.translate(shift)
    boxed.wrap()
    return boxed


@pytest.mark.parametrize("tilt", [0.0, 2.5])
@pytest.mark.parametrize("shift", [(0, 0, 0), (4.5, 0, 0), (4.2, 4.1, -3.3)])
def test_a_wrapped_molecule(shift, tilt):
    ethanol = molecule("CH3CH2OH")
    found = whole_molecules(in_a_box(ethanol, shift, tilt=tilt))
    assert not found.pbc.any()
    distances = found.get_all_distances()
    np.testing.assert_allclose(distances, ethanol.get_all_distances(), atol=1e-9)


def test_molecules_stay_next_to_each_other():
    dimer = molecule("H2O") + molecule("H2O")
    dimer.positions[3:] += [0, 0, 2.9]
    for shift in ((0, 0, 0), (0, 0, 5), (4, 4, 4.2)):
        found = whole_molecules(in_a_box(dimer, shift))
        np.testing.assert_allclose(found.get_all_distances(), dimer.get_all_distances(), atol=1e-9)


def test_what_is_bonded_to_its_image_is_told_and_left():
    crystal = bulk("Si", cubic=True)
    with pytest.warns(UserWarning, match="bonded to its own image"):
        found = whole_molecules(crystal)
    assert not found.pbc.any()
    np.testing.assert_array_equal(found.positions, crystal.positions)


def test_what_needs_nothing():
    water = molecule("H2O")
    assert whole_molecules(water) is water
    for odd in (Atoms("C", pbc=True), Atoms(cell=[1, 2, 3], pbc=True)):
        assert not whole_molecules(odd).pbc.any()
    slab = in_a_box(water, (4.5, 0, 3.5))
    slab.pbc = (True, True, False)
    found = whole_molecules(slab)
    np.testing.assert_allclose(found.get_all_distances(), water.get_all_distances(), atol=1e-9)
