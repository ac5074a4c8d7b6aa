"""What a step of a relaxation asks a GPU for, counted on the processor."""

import pytest
import torch
from ase.build import molecule
from step_counter import counted_steps

from losiko_torch import Batch
from losiko_torch.database.builtin import default_database
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.settings import make_target
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.relaxation.batch_loop import Limits, advance, begin
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.finished import Finished

NAMES = ["CH3OH", "CH3CONH2", "HCOOH", "CH3CH2NH2", "H2O", "C5H5N"]


def rattled(seed=0):
    structures = [molecule(name) for name in NAMES]
    for k, atoms in enumerate(structures):
        atoms.rattle(0.1, seed=seed + k)
    return structures


def started():
    """Return what ``advance`` takes, of a few molecules on learned targets."""
    batch = Batch.from_atoms(rattled(), torch.float32)
    objective = Objective(default_database(), make_target("learned")).restricted(batch.numbers)
    everyone = Coordinates.fixed_cell(batch, torch.ones_like(batch.positions))
    optimizer = LBFGS()
    systems = torch.ones(batch.n_systems, dtype=torch.bool)
    now = begin(objective, everyone, systems, optimizer)
    return objective, optimizer, now, Finished.at_start(batch)


def steps(count):
    """Return the counts of each of so many steps in which nobody leaves."""
    objective, optimizer, now, finished = started()
    counts = []
    for _ in range(count):
        with counted_steps() as counted:
            now, left = advance(objective, optimizer, now, Limits(200, 1e-9), finished)
        assert left == 0
        counts.append(counted)
    return counts


def test_a_step():
    for each in steps(5):
        print(sum(each.waited.values()), dict(each.waited))
        print(sum(each.launched.values()), each.launched.most_common(60))
    assert 0
