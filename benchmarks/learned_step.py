"""Where the time of one pass of learned targets goes, beside the least that the processor allows.

    python benchmarks/learned_step.py [DATABASE] [--molecules 200]

A pass is what each evaluation of a relaxation needs: neighbours, density, mixed channels, power
spectrum, components, networks, and the gradient back to positions. Parts are timed one after the
other on a batch of QM9 molecules with N(0, 0.1 A) noise, the fastest of some runs counts. The least
time is that of the products and sums alone, at the rate of a product of large matrices, or of
reading and writing each array once, whichever is longer (see ``floor.py``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import common
import torch
from floor import HARMONIC, ITEM, LOOKUP, PAIR, Cost, Machine, _fastest

from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.database.builtin import default_database
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.descriptors.evaluation import described
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.learned.model import LearnedModel
from losiko_torch.relaxation.settings import Settings
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.neighbors import find_pairs


def least(model: LearnedModel, batch: Batch) -> dict[str, Cost]:
    """Least cost of each part of a pass, for all atoms of a batch."""
    mixed = model.descriptor
    assert isinstance(mixed, MixedSoap)
    soap, q = mixed.soap, mixed.n_channels
    n, pairs = batch.n_atoms, len(find_pairs(batch, soap.cutoff, True).center)
    rows, channels = (soap.l_max + 1) ** 2, len(soap.species) * soap.n_max
    features = mixed.get_number_of_features()
    own = next(iter(model.networks.values()))
    members, r, width = own.w1.shape
    density = pairs * (PAIR + (soap.l_max + 1) * soap.n_max * LOOKUP)
    density += pairs * rows * (HARMONIC + 2 * soap.n_max)
    mixing = Cost(2 * n * rows * channels * q, ITEM * n * rows * (channels + q))
    spectrum = Cost(n * rows * q * (q + 1), ITEM * n * (rows * q + features))
    whitening = Cost(2 * n * features * r, ITEM * n * (features + r))
    layers = members * (2 * r * width + 2 * width * width)
    back = Cost(2 * density, ITEM * n * rows * channels) + mixing + spectrum * 2
    return {
        "neighbours": Cost(pairs * PAIR, pairs * 16),
        "density": Cost(density, pairs * 16 + ITEM * n * rows * channels),
        "mixing": mixing,
        "power spectrum": spectrum,
        "components": whitening,
        "networks and their slopes": Cost(2 * n * layers, 2 * ITEM * n * members * (r + 2 * width)),
        "slope by features": whitening,
        "back to positions": back,
    }


def parts(model: LearnedModel, batch: Batch) -> dict[str, Callable[[], object]]:
    """Return the work of each part of a pass; density and mixing are one call, neighbours too."""
    mixed = model.descriptor
    surroundings = described(mixed, batch)
    features = surroundings.features()
    rows = {z: (batch.numbers == z).nonzero().squeeze(1) for z in batch.numbers.unique().tolist()}
    own = {z: model.networks[z].to(features) for z in rows}
    some = {z: features[at] for z, at in rows.items()}
    y = {z: own[z].components(some[z]) for z in rows}
    slopes = {z: own[z].values_and_slopes(y[z])[1].mean(0) for z in rows}
    slope = torch.empty_like(features)
    for z, at in rows.items():
        slope[at] = slopes[z] @ own[z].whitening.T
    plain = described(mixed.soap, batch).coefficients
    return {
        "neighbours": lambda: find_pairs(batch, mixed.soap.cutoff, True),
        "neighbours and density": lambda: described(mixed.soap, batch),
        "mixing": lambda: mixed.mixed(plain, batch.numbers),
        "power spectrum": lambda: surroundings.features(),
        "components": lambda: [own[z].components(some[z]) for z in rows],
        "networks and their slopes": lambda: [own[z].values_and_slopes(y[z]) for z in rows],
        "slope by features": lambda: [slopes[z] @ own[z].whitening.T for z in rows],
        "back to positions": lambda: surroundings.trace_back(slope),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("database", nargs="?", help="file; the built-in one without")
    parser.add_argument("--molecules", type=int, default=200)
    arguments = parser.parse_args()
    common.one_core()
    name = arguments.database
    database = default_database() if name is None else EnvironmentDatabase.load(name)
    qm9 = common.QM9()
    starts = common.with_noise(qm9.reporting(arguments.molecules), 0.1)
    evaluator = Evaluator.make(database, Settings())
    items = [evaluator.prepare(atoms) for atoms in starts]
    batch = evaluator.restricted(items).batch(items)
    model = database.learned
    assert model is not None
    model = model.restricted(batch.numbers.unique().tolist())
    machine = Machine.measure()
    floors = least(model, batch)
    seconds = {part: _fastest(work, False) for part, work in parts(model, batch).items()}
    seconds["density"] = seconds.pop("neighbours and density") - seconds["neighbours"]
    whole = _fastest(lambda: model.pull(batch), False)
    print(f"{batch.n_atoms} atoms in {batch.n_systems} molecules; {machine}")
    print("| part | ms | share | least ms | times the least |\n" + "|---" * 5 + "|")
    for part, cost in floors.items():
        took, bound = seconds[part], cost.seconds(machine)
        print(
            f"| {part} | {1e3 * took:.1f} | {took / whole:.0%} | {1e3 * bound:.1f} "
            f"| {took / bound:.1f} |"
        )
    bound = sum(cost.seconds(machine) for cost in floors.values())
    print(f"| whole pass | {1e3 * whole:.1f} | | {1e3 * bound:.1f} | {whole / bound:.1f} |")


if __name__ == "__main__":
    main()
