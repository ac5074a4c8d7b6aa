"""Where the time of one pass of learned targets goes, beside the least that the processor allows.

    python benchmarks/learned_step.py [DATABASE] [--molecules 200]

A pass is what each evaluation of a relaxation needs: neighbours, density, mixed channels, power
spectrum, layers of networks and back, and the gradient by positions. Parts are timed one after the
other on a batch of QM9 molecules with N(0, 0.1 A) noise, the fastest of some runs counts. The least
time is that of the products and sums alone, at the rate of a product of large matrices, or of
reading and writing each array once, whichever is longer (see ``floor_learned.py``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import common
import torch
from floor import BACKWARD, DENSITY, OPTIMIZER, PAIRS, SPECTRUM, Machine, _fastest
from floor_learned import FIRST, INNER, MIXING, SLOPES, of_atom

from losiko_torch.accelerators import expect_atoms
from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.database.builtin import default_database
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.descriptors.evaluation import described
from losiko_torch.descriptors.soap.mixed import MixedSoap
from losiko_torch.learned.model import LearnedModel
from losiko_torch.learned.together import Together
from losiko_torch.relaxation.settings import Settings
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.neighbors import find_pairs
from losiko_torch.systems.pieces import all_of

#: The density is worked out with the list of pairs that it needs.
ALL_OF = f"{PAIRS} and {DENSITY}"


def parts(model: LearnedModel, batch: Batch) -> dict[str, Callable[[], object]]:
    """Return the work of each part of a pass."""
    mixed = model.descriptor
    assert isinstance(mixed, MixedSoap)
    surroundings = described(mixed, batch)
    features, piece = surroundings.features(), all_of(batch.numbers)
    own, folded = features[piece.rows], Together.of(model.networks, features).of_element
    z1 = own.new_empty(len(own), len(folded[piece.elements[0][0]].shift))
    values, slopes = own.new_empty(model.members, len(own)), torch.empty_like(own)[None]
    each = [(folded[z], some) for z, some in piece.elements]
    plain = described(mixed.soap, batch).coefficients
    return {
        PAIRS: lambda: find_pairs(batch, mixed.soap.cutoff, True),
        ALL_OF: lambda: described(mixed.soap, batch),
        MIXING: lambda: mixed.mixed(plain, batch.numbers),
        SPECTRUM: lambda: surroundings.features(),
        FIRST: lambda: [layers.enter(own[some], z1[some]) for layers, some in each],
        INNER: lambda: [layers.inner(z1[some], values[:, some]) for layers, some in each],
        SLOPES: lambda: [layers.leave(z1[some], slopes[:, some]) for layers, some in each],
        BACKWARD: lambda: surroundings.trace_back(features),
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
    expect_atoms(evaluator.device, batch.n_atoms)
    model = database.learned
    assert model is not None
    model = model.restricted(batch.numbers.unique().tolist())
    machine = Machine.measure()
    floors = {part: cost * batch.n_atoms for part, cost in of_atom(model, starts).items()}
    del floors[OPTIMIZER]
    seconds = {part: _fastest(work, False) for part, work in parts(model, batch).items()}
    seconds[DENSITY] = seconds.pop(ALL_OF) - seconds[PAIRS]
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
