"""SOAP as a TensorMap: what create and derivatives give, laid out as featomic lays it out."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from small_database import rattled

from losiko_torch import SOAP, Batch, InputError, StructureError

metatensor = pytest.importorskip("metatensor", reason="metatensor is not installed")

from losiko_torch.descriptors.soap.metatensor import tensor_map  # noqa: E402

SMALL = {"species": ["H", "C", "O"], "r_cut": 3.0, "n_max": 3, "l_max": 2, "sigma": 0.3}


def structures():
    """Molecules with and without carbon, atoms that see nothing, and a cell below the cutoff."""
    far = Atoms("OH", positions=[[0, 0, 0], [0, 0, 20]])
    cell = bulk("C", "diamond", a=3.6)
    cell.rattle(0.1, seed=3)
    return [rattled("H2O"), far, rattled("CH3OH"), cell]


def dense(found):
    return found if isinstance(found, np.ndarray) else found.todense()


def place_of(soap, first, second, degree, one, other):
    """Place of a feature in what create gives, counted out pair by pair."""
    species = soap.species
    pairs = [(a, b) for a in species for b in species if a <= b]
    if soap.compression["mode"] == "crossover":
        pairs = [(a, a) for a in species]
    place = 0
    for pair in pairs:
        for level in range(soap.l_max + 1):
            for n in range(soap.n_max):
                for m in range(n if pair[0] == pair[1] else 0, soap.n_max):
                    if (*pair, level, n, m) == (first, second, degree, one, other):
                        return place
                    place += 1
    raise AssertionError("there is no such feature")


def column(soap, key, entry):
    """Place of a property (l, n_1, n_2) of a block."""
    _, first, second = (int(each) for each in key)
    degree, one, other = (int(each) for each in entry)
    if first == second and one > other:
        one, other = other, one
    return place_of(soap, first, second, degree, one, other)


def columns(soap, key, block):
    return [column(soap, key, entry) for entry in block.properties.values]


def unfolded(soap, found, systems):
    """Rows of features of each structure, and their derivatives, out of a TensorMap's blocks."""
    width = soap.get_number_of_features()
    rows = [np.zeros((len(atoms), width)) for atoms in systems]
    slopes = [np.zeros((len(atoms), len(atoms), 3, width)) for atoms in systems]
    for key, block in found.items():
        chosen = columns(soap, key.values, block)
        samples = block.samples.values
        for (system, atom), values in zip(samples, block.values, strict=True):
            assert systems[system].numbers[atom] == key["center_type"]
            rows[system][atom, chosen] = values
        if "positions" not in block.gradients_list():
            continue
        gradient = block.gradient("positions")
        for (sample, system, atom), values in zip(
            gradient.samples.values, gradient.values, strict=True
        ):
            assert samples[sample][0] == system
            slopes[system][samples[sample][1], atom][:, chosen] = values
    return rows, slopes


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"periodic": True},
        {"periodic": True, "rbf": "polynomial", "sparse": True},
        {"compression": {"mode": "crossover"}, "dtype": "float32"},
        {"weighting": {"function": "poly", "r0": 4.0, "c": 1, "m": 2}, "smooth_width": 0.5},
    ],
    ids=str,
)
def test_holds_what_create_and_derivatives_give(options):
    soap, systems = SOAP(**SMALL, **options), structures()
    found = tensor_map(soap, systems, gradients=["positions"])
    rows, slopes = unfolded(soap, found, systems)
    for number, atoms in enumerate(systems):
        assert np.array_equal(rows[number], dense(soap.create(atoms)))
        expected = dense(soap.derivatives(atoms, attach=True, return_descriptor=False))
        largest = np.abs(expected).max()
        assert np.abs(slopes[number] - expected).max() <= 1e-12 * largest
    assert {block.values.dtype for block in found.blocks()} == {np.dtype(soap.dtype)}


def test_products_within_an_element_are_symmetric():
    found = tensor_map(SOAP(**SMALL), structures())
    for key, block in found.items():
        values = block.values.reshape(-1, 3, 3, 3)
        alike = key["neighbor_1_type"] == key["neighbor_2_type"]
        assert np.array_equal(values, values.transpose(0, 1, 3, 2)) == alike


def test_is_laid_out_as_featomic_lays_it_out():
    water = [molecule("H2O"), molecule("OH")]
    soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=2, l_max=1, sigma=0.3)
    found = tensor_map(soap, water, gradients=["positions"])
    assert found.keys.names == ["center_type", "neighbor_1_type", "neighbor_2_type"]
    pairs = [(1, 1), (1, 8), (8, 8)]
    expected = [[center, *pair] for center in (1, 8) for pair in pairs]
    assert found.keys.values.tolist() == expected
    block = found.block(center_type=8, neighbor_1_type=8, neighbor_2_type=8)
    assert block.samples.names == ["system", "atom"]
    assert block.samples.values.tolist() == [[0, 0], [1, 0]]
    assert block.properties.names == ["l", "n_1", "n_2"]
    every = [[degree, n, m] for degree in range(2) for n in range(2) for m in range(2)]
    assert block.properties.values.tolist() == every
    gradient = block.gradient("positions")
    assert gradient.samples.names == ["sample", "system", "atom"]
    assert [component.names for component in gradient.components] == [["xyz"]]
    # Hydrogen is no matter to products of oxygen's density.
    assert gradient.samples.values.tolist() == [[0, 0, 0], [1, 1, 0]]
    block = found.block(center_type=1, neighbor_1_type=8, neighbor_2_type=8)
    moved = [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 2], [2, 1, 0], [2, 1, 1]]
    assert block.gradient("positions").samples.values.tolist() == moved


def test_has_the_labels_of_featomic():
    """Within the same reach, the blocks of both have the same labels."""
    featomic = pytest.importorskip("featomic", reason="featomic is not installed")
    soap, systems = SOAP(**SMALL, periodic=True), structures()
    theirs = featomic.SoapPowerSpectrum(
        cutoff={"radius": soap.cutoff, "smoothing": {"type": "Step"}},
        density={"type": "Gaussian", "width": soap.sigma},
        basis={
            "type": "TensorProduct",
            "max_angular": soap.l_max,
            "radial": {"type": "Gto", "max_radial": soap.n_max - 1},
        },
    ).compute(systems, gradients=["positions"])
    ours = tensor_map(soap, systems, gradients=["positions"])
    assert ours.keys == theirs.keys
    for key, block in ours.items():
        their = theirs.block(key)
        assert block.samples == their.samples
        assert block.properties == their.properties
        gradient, their = block.gradient("positions"), their.gradient("positions")
        assert gradient.samples == their.samples
        assert gradient.components == their.components


def test_a_jacobian_in_parts_is_the_same(monkeypatch):
    soap, systems = SOAP(**SMALL), structures()
    whole = tensor_map(soap, systems, gradients=["positions"])
    monkeypatch.setattr("losiko_torch.descriptors.soap.metatensor.NUMBERS_AT_ONCE", 1)
    parts = tensor_map(soap, systems, gradients=["positions"])
    for key, block in whole.items():
        gradient = parts.block(key).gradient("positions")
        assert gradient.samples == block.gradient("positions").samples
        np.testing.assert_allclose(
            gradient.values, block.gradient("positions").values, rtol=0, atol=1e-12
        )


def test_a_structure_gives_what_it_gives_among_others():
    soap, systems = SOAP(**SMALL), structures()
    together = tensor_map(soap, systems)
    for number, atoms in enumerate(systems):
        for key, block in tensor_map(soap, atoms).items():
            among = together.block(key)
            own = among.samples.values[:, 0] == number
            assert np.array_equal(among.samples.values[own, 1], block.samples.values[:, 1])
            assert np.array_equal(among.values[own], block.values)


def test_tensors_of_a_batch_are_differentiable():
    pytest.importorskip("metatensor_torch", reason="metatensor-torch is not installed")
    soap, systems = SOAP(**SMALL, periodic=True), structures()
    batch = Batch.from_atoms(systems)
    batch.positions.requires_grad_()
    batch.cells.requires_grad_()
    found = tensor_map(soap, batch)
    loss = sum(block.values.square().sum() for block in found.blocks())
    gradient = torch.autograd.grad(loss, (batch.positions, batch.cells))
    # The same loss of the features themselves, in which one of two equal products is left out.
    weights = torch.zeros(soap.get_number_of_features(), dtype=torch.float64)
    for block_key, block in tensor_map(soap, systems).items():
        chosen = columns(soap, block_key.values, block)
        weights[chosen] = torch.bincount(torch.tensor(chosen), minlength=len(weights))[chosen].to(
            weights
        )
    plain = (soap(batch).square() * weights).sum()
    expected = torch.autograd.grad(plain, (batch.positions, batch.cells))
    assert torch.isclose(loss, plain, rtol=1e-12)
    for one, other in zip(gradient, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10 * float(other.abs().max()))
    for key, block in tensor_map(soap, systems).items():
        labels = dict(zip(key.names, map(int, key.values), strict=True))
        tensors = found.block(labels)
        assert tensors.samples.values.tolist() == block.samples.values.tolist()
        np.testing.assert_allclose(tensors.values.detach().numpy(), block.values, atol=1e-12)


def test_a_file_gives_it_back(tmp_path):
    found = tensor_map(SOAP(**SMALL), structures(), gradients=["positions"])
    metatensor.save(tmp_path / "features.mts", found)
    again = metatensor.load(tmp_path / "features.mts")
    assert again.keys == found.keys
    for key, block in found.items():
        assert np.array_equal(again.block(key).values, block.values)


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({"average": "inner"}, {}, "needs SOAP with average='off'"),
        ({"compression": {"mode": "mu2"}}, {}, "not average='off' and compression 'mu2'"),
        ({}, {"gradients": ["cell"]}, r"must be \[\] or \['positions'\], not \['cell'\]"),
        ({}, {"gradients": "positions"}, r"must be \[\] or \['positions'\], not 'positions'"),
        ({}, {"systems": []}, "at least one structure"),
    ],
    ids=str,
)
def test_what_it_does_not_serve_is_said(options, arguments, message):
    with pytest.raises(InputError, match=message):
        tensor_map(SOAP(**SMALL, **options), **{"systems": molecule("H2O"), **arguments})


def test_a_batch_has_its_gradients_by_autograd():
    with pytest.raises(InputError, match="by autograd"):
        tensor_map(SOAP(**SMALL), Batch.from_atoms(molecule("H2O")), gradients=["positions"])


def test_an_element_that_is_not_described_is_named_with_its_structure():
    with pytest.raises(StructureError, match=r"structure 1: .*N"):
        tensor_map(SOAP(**SMALL), [molecule("H2O"), molecule("NH3")])


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "metatensor", None)
    with pytest.raises(InputError, match=r"losiko-torch\[metatensor\]"):
        tensor_map(SOAP(**SMALL), molecule("H2O"))
