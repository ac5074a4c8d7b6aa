"""Laws of the pull that learned targets are fitted to: zeros, symmetries and derivatives."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111
from ase.collections import g2
from scipy.spatial.transform import Rotation
from small_learned import perturbed

from losiko_torch.learned.pull import (
    KAPPA,
    LEVER,
    Good,
    displacements,
    pull,
    rotations,
    shifted,
    strain_of,
)
from losiko_torch.systems.batch import Batch

CRYSTALS = {
    "NaCl": bulk("NaCl", "rocksalt", a=5.64),
    "CsCl": bulk("CsCl", "cesiumchloride", a=4.12),
    "Si": bulk("Si", "diamond", a=5.43) * (2, 1, 1),
    "slab": fcc111("Al", (1, 1, 3), vacuum=5.0),
}
MOLECULES = ["CH3CH2OH", "H2O", "C2H4", "HCOOH", "CO2", "HCN", "H2"]
GOOD = {**{name: g2[name] for name in MOLECULES}, **CRYSTALS}


def pulled(copies, good):
    return pull(Good.of(Batch.from_atoms(good)), Batch.from_atoms(copies))


def copy_of(name, seed=0):
    """Return a copy that is rattled, turned where it may be, and strained where it is a crystal."""
    good = GOOD[name]
    if good.pbc.any():
        return perturbed(good, seed, 0.1, 0.03)
    atoms = perturbed(good, seed, 0.1)
    atoms.positions = atoms.positions @ Rotation.random(random_state=seed).as_matrix().T + 2.0
    return atoms


def vanishes(found):
    return (
        found.energy.abs().max() <= 1e-20
        and found.gradient.abs().max() <= 1e-10
        and found.virial.abs().max() <= 1e-10
        and found.variance.abs().max() <= 1e-20
    )


@pytest.mark.parametrize("name", GOOD)
def test_nothing_pulls_a_good_structure(name):
    good = GOOD[name]
    here = good.copy()
    here.positions += [0.7, -0.4, 12.0]
    turned = here.copy()
    turn = Rotation.random(random_state=1).as_matrix().T
    turned.set_cell(turned.cell @ turn)
    turned.positions = turned.positions @ turn
    for copies in (good, here, turned):
        assert vanishes(pulled(copies, good))
    assert not vanishes(pulled(copy_of(name), good))


def test_a_mirror_image_is_pulled():
    """Distances are those of the good structure, and yet it is another one."""
    chiral = Atoms(
        "CHFClBr", [[0, 0, 0], [0, 0, 1.1], [1.3, 0, -0.4], [-0.8, 1.5, -0.5], [-0.9, -1.6, -0.6]]
    )
    mirrored = chiral.copy()
    mirrored.positions[:, 0] *= -1
    assert pulled(mirrored, chiral).energy.sum() > 0.1


@pytest.mark.parametrize("name", ["CH3CH2OH", "NaCl", "Si"])
def test_permuted_atoms_are_pulled_alike(name):
    copies, good = copy_of(name), GOOD[name]
    order = np.random.default_rng(0).permutation(len(good))
    found, permuted = pulled(copies, good), pulled(copies[order], good[order])
    torch.testing.assert_close(permuted.gradient, found.gradient[order], rtol=0, atol=1e-12)
    torch.testing.assert_close(permuted.energy, found.energy[order], rtol=0, atol=1e-12)
    torch.testing.assert_close(permuted.virial, found.virial, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["CH3CH2OH", "H2O", "CO2"])
def test_the_pull_turns_with_a_molecule(name):
    copies, good = copy_of(name), GOOD[name]
    turn = torch.as_tensor(Rotation.random(random_state=5).as_matrix())
    turned = copies.copy()
    turned.positions = copies.positions @ turn.numpy().T
    found, there = pulled(copies, good), pulled(turned, good)
    torch.testing.assert_close(there.gradient, found.gradient @ turn.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(there.energy, found.energy, rtol=0, atol=1e-12)


def flat(name):
    """Return a copy that is as flat, or straight, as its good structure."""
    good = g2[name]
    atoms = perturbed(good, 3, 0.1)
    thin = np.ptp(good.positions, axis=0) < 1e-6
    atoms.positions[:, thin] = good.positions[:, thin]
    assert thin.any()
    return atoms


CASES = {
    **{name: (copy_of(name, 2), GOOD[name]) for name in GOOD},
    **{f"flat {name}": (flat(name), g2[name]) for name in ("C2H4", "HCOOH", "H2O", "CO2", "HCN")},
    "flattened": (flat("C2H4"), perturbed(g2["C2H4"], 4, 0.1)),
    "apart": (Atoms("H2", [[0, 0, 0], [0.2, 0.1, 6.2]]), Atoms("H2", [[0, 0, 0], [0, 0, 6.0]])),
}


def difference(function, step=1e-3):
    """Return the slope at zero by five points."""
    return (8 * (function(step) - function(-step)) - (function(2 * step) - function(-2 * step))) / (
        12 * step
    )


@pytest.mark.parametrize("case", CASES)
def test_gradient_and_virial_are_the_derivatives_of_the_energy(case):
    copies, good = CASES[case]
    known, batch = Good.of(Batch.from_atoms(good)), Batch.from_atoms(copies)
    found = pull(known, batch)
    generator = torch.Generator().manual_seed(0)
    still, unstrained = torch.zeros_like(batch.positions), torch.zeros_like(batch.cells)
    for _ in range(4):
        way = torch.randn(batch.positions.shape, generator=generator, dtype=torch.float64)

        def moved(length, way=way):
            return float(pull(known, shifted(batch, length * way, unstrained)).energy.sum())

        scale = float(found.gradient.norm() * way.norm())
        assert abs(difference(moved) - float((found.gradient * way).sum())) <= 1e-6 * scale
        if not good.pbc.any():
            continue
        strain = torch.randn(batch.cells.shape, generator=generator, dtype=torch.float64)

        def strained(length, strain=strain):
            return float(pull(known, shifted(batch, still, length * strain)).energy.sum())

        scale = float(found.virial.norm() * strain.norm())
        assert abs(difference(strained) - float((found.virial * strain).sum())) <= 1e-6 * scale


def test_a_molecule_has_no_virial():
    assert not pulled(copy_of("CH3CH2OH"), g2["CH3CH2OH"]).virial.any()


def test_a_batch_is_its_structures():
    names = list(GOOD)
    copies, good = [copy_of(name) for name in names], [GOOD[name] for name in names]
    together = pulled(copies, good)
    singles = [pulled([copies[k]], [good[k]]) for k in range(len(names))]
    for each in together._fields:
        wanted = torch.cat([getattr(single, each) for single in singles])
        torch.testing.assert_close(getattr(together, each), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_strain_is_seen(name):
    """A crystal that is only strained has all atoms in their places, and is pulled all the same."""
    good = Batch.from_atoms(CRYSTALS[name])
    strain = torch.tensor([[[0.02, 0.01, 0], [0.01, -0.03, 0], [0, 0, 0]]], dtype=torch.float64)
    batch = shifted(good, torch.zeros_like(good.positions), strain)
    found = pull(Good.of(good), batch)
    assert displacements(good, batch).abs().max() <= 1e-12
    assert found.energy.sum() > 1e-4
    assert (found.virial * strain).sum() > 1e-4
    green = strain + strain @ strain.transpose(1, 2) / 2
    torch.testing.assert_close(strain_of(good, batch), green, rtol=0, atol=1e-12)
    variance = LEVER**2 / 3 * green.square().sum((1, 2))
    torch.testing.assert_close(found.variance, variance, rtol=0, atol=1e-12)


def test_the_cell_of_a_molecule_is_no_strain():
    good, copies = g2["H2O"].copy(), g2["H2O"].copy()
    good.set_cell([5, 5, 5])
    copies.set_cell([6, 7, 8])
    assert vanishes(pulled(copies, good))


def test_an_atom_alone_is_pulled_as_part_of_the_whole():
    """Beyond the reach nothing is compared but the whole: half of a stretch goes to each atom."""
    good, copies = Atoms("H2", [[0, 0, 0], [0, 0, 6]]), Atoms("H2", [[0, 0, 0], [0, 0, 6.2]])
    wanted = KAPPA * torch.tensor([[0, 0, -0.1], [0, 0, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(pulled(copies, good).gradient, wanted, rtol=0, atol=1e-12)


def test_rotations_are_proper_and_the_best():
    generator = torch.Generator().manual_seed(0)
    moments = torch.randn(50, 3, 3, generator=generator, dtype=torch.float64)
    moments[:5, :, 2] = 0  # flat
    moments[5:10, :, 1:] = 0  # straight
    moments[10] = 0
    moments[11] = -torch.eye(3)
    found = rotations(moments)
    one = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(found @ found.transpose(1, 2), one, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.det(found), one[:, 0, 0], rtol=0, atol=1e-12)
    reached = (found * moments).sum((1, 2))
    others = torch.as_tensor(Rotation.random(200, random_state=0).as_matrix())
    assert (reached[:, None] >= torch.einsum("nij,mij->nm", moments, others) - 1e-12).all()
    large, middle, small = torch.linalg.svdvals(moments).T
    wanted = large + middle + torch.det(moments).sign() * small
    torch.testing.assert_close(reached, wanted, rtol=0, atol=1e-12)
