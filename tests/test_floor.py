"""The counts of ``benchmarks/floor.py`` and ``floor_learned.py`` are those of what is done."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule
from torch.utils.flop_counter import FlopCounterMode

from losiko_torch import SOAP, Batch, EnvironmentDatabase
from losiko_torch.descriptors.evaluation import described
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.learned.model import LearnedModel
from losiko_torch.learned.networks import Networks
from losiko_torch.learned.together import Together
from losiko_torch.systems.pieces import all_of

BENCHMARKS = str(Path(__file__).parent.parent / "benchmarks")
sys.path.insert(0, BENCHMARKS)
import floor  # noqa: E402
import floor_learned  # noqa: E402
from floor import Cost  # noqa: E402

sys.path.remove(BENCHMARKS)

SMALL = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=2, l_max=1, sigma=0.3)
CHANNELS, MEMBERS = 3, 2


def model_of(components: int, width: int) -> LearnedModel:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.rand((3, 2, 3, 2, CHANNELS), generator=generator)
    mixed = MixedSoap(SMALL, (1, 6, 8), mixing)
    whitening = torch.rand((mixed.get_number_of_features(), components), generator=generator)
    shift = torch.zeros(components)
    networks = {
        z: Networks.random(whitening, shift, MEMBERS, width, generator) for z in mixed.centers
    }
    return LearnedModel(mixed, networks)


def counted(work) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


# With few components whitening is a product of its own, with many it is folded.
@pytest.mark.parametrize("components", [2, 12])
def test_layers_take_the_products_that_torch_counts(components):
    model, numbers = model_of(components, 16), torch.tensor([8, 1, 1, 6, 1])
    features = torch.rand(len(numbers), model.descriptor.get_number_of_features())
    networks = Together.of(model.networks, features)
    assert (networks.of_element[1].whitening is None) == (components == 12)
    room = torch.empty(MEMBERS, len(numbers))
    found = counted(partial(networks.values_and_slopes, features, all_of(numbers), room))
    costs = floor_learned.of_layers(model.networks[1])
    assert len(numbers) * sum(cost.flops for cost in costs.values()) == found


def test_mixing_takes_the_products_that_torch_counts():
    model, water = model_of(12, 16), molecule("H2O")
    numbers = torch.as_tensor(water.numbers)
    mixed = model.restricted([1, 8]).descriptor
    coefficients = torch.rand(3, 4, 2 * 2)
    there = counted(lambda: mixed.mixed(coefficients, numbers))
    assert len(water) * floor_learned.of_atom(model, [water])[floor_learned.MIXING].flops == there


def test_learned_targets_of_water_by_hand():
    """Two of three elements: 4 channels, 4 harmonics, 3 mixed channels, 12 features, K h = 32."""
    water = molecule("H2O")
    found = floor_learned.of_atom(model_of(12, 16), [water])
    expansion = 3 * 4 * 20 + 3 * 4 * (8 + 2 * 2)
    assert found == {
        "neighbour lists": Cost(3 * 8, 3 * 16),
        "density": Cost(expansion, 3 * 16 + 4 * 16),
        "mixing": Cost(2 * 4 * 4 * 3, 4 * (16 + 12)),
        "power spectrum": Cost(3 * 4 * 4 + 3 * 12, 4 * (12 + 12)),
        "first layers": Cost(pytest.approx(2 * 12 * 32), pytest.approx(4 * (12 + 32))),
        "inner layers": Cost(
            pytest.approx(4 * 2 * 16 * 16 + 2 * 2 * 16), pytest.approx(4 * (2 * 32 + 2))
        ),
        "slope by features": Cost(pytest.approx(2 * 12 * 32), pytest.approx(4 * (12 + 32))),
        "backward": Cost(
            3 * 12 + 2 * 3 * 3 * 4 + 2 * 4 * 4 * 3 + 2 * expansion, 4 * (2 * 12 + 2 * 12)
        ),
        "optimizer": Cost(8 * 3 * 20, 4 * 3 * 20 * 4),
    }
    assert tuple(found) == floor_learned.LEARNED_PARTS


def test_groups_of_elements_add_up_by_their_atoms():
    model, water, methane = model_of(12, 16), molecule("H2O"), molecule("CH4")
    whole = floor_learned.floor_learned(model, [water, methane, water], 1100)
    apart = [floor_learned.of_atom(model, [each]) for each in (water, methane)]
    for part, cost in whole.items():
        expected = apart[0][part] * 600 + apart[1][part] * 500
        assert (cost.flops, cost.bytes) == pytest.approx((expected.flops, expected.bytes))


def test_projection_and_spectrum_of_references_by_hand():
    """Two of three elements: 4 channels, 4 harmonics, 20 features."""
    water = molecule("H2O")
    database = EnvironmentDatabase.build([water, molecule("CH3OH")], SMALL)
    features = described(SMALL.restricted([1, 8])[0], Batch.from_atoms([water])).features()
    assert features.shape[1] == 20
    found = floor.floor(database, [water], 1, 300, 30)
    assert found["power spectrum"] == Cost(300 * (4 * 5 * 4 + 60), 300 * 4 * (16 + 20))
    r = {z: database.references_of(z).vectors.shape[1] for z in (1, 8)}
    flops = 4 * 20 * (200 * r[1] + 100 * r[8])
    assert found["projection on components"].flops == pytest.approx(flops)
    assert set(found) == set(floor.PARTS)


def test_the_larger_of_two_times_counts():
    machine = floor.Machine(flops=10, bytes=2)
    assert Cost(20, 2).seconds(machine) == 2
    assert (Cost(20, 2) + Cost(0, 8)).seconds(machine) == 5
    assert np.isclose((Cost(20, 2) * 0.5).seconds(machine), 1)
