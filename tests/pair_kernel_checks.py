"""Kernels of pairs and of mixed channels against plain torch; ``test_kernels`` runs this.

    TRITON_INTERPRET=1 pytest tests/pair_kernel_checks.py    # without a GPU
    pytest tests/pair_kernel_checks.py                       # with one

Errors are relative to the largest number of the result, or to 0.1. In double precision they are
those of rounding; single precision is compared with double on the same, rounded inputs.
"""

from __future__ import annotations

import pytest
import stand_ins
import torch
from ase import Atoms
from ase.build import molecule
from kernel_checks import DEVICE, GRADIENT_ERROR, KERNELS, PRECISIONS, VALUE_ERROR, error, noise

from losiko_torch import SOAP, Batch, accelerators
from losiko_torch.descriptors.evaluation import Plain
from losiko_torch.descriptors.soap import mixed, seen_pairs
from losiko_torch.descriptors.soap.compiled import CompiledMixedSoap, CompiledSoap
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.descriptors.soap.seen_pairs import PairsByKernels, PairsByTorch, pairs_seen
from losiko_torch.systems.active import ActiveAtoms
from losiko_torch.systems.neighbors import find_pairs
from losiko_torch.systems.pieces import all_of, places_of

EXACT = {torch.float64: 1e-14, torch.float32: 1e-6}


def close(found, expected, limit):
    """Check results of the precision of a key of ``limit`` against those in double precision."""
    for one, other in zip(found, expected, strict=True):
        if one.is_floating_point():
            assert error(one, other) < limit[one.dtype]
        else:
            assert torch.equal(one.cpu(), other)


def on_device(*given):
    return [each.to(DEVICE) if isinstance(each, torch.Tensor) else each for each in given]


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("width", [0.0, 0.5, 2.0, 3.0], ids=lambda width: f"width {width}")
@pytest.mark.parametrize("count", [0, 1, 255, 256, 257])
def test_vectors_and_weights_of_pairs(count, width, dtype):
    """As many pairs as a program takes, and more and fewer, near, fading and far."""
    positions = (1.5 * noise(9, 3)).to(dtype).double()
    index = torch.Generator().manual_seed(1)
    center, neighbor = torch.randint(9, (2, count), generator=index)
    channel = torch.tensor([2, 0, 1, 1, 0, 2, 0, 0, 1])
    expected = stand_ins.pair_geometry(positions, center, neighbor, channel, 2.0, width)
    if count > 200:
        assert 0.2 < (expected[1] == 0).double().mean() < 0.8
    given = on_device(positions.to(dtype), center, neighbor, channel)
    found = KERNELS.pair_geometry(*given, 2.0, width)
    assert [each.dtype for each in found] == [dtype] * 3 + [torch.long]
    close(found, expected, VALUE_ERROR)
    again = KERNELS.pair_geometry(*given, 2.0, width)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_pairs_at_the_cutoff_and_nowhere(dtype):
    """A pair at the cutoff is near and has no weight; one that is not finite is far."""
    beyond = torch.nextafter(torch.tensor(2.0, dtype=dtype), torch.tensor(3.0, dtype=dtype))
    x = torch.tensor([0.0, 2.0, -float(beyond), torch.nan, torch.inf], dtype=dtype)
    positions = torch.stack([x, 0 * x.nan_to_num(), 0 * x.nan_to_num()], 1)
    center, neighbor = torch.zeros(5, dtype=torch.long), torch.arange(5)
    for width, sharp in ((0.5, 0.0), (0.0, 1.0)):
        given = on_device(positions, center, neighbor, neighbor)
        vectors, weights, slopes, _ = (
            each.cpu() for each in KERNELS.pair_geometry(*given, 2.0, width)
        )
        assert vectors[:, 0].tolist() == [0.0, 2.0, 0.0, 0.0, 0.0]
        assert weights.tolist() == [1.0, sharp, 0.0, 0.0, 0.0]
        assert slopes.abs().max() < 1e-20


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_gradient_of_atoms(dtype):
    """Atoms with as many pairs as are added at once, more, fewer and none, on either end."""
    counts = torch.tensor([32, 0, 33, 1, 70])
    center = torch.repeat_interleave(torch.arange(5), counts)
    neighbor = torch.randint(4, (136,), generator=torch.Generator().manual_seed(2))
    order = torch.argsort(neighbor, stable=True)
    firsts = [torch.searchsorted(each, torch.arange(6)) for each in (center, neighbor[order])]
    numbers = noise(136, 8).to(dtype).double()
    given = [each.contiguous() for each in (numbers[:, :3], numbers[:, 3], numbers[:, 4:7])]
    given.append(numbers[:, 7].contiguous())
    expected = stand_ins.gradient_of_atoms(*given, firsts[0], order, firsts[1])
    some = on_device(*(each.to(dtype) for each in given), firsts[0], order, firsts[1])
    found = KERNELS.gradient_of_atoms(*some)
    close([found], [expected], EXACT)
    assert torch.equal(KERNELS.gradient_of_atoms(*some), found)
    none = KERNELS.gradient_of_atoms(
        *(each[:0] for each in some[:4]),
        *on_device(firsts[0][:1]),
        some[5][:0],
        *on_device(firsts[0][:1]),
    )
    assert none.shape == (0, 3)


#: Channels before and after, and the highest degree: less than a block, a block, and several.
MIXED = [(6, 3, 1), (1, 1, 0), (24, 12, 4), (72, 12, 1), (40, 33, 1), (6, 64, 2)]
#: Atoms of each element: of a tile, fewer, more, and one.
ATOMS = [[1], [32], [5, 1, 33], [65, 2, 31, 1]]


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("shape", MIXED, ids=str)
def test_mixed_channels(shape, dtype):
    channels, columns, l_max = shape
    for counts in ATOMS if shape == MIXED[0] else ATOMS[2:3]:
        shuffled = torch.randperm(sum(counts), generator=torch.Generator().manual_seed(3))
        numbers = torch.repeat_interleave(
            torch.tensor([1, 6, 7, 8])[: len(counts)], torch.tensor(counts)
        )
        piece = all_of(numbers[shuffled])
        tiles = piece.rows, piece.tiles, places_of((8, 7, 6, 5, 1), numbers.device)
        assert sorted(piece.rows.tolist()) == list(range(sum(counts)))
        matrices = noise(5, l_max + 1, channels, columns).to(dtype).double()
        for back, width in ((False, channels), (True, columns)):
            values = noise(sum(counts), (l_max + 1) ** 2, width).to(dtype).double()
            expected = stand_ins.mix(values, *tiles, matrices, back)
            given = on_device(values.to(dtype), *tiles, matrices.to(dtype), back)
            found = KERNELS.mix(*given)
            close([found], [expected], EXACT)
            assert torch.equal(KERNELS.mix(*given), found)


def test_no_atoms_are_mixed():
    piece = all_of(torch.zeros(0, dtype=torch.long))
    tiles = piece.rows, piece.tiles, places_of((1,), piece.rows.device)
    found = KERNELS.mix(*on_device(noise(0, 4, 6), *tiles, noise(1, 2, 6, 3)), False)
    assert found.shape == (0, 4, 3)


@pytest.fixture
def by_kernels(monkeypatch):
    """Compute by the kernels, interpreted or not."""
    monkeypatch.setattr(accelerators, "_kernels", lambda device: KERNELS)
    for module in (mixed, seen_pairs):
        monkeypatch.setattr(module, "gpu_kernel", lambda device, name: getattr(KERNELS, name))


def looked_at(soap, batch):
    """Return all atoms with all pairs of their structures, near or far."""
    return ActiveAtoms(None, find_pairs(batch, torch.inf, False), batch, soap.cutoff)


#: An atom alone among others, one alone with nobody near, and more elements than one.
STRUCTURES = {
    "molecules": [molecule("OH"), Atoms("O"), molecule("HCN")],
    "an atom": [Atoms("C")],
    "atoms apart": [Atoms("CO", [[0, 0, 0], [9, 0, 0]]), Atoms("H2", [[0, 0, 0], [2.9, 0, 0]])],
}
BASIS = {"species": ["H", "C", "N", "O"], "r_cut": 2.0, "sigma": 0.4, "n_max": 2, "l_max": 1}


def some_mixed(soap, channels=3):
    shape = (len(soap.species), soap.l_max + 1, len(soap.species), soap.n_max, channels)
    return MixedSoap(soap, soap.species, noise(*shape).float()).to(DEVICE)


#: Widths and precisions; the way back without fading is the same code in both precisions.
FADING = [(0.0, torch.float64), (0.8, torch.float64), (0.8, torch.float32)]


@pytest.mark.parametrize(("width", "dtype"), FADING, ids=str)
@pytest.mark.parametrize("name", STRUCTURES)
def test_the_way_there_and_back_is_that_of_autograd(name, width, dtype, by_kernels, monkeypatch):
    """Features, and a gradient by positions, of a SOAP and of one with mixed channels."""
    soap = SOAP(**BASIS, smooth_width=width)
    batch = Batch.from_atoms(STRUCTURES[name], dtype, DEVICE)
    exact = Batch.from_atoms(STRUCTURES[name]).with_positions(batch.positions.double().cpu())
    for descriptor, kind in ((soap, CompiledSoap), (some_mixed(soap), CompiledMixedSoap)):
        with monkeypatch.context() as patch:
            patch.setattr(accelerators, "_kernels", lambda device: None)
            plain = Plain(descriptor.cpu(), exact, looked_at(soap, exact))
            expected = plain.features()
            slope = noise(*expected.shape).to(dtype)
            by_positions, _ = plain.trace_back(slope.double())
        made = kind(descriptor.to(DEVICE), batch, looked_at(soap, batch))
        assert isinstance(made.seen, PairsByKernels)
        assert error(made.features(), expected.detach()) < VALUE_ERROR[dtype]
        gradient, virial = made.trace_back(slope.to(DEVICE))
        assert error(gradient, by_positions) < GRADIENT_ERROR[dtype]
        assert not virial.any()
        assert torch.equal(made.trace_back(slope.to(DEVICE))[0], gradient)


OTHERS = {
    "weighting": {"weighting": {"function": "poly", "r0": 2.0, "c": 1.0, "m": 2}},
    "weights of species": {
        "compression": {"mode": "mu2", "species_weighting": {"H": 1, "C": 2, "N": 1, "O": 3}}
    },
}


def test_pairs_that_no_kernel_serves_are_left_to_plain_torch(by_kernels):
    soap = SOAP(**BASIS, smooth_width=0.5).to(DEVICE)
    batch = Batch.from_atoms([molecule("H2O")], device=DEVICE)
    crystal = Batch.from_atoms(
        [Atoms("CO", [[0, 0, 0], [1, 1, 1]], cell=[4, 4, 4], pbc=True)], device=DEVICE
    )
    every = looked_at(soap, batch)
    assert isinstance(pairs_seen(soap, batch, every), PairsByKernels)
    some = ActiveAtoms(torch.tensor([0], device=DEVICE), every.listed, batch, soap.cutoff)
    for active in (ActiveAtoms(), ActiveAtoms(None, every.pairs), some):
        assert isinstance(pairs_seen(soap, batch, active), PairsByTorch)
    assert isinstance(pairs_seen(soap, crystal, looked_at(soap, crystal)), PairsByTorch)
    for options in OTHERS.values():
        other = SOAP(**BASIS, **options).to(DEVICE)
        assert isinstance(pairs_seen(other, batch, every), PairsByTorch)


def test_centers_of_pairs_are_found_again_when_pairs_change():
    """What the density's backward keeps of first pairs is that of these as they are now."""
    soap = SOAP(**{**BASIS, "species": ["H", "O"]}).to(DEVICE)
    batch = Batch.from_atoms([molecule("H2O")], device=DEVICE)
    shape = list(pairs_seen(soap, batch, ActiveAtoms()).density)
    by_c = noise(3, 4, 4).to(DEVICE)
    shape[2] = first = shape[2].clone()
    for _ in range(2):
        found, _ = KERNELS.expand_density_backward(by_c, None, *shape)
        shape[2] = first.clone()
        assert torch.equal(found, KERNELS.expand_density_backward(by_c, None, *shape)[0])
        first[1] -= 1
        shape[2] = first
