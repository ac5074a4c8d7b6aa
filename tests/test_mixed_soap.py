"""Laws of SOAP with mixed channels: kernels and plain torch, restriction, invariance."""

import copy
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.collections import g2
from scipy.spatial.transform import Rotation
from small_learned import perturbed, soap

from losiko_torch.descriptors.evaluation import Plain
from losiko_torch.descriptors.soap.compiled import CompiledMixedSoap, serves_mixed
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.learned.components import can_be_mixed, mixed_soap, seen_by_networks
from losiko_torch.systems.active import ALL_ATOMS, ActiveAtoms
from losiko_torch.systems.batch import Batch

with_kernels = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
#: Largest error of numbers of order one.
ERROR = {torch.float64: 1e-10, torch.float32: 2e-5}
MOLECULES = [perturbed(g2[name]) for name in ("CH3CONH2", "H2O", "HCN", "N2")]
SPECIES = ("H", "C", "N", "O")
CRYSTALS = [perturbed(bulk("MgO", "rocksalt", a=4.21), 1, 0.1, 0.03), MOLECULES[0]]


def mixed(species=SPECIES, channels=5, seed=0, **changes):
    """Return a SOAP whose channels are mixed at random, each center's element in its own way."""
    source = soap(*species, smooth_width=0.5, **changes)
    shape = (len(source.species), source.l_max + 1, len(source.species), source.n_max, channels)
    generator = torch.Generator().manual_seed(seed)
    return MixedSoap(source, source.species, torch.randn(shape, generator=generator))


CASES = {
    "molecules": (mixed(), MOLECULES),
    "sharp functions": (mixed(channels=2, rbf="polynomial", l_max=4), MOLECULES),
    "crystals": (mixed((*SPECIES, "Mg"), periodic=True), CRYSTALS),
}


def active_atoms(batch):
    return ActiveAtoms(torch.tensor([0, 2, 3, batch.n_atoms - 1]))


def values_and_gradients(made, count):
    """Return features, gradient and virials for a slope that follows from the shape alone."""
    features = made.features()
    generator = torch.Generator().manual_seed(1)
    slope = torch.randn(features.shape, generator=generator, dtype=torch.float64).to(features)
    assert len(features) == count
    return features, *made.trace_back(slope)


@with_kernels
@pytest.mark.parametrize("dtype", ERROR, ids=["float64", "float32"])
@pytest.mark.parametrize("which", ["all", "some"])
@pytest.mark.parametrize("case", CASES)
def test_kernels_are_plain_torch(case, which, dtype):
    descriptor, structures = CASES[case]
    batch = Batch.from_atoms(structures, dtype)
    assert serves_mixed(descriptor, batch.positions)
    active = ALL_ATOMS if which == "all" else active_atoms(batch)
    count = batch.n_atoms if which == "all" else 4
    *found, strain = values_and_gradients(CompiledMixedSoap(descriptor, batch, active), count)
    *wanted, virial = values_and_gradients(Plain(descriptor, batch, active), count)
    # Those of molecules are not wanted, and not always there.
    periodic = batch.pbc.any(1)
    for one, other in zip((*found, strain[periodic]), (*wanted, virial[periodic]), strict=True):
        scale = max(1.0, float(other.abs().max())) if len(other) else 1.0
        torch.testing.assert_close(one, other, rtol=0, atol=ERROR[dtype] * scale)


@with_kernels
def test_rows_of_some_atoms():
    descriptor, structures = CASES["molecules"]
    batch = Batch.from_atoms(structures)
    made = CompiledMixedSoap(descriptor, batch, ALL_ATOMS)
    rows = torch.tensor([1, 4, 6])
    torch.testing.assert_close(made.features(rows), made.features()[rows], rtol=0, atol=1e-13)


@with_kernels
def test_a_second_way_back_is_like_the_first():
    batch = Batch.from_atoms(MOLECULES)
    made = CompiledMixedSoap(mixed(), batch, ALL_ATOMS)
    first = values_and_gradients(made, batch.n_atoms)
    again = values_and_gradients(made, batch.n_atoms)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_unmixing_is_the_transpose_of_mixing():
    descriptor = mixed()
    numbers = torch.tensor([1, 6, 8, 1, 7])
    generator = torch.Generator().manual_seed(0)
    rows = (descriptor.soap.l_max + 1) ** 2
    channels = len(descriptor.species) * descriptor.soap.n_max
    c = torch.randn(5, rows, channels, generator=generator, dtype=torch.float64)
    g = torch.randn(5, rows, descriptor.n_channels, generator=generator, dtype=torch.float64)
    there, back = descriptor.mixed(c, numbers), descriptor.unmixed(g, numbers)
    assert float((there * g).sum()) == pytest.approx(float((c * back).sum()), rel=1e-12)


def test_precisions_do_not_disturb_each_other():
    descriptor, batch = mixed(), Batch.from_atoms(MOLECULES)
    single = Batch.from_atoms(MOLECULES, torch.float32)
    first = Plain(descriptor, batch, ALL_ATOMS).features()
    assert Plain(descriptor, single, ALL_ATOMS).features().dtype == torch.float32
    assert torch.equal(Plain(descriptor, batch, ALL_ATOMS).features(), first)
    if find_spec("numba") is not None:
        for each in (single, batch, single):
            found = CompiledMixedSoap(copy.deepcopy(descriptor), each, ALL_ATOMS).features()
            assert found.dtype == each.positions.dtype


@pytest.mark.parametrize("evaluation", [Plain, pytest.param(CompiledMixedSoap, marks=with_kernels)])
@pytest.mark.parametrize("names", [["H2O"], ["CH4", "C2H4"], ["H2O", "HCOOH"]], ids=str)
def test_a_restricted_one_is_equal_and_smaller(names, evaluation):
    descriptor = mixed()
    structures = [perturbed(g2[name], 3) for name in names]
    batch = Batch.from_atoms(structures)
    part, columns = descriptor.restricted(batch.numbers.unique().tolist())
    assert set(part.species) == set(part.centers) == set(batch.numbers.tolist())
    assert part.mixing.numel() < descriptor.mixing.numel()
    assert columns.tolist() == list(range(descriptor.get_number_of_features()))
    found = values_and_gradients(evaluation(part, batch, ALL_ATOMS), batch.n_atoms)
    wanted = values_and_gradients(evaluation(descriptor, batch, ALL_ATOMS), batch.n_atoms)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_restriction_to_all_elements_is_the_descriptor_itself():
    descriptor = mixed()
    assert descriptor.restricted([1, 6, 7, 8])[0] is descriptor


@pytest.mark.parametrize("species", [("H", "O"), SPECIES, (*SPECIES, "F", "S", "Cl")])
def test_the_number_of_features_does_not_depend_on_elements(species):
    descriptor = mixed(species)
    assert descriptor.get_number_of_features() == 5 * 6 // 2 * 3
    features = descriptor(Batch.from_atoms(g2["H2O"]))
    assert features.shape == (3, 45)


def gram(features):
    return features @ features.T


def test_channels_that_are_not_mixed_make_soap():
    """With one channel for each of SOAP's the entries are those of SOAP, in another order."""
    source = soap(*SPECIES, smooth_width=0.5)
    channels = len(SPECIES) * source.n_max
    one = torch.eye(channels).reshape(len(SPECIES), source.n_max, channels)
    mixing = one.expand(len(SPECIES), source.l_max + 1, -1, -1, -1)
    batch = Batch.from_atoms(MOLECULES)
    found = MixedSoap(source, source.species, mixing)(batch)
    wanted = source(batch)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.sort(1).values, wanted.sort(1).values, rtol=0, atol=1e-12)
    torch.testing.assert_close(gram(found), gram(wanted), rtol=1e-12, atol=1e-12)


def test_turned_and_permuted_structures_are_described_alike():
    descriptor = mixed()
    for atoms in MOLECULES:
        turned = atoms.copy()
        turned.positions = atoms.positions @ Rotation.random(random_state=2).as_matrix() + 3
        order = np.random.default_rng(0).permutation(len(atoms))
        wanted = descriptor(Batch.from_atoms(atoms))
        found = descriptor(Batch.from_atoms(turned[order]))
        torch.testing.assert_close(found, wanted[order], rtol=1e-10, atol=1e-10)


def test_the_channels_chosen_hold_the_density():
    """Few channels keep more of the coefficients' square than as many at random; all keep it."""
    source = seen_by_networks(soap(*SPECIES))
    batches = [Batch.from_atoms(MOLECULES, torch.float32)]
    numbers = batches[0].numbers

    def kept(descriptor):
        coefficients = torch.cat([b.flatten(1, 2) for b in source.coefficients(batches[0])], 2)
        whole = coefficients.transpose(1, 2)
        return float(descriptor.mixed(whole, numbers).square().sum() / whole.square().sum())

    shares = [kept(mixed_soap(source, batches, channels)) for channels in (1, 3, 12)]
    assert shares[0] < shares[1] < shares[2] == pytest.approx(1, abs=1e-5)
    some = mixed_soap(source, batches, 3)
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn(*some.mixing.shape[:2], 12, 3, generator=generator)
    basis = torch.linalg.qr(columns).Q.reshape(some.mixing.shape)
    assert shares[1] > kept(MixedSoap(source, some.centers, basis))


def test_channels_beyond_those_that_there_are_stay_empty():
    source = seen_by_networks(soap("H", "O"))
    batches = [Batch.from_atoms(g2["H2O"], torch.float32)]
    few, many = (mixed_soap(source, batches, channels) for channels in (6, 9))
    assert many.n_channels == 9
    assert not many.mixing[..., 6:].any()
    batch = Batch.from_atoms(g2["H2O"])
    torch.testing.assert_close(gram(many(batch)), gram(few(batch)), rtol=1e-12, atol=1e-12)


def test_only_a_soap_of_atoms_can_be_mixed():
    assert can_be_mixed(soap())
    assert not can_be_mixed(soap(compression={"mode": "mu2"}))
    assert not can_be_mixed(mixed())
    assert not can_be_mixed(torch.nn.Identity())


def test_networks_see_a_small_seen_by_networks():
    sharp, smooth = soap(), soap(smooth_width=0.7)
    seen = seen_by_networks(sharp)
    assert sharp.smooth_width == 0 < seen.smooth_width
    assert {**seen.parameters_dict(), "smooth_width": 0} == sharp.parameters_dict()
    assert seen_by_networks(smooth).parameters_dict() == smooth.parameters_dict()
    large = soap(n_max=9, l_max=7, smooth_width=0.7)
    seen = seen_by_networks(large)
    assert (seen.n_max, seen.l_max) < (large.n_max, large.l_max)
    same = {"n_max": large.n_max, "l_max": large.l_max}
    assert {**seen.parameters_dict(), **same} == large.parameters_dict()
