"""SOAP as a program of torch.export: the same features and gradients, whatever the size."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from test_soap_laws import same
from test_soap_parity import rattled_triclinic

from losiko_torch import SOAP, Batch
from losiko_torch.descriptors.soap.export import exported
from losiko_torch.errors import InputError
from losiko_torch.systems.neighbors import find_pairs

SMALL = {"species": ["H", "C", "N", "O"], "r_cut": 3.0, "n_max": 3, "l_max": 3, "sigma": 0.4}


def arguments(atoms, soap, dtype=torch.float64):
    batch = Batch.from_atoms(atoms, dtype)
    pairs = find_pairs(batch, soap.cutoff, soap.periodic)
    offsets = torch.zeros(len(pairs.center), 3, dtype=dtype)
    if pairs.shift is not None:
        offsets = pairs.shift.to(dtype) @ batch.cells[0]
    return batch, (batch.positions, batch.numbers, pairs.center, pairs.neighbor, offsets)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": {"mode": "mu1nu1"}},
        {"compression": {"mode": "mu2", "species_weighting": {"H": 1, "C": 2, "N": 3, "O": 4}}},
        {"compression": {"mode": "crossover"}},
        {"weighting": {"function": "poly", "r0": 4.0, "c": 1, "m": 2}, "smooth_width": 0.5},
    ],
    ids=str,
)
def test_equals_the_descriptor(options):
    soap = SOAP(**SMALL, **options)
    program = exported(soap).module()
    for name in ("H2O", "CH3CONH2", "O"):
        batch, given = arguments(molecule(name), soap)
        assert same(program(*given).numpy(), soap(batch).numpy(), 1e-12)


def test_gradient_and_a_crystal():
    atoms = rattled_triclinic()
    species = sorted(set(atoms.get_chemical_symbols()))
    soap = SOAP(**{**SMALL, "species": species}, periodic=True)
    batch, given = arguments(atoms, soap)
    gradients = []
    for function in (
        lambda positions: exported(soap).module()(positions, *given[1:]),
        lambda positions: soap(batch.with_positions(positions)),
    ):
        positions = batch.positions.clone().requires_grad_()
        gradients.append(torch.autograd.grad(function(positions).square().sum(), positions)[0])
    assert same(gradients[0].numpy(), gradients[1].numpy(), 1e-11)


def test_saved_loaded_and_in_single_precision(tmp_path):
    soap = SOAP(**SMALL)
    torch.export.save(exported(soap, torch.float32), tmp_path / "soap.pt2")
    program = torch.export.load(tmp_path / "soap.pt2").module()
    batch, given = arguments(molecule("CH3OH"), soap, torch.float32)
    features = program(*given)
    assert features.dtype == torch.float32
    assert same(features.numpy(), soap(batch).numpy(), 1e-5)


def test_an_element_that_is_unknown_is_not_taken_for_another():
    soap = SOAP(**SMALL)
    program = exported(soap).module()
    _, given = arguments(molecule("SiH4"), soap)
    assert np.isnan(program(*given).numpy()).all()


@pytest.mark.parametrize("options", [{"average": "inner"}, {"rbf": "polynomial"}], ids=str)
def test_what_cannot_be_exported(options):
    with pytest.raises(InputError, match="only SOAP with rbf='gto' and average='off'"):
        exported(SOAP(**SMALL, **options))
