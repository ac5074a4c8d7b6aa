"""What a step of a relaxation asks a GPU for, counted on the processor."""

import numpy as np
import pytest
import stand_ins
import torch
from ase.build import molecule
from live_bytes import live_bytes
from step_counter import Steps, counted_steps

from losiko_torch import Batch, accelerators, relax
from losiko_torch.accelerators import kernels_for
from losiko_torch.batching.memory import bytes_per_atom
from losiko_torch.database.builtin import default_database
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.settings import make_target
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.relaxation import stages
from losiko_torch.relaxation.batch_loop import advance, begin
from losiko_torch.relaxation.batch_state import Limits
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.finished import Finished
from losiko_torch.systems import neighbors, pieces, sums, verlet_list

NAMES = ["CH3OH", "CH3CONH2", "HCOOH", "CH3CH2NH2", "H2O", "C5H5N"]


def rattled(seed=0):
    structures = [molecule(name) for name in NAMES]
    for k, atoms in enumerate(structures):
        atoms.rattle(0.1, seed=seed + k)
    return structures


def started(structures=None):
    """Return what ``advance`` takes, of structures on learned targets; None: a few molecules."""
    batch = Batch.from_atoms(structures or rattled(), torch.float32)
    objective = Objective(default_database(), make_target("learned")).restricted(batch.numbers)
    everyone = Coordinates.fixed_cell(batch, torch.ones_like(batch.positions))
    optimizer = LBFGS()
    systems = torch.ones(batch.n_systems, dtype=torch.bool)
    now = begin(objective, everyone, systems, optimizer)
    return objective, optimizer, now, Finished.at_start(batch)


def steps(count, rounds=1):
    """Return the counts of each of so many steps in which nobody leaves."""
    objective, optimizer, now, finished = started()
    counts = []
    for _ in range(count):
        with counted_steps() as counted:
            now, left = advance(objective, optimizer, now, Limits(200, 1e-9, rounds), finished)
        assert left == 0
        counts.append(counted)
    return counts


@pytest.fixture
def no_waits(monkeypatch):
    """Go the way of a GPU, on which the host is not to wait."""
    for module in (stages, verlet_list):
        monkeypatch.setattr(module, "avoids_waits", lambda device: True)
    for module in (neighbors, sums):
        monkeypatch.setattr(module, "adds_in_any_order", lambda device: True)
    stand_ins.put_in(monkeypatch)


def totals(each):
    return sum(each.waited.values()), sum(each.launched.values())


def test_a_step_on_a_processor():
    waits, launches = totals(steps(4)[-1])
    assert waits <= 2  # the pairs that are near, and whether anybody has ended
    assert launches <= 525


def test_a_step_does_not_wait_for_a_gpu(no_waits):
    # The first looks at what stays the same: elements, counts, whether anything is periodic.
    first, *others = steps(4, 8)
    assert totals(first)[0] > 0
    for each in others:
        assert each.waited.total() == 0, each.waited
        assert each.launched.total() <= 22, each.launched


def test_the_wrappers_of_kernels_ask_for_nothing_more(no_waits, monkeypatch):
    """Counted are launches of Triton's kernels, which do nothing here, and all beside them."""
    jit = pytest.importorskip("triton.runtime.jit")
    gpu = pytest.importorskip("losiko_kernels.gpu")
    counted = Steps()
    monkeypatch.setattr(accelerators, "_kernels", lambda device: gpu)
    monkeypatch.setattr(jit.JITFunction, "run", lambda kernel, *_, **__: counted.launch(kernel.fn))
    stand_ins.let_go_by(monkeypatch, gpu)
    objective, optimizer, now, finished = started()
    for _ in range(3):
        counted.launched.clear()
        counted.waited.clear()
        with counted:
            now, _ = advance(objective, optimizer, now, Limits(200, 1e-9, 8), finished)
    assert counted.launched["lbfgs_kernel"] == 1
    assert counted.launched.total() <= 22, counted.launched
    assert counted.waited.total() == 0, counted.waited


def test_pairs_and_channels_are_a_kernel_each(no_waits):
    """From the positions to mixed coefficients and back, whatever the elements."""
    expected = {"pair_geometry": 1, "expand_density": 1, "mix": 2}
    expected |= {"expand_density_backward": 1, "gradient_of_atoms": 1}
    for each in steps(2):
        assert expected.items() <= each.launched.items()


def test_a_round_ends_with_one_wait(no_waits):
    waits = [each.waited.total() for each in steps(5, 2)]
    assert waits[1:] == [1, 0, 1, 0]


@pytest.mark.parametrize("room", [40, 10_000])
def test_structures_that_stay_to_the_end_of_a_round_end_alike(no_waits, room):
    options = {"dtype": "float64", "batch_atoms": room, "max_steps": 7}
    structures = [*rattled(), *rattled(9)]
    patient = relax(structures, **options)
    with pytest.MonkeyPatch.context() as patch:
        for module in (stages, verlet_list):
            patch.setattr(module, "avoids_waits", lambda device: False)
        plain = relax(structures, **options)
    assert {each.reason for each in plain} == {"converged", "max_steps"}
    for one, other in zip(patient, plain, strict=True):
        assert (one.n_steps, one.reason, one.doubt) == (other.n_steps, other.reason, other.doubt)
        assert one.loss == pytest.approx(other.loss, rel=1e-9)
        np.testing.assert_allclose(one.atoms.positions, other.atoms.positions, atol=1e-9)


def crowded():
    """Return structures of about fifteen atoms, two molecules beside each other."""
    made = []
    for seed in range(20):
        for one, other in zip(rattled(seed), reversed(rattled(seed + 100)), strict=True):
            other.positions += [3.0, 0.0, 0.0]
            made.append(one + other)
    return made


@pytest.mark.parametrize("share", [1, 4], ids=["a piece", "pieces"])
def test_a_step_takes_little_memory(no_waits, monkeypatch, share):
    structures = crowded()
    n = sum(map(len, structures))
    monkeypatch.setattr(pieces, "ON_PROCESSOR", n // share)
    with live_bytes() as counted:
        objective, optimizer, now, finished = started(structures)
        peaks = [counted.peak]
        for _ in range(3):
            counted.peak = counted.live
            now, _ = advance(objective, optimizer, now, Limits(200, 1e-9, 8), finished)
            peaks.append(counted.peak)
    least = 4 * n * (2 * 60 + 390)  # L-BFGS's history, and coefficients or features
    estimate = bytes_per_atom(objective, torch.float32)
    assert all(least < peak <= estimate * n for peak in peaks)
    assert estimate <= 20_000


def test_features_are_held_for_a_piece_of_the_atoms(no_waits, monkeypatch):
    structures, held = crowded(), []
    n = sum(map(len, structures))
    for share in (1, 4):
        monkeypatch.setattr(pieces, "ON_PROCESSOR", n // share)
        objective, optimizer, now, finished = started(structures)
        with live_bytes() as counted:
            seen, kernels = [], kernels_for(torch.device("cpu"))

            def noting(*given, counted=counted, seen=seen, kernel=kernels.inner_layers):
                seen.append(counted.live)
                kernel(*given)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(kernels, "inner_layers", noting)
                advance(objective, optimizer, now, Limits(200, 1e-9, 8), finished)
        assert len(seen) == share
        held.append(max(seen))
    members, _, width = next(iter(objective.model.networks.values())).w1.shape
    of_atom = 4 * (objective.descriptor.get_number_of_features() + 2 * members * width)
    assert held[0] - held[1] == pytest.approx(0.75 * of_atom * n, rel=0.02)
