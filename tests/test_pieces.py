"""Evaluation of learned targets some atoms at a time: equal to that of all at once."""

from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from losiko_kernels import TILE
from small_learned import crystals, molecule, of_crystals, of_molecules, of_shells, perturbed

from losiko_torch import StructureError
from losiko_torch.descriptors.evaluation import Plain, described
from losiko_torch.descriptors.soap.compiled import CompiledMixedSoap
from losiko_torch.learned import together
from losiko_torch.learned.together import Together
from losiko_torch.systems import pieces
from losiko_torch.systems.active import ALL_ATOMS
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.pieces import pieces_of

NUMBERS = {
    "none": [],
    "one": [8],
    "alike": [6] * 7,
    "mixed": [1, 8, 1, 6, 1, 1, 8, 1, 6, 1, 7],
    "many": [1] * 130 + [6, 8] * 64 + [7],
}


@pytest.mark.parametrize("most", [1, 3, 100, 1000])
@pytest.mark.parametrize("name", NUMBERS)
def test_pieces_hold_every_atom_once(name, most):
    numbers = torch.tensor(NUMBERS[name], dtype=torch.long)
    found = pieces_of(numbers, most)
    rows = torch.cat([piece.rows for piece in found])
    assert sorted(rows.tolist()) == list(range(len(numbers)))
    assert numbers[rows].tolist() == sorted(numbers.tolist())
    sizes = [len(piece.rows) for piece in found]
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    for piece in found:
        own = numbers[piece.rows]
        covered = [(z, k) for z, some in piece.elements for k in range(some.start, some.stop)]
        assert covered == list(zip(own.tolist(), range(len(own)), strict=True))
        tiled = [(z, k) for z, first, end in piece.tiles.tolist() for k in range(first, end)]
        assert tiled == covered
        assert all(0 < end - first <= TILE for _, first, end in piece.tiles.tolist())
    assert pieces_of(numbers, most) is found


CASES = {
    "molecules": (of_molecules, lambda: [molecule(name) for name in ("CH3CH2OH", "CO2", "N2H4")]),
    "one element": (of_molecules, lambda: [molecule("N2", 1)]),
    "crystals": (
        of_crystals,
        lambda: [perturbed(crystals()[k], 1, 0.05, 0.02) for k in (0, 3, 6)],
    ),
    "module": (of_shells, lambda: [molecule("CH3CH2OH"), molecule("H2O")]),
}


def found(case, every, weighted, evaluation=described):
    """Return all that a model says of a batch."""
    made, structures = CASES[case][0](), CASES[case][1]()
    batch = Batch.from_atoms(structures)
    model = made.learned.restricted(batch.numbers.unique().tolist())
    factors = 0.5 + torch.arange(batch.n_atoms).double() % 3 if weighted else None
    surroundings = evaluation(model.descriptor, batch)
    looked = model.traced_back(surroundings, batch.numbers, factors, every)
    gradients, virials = zip(*looked.back, strict=True)
    assert len(gradients) == (model.members if every else 1)
    # Virials of molecules are not wanted, and not always there.
    periodic = batch.pbc.any(1)[:, None, None]
    return (
        looked.values,
        model.values(batch),
        torch.stack(gradients),
        torch.stack(virials) * periodic,
    )


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("every", [False, True], ids=["mean", "members"])
@pytest.mark.parametrize("case", CASES)
def test_pieces_are_the_whole(case, every, weighted, monkeypatch):
    values, alone, gradients, virials = found(case, every, weighted)
    torch.testing.assert_close(alone, values.mean(0), rtol=0, atol=1e-12)
    for most in (1, 4):
        monkeypatch.setattr(pieces, "ON_PROCESSOR", most)
        for one, other in zip(
            found(case, every, weighted), (values, alone, gradients, virials), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    if every:
        mean = found(case, False, weighted)
        torch.testing.assert_close(gradients.mean(0), mean[2][0], rtol=0, atol=1e-12)
        torch.testing.assert_close(virials.mean(0), mean[3][0], rtol=0, atol=1e-12)


@pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
@pytest.mark.parametrize("case", ["molecules", "crystals"])
def test_pieces_by_kernels_are_those_of_plain_torch(case, monkeypatch):
    monkeypatch.setattr(pieces, "ON_PROCESSOR", 4)
    ours, plain = (
        found(case, True, True, partial(each, active=ALL_ATOMS))
        for each in (CompiledMixedSoap, Plain)
    )
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_features_of_a_module_stay_what_they_are():
    """Slopes are written over features, which must be copies."""
    batch = Batch.from_atoms([molecule("CH3CH2OH"), molecule("H2O")])
    model = of_shells().learned
    surroundings = described(model.descriptor, batch)
    before = surroundings.features().clone()
    first = model.traced_back(surroundings, batch.numbers)
    assert torch.equal(surroundings.features(), before)
    again = model.traced_back(surroundings, batch.numbers)
    assert torch.equal(first.values, again.values)
    assert torch.equal(first.back[0][0], again.back[0][0])


def test_an_element_without_networks_is_told():
    batch = Batch.from_atoms([molecule("H2O"), molecule("SO2")])
    with pytest.raises(StructureError, match="the learned targets know no S"):
        of_molecules().learned.look(batch)


# The kernel of inner layers, which has tests of its own (``kernel_checks``).


@pytest.mark.parametrize("every", [False, True], ids=["mean", "members"])
def test_what_the_kernel_is_given(every, monkeypatch):
    """The kernel takes all elements of a piece in one call; numbers are those of plain torch."""
    batch = Batch.from_atoms([molecule(name) for name in ("CH3CH2OH", "CO2", "N2H4")])
    model, calls = of_molecules().learned, []

    def kernel(z1, between, values, rows, tiles, place, w2, b2, w3, minus):
        calls.append(len(tiles))
        assert between.shape == z1.shape
        for number, first, end in tiles.tolist():
            z, own = z1[first:end].unflatten(1, (len(values), -1)), int(place[number])
            z = z.detach().requires_grad_()
            hidden = torch.einsum("nkh,khj->nkj", silu(z), w2[own]) + b2[own]
            f = (silu(hidden) * w3[own]).sum(2) + minus[own]
            (slope,) = torch.autograd.grad(f.sum(), z)
            values[:, rows[first:end]] = f.detach().T
            z1[first:end] = slope.flatten(1)

    silu = torch.nn.functional.silu
    plain = model.look(batch, every)
    assert not calls
    monkeypatch.setattr(together, "gpu_kernel", lambda device, name: torch.enable_grad()(kernel))
    by_kernel = model.look(batch, every)
    assert calls == [4]
    torch.testing.assert_close(by_kernel.values, plain.values, rtol=0, atol=1e-12)
    torch.testing.assert_close(by_kernel.back, plain.back, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.values(batch), plain.values.mean(0), rtol=0, atol=1e-12)


def test_widths_that_the_kernel_does_not_take():
    networks = of_molecules().learned.networks
    like = torch.empty(0)
    assert Together.of(networks, like).inner is not None
    narrow = {z: cut(own, 12) for z, own in networks.items()}
    assert Together.of(narrow, like).inner is None
    assert Together.of({**networks, 1: cut(networks[1], 12)}, like).inner is None


def cut(own, width):
    """Return networks of fewer hidden numbers."""
    return replace(
        own,
        w1=own.w1[:, :, :width],
        b1=own.b1[:, :, :width],
        w2=own.w2[:, :width, :width],
        b2=own.b2[:, :, :width],
        w3=own.w3[:, :width],
    )
