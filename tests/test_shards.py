"""Shards: how large they are where, read ahead, and cut in a resumed run as they were."""

import pickle
import threading

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import given
from hypothesis import strategies as st
from small_archive import write_archive
from small_database import database, rattled

from losiko_torch import Stage
from losiko_torch.batching.shards import shards
from losiko_torch.io.stream import Stream, streamed
from losiko_torch.relaxation import relaxer as module
from losiko_torch.relaxation.execute import Workers, execute
from losiko_torch.relaxation.queues import WINDOW
from losiko_torch.relaxation.ray_workers import _portable
from losiko_torch.relaxation.relaxer import SHARD_ATOMS, Relaxer
from losiko_torch.relaxation.settings import Settings
from losiko_torch.runs.resume import folder_of, go_on
from losiko_torch.systems.columns import Molecules

NAMES = ("CH3OH", "HCOOH", "H2O", "CH3CHO")


def archive(path, count=12):
    """Write an archive of small molecules, one of which has two atoms on one spot."""
    given = [rattled(NAMES[k % 4], k) for k in range(count)]
    given[4].positions[1] = given[4].positions[0]
    return str(write_archive(path, given))


def made(**options):
    return Relaxer.make(None, database(), Settings(targets="nearest", max_steps=3, **options))


@pytest.mark.parametrize(
    ("gpu", "options", "expected"),
    [
        (False, {"targets": "learned", "batch_atoms": 100}, WINDOW * 100),
        (True, {"targets": "learned", "batch_atoms": 100}, SHARD_ATOMS),
        # A batch that is asked for is filled.
        (True, {"targets": "learned", "batch_atoms": 10**6}, 10**6),
        # Where references are searched, few structures take many steps.
        (True, {"targets": "nearest", "batch_atoms": 100}, WINDOW * 100),
        (
            True,
            {"schedule": [Stage("nearest"), Stage("learned")], "batch_atoms": 100},
            WINDOW * 100,
        ),
    ],
)
def test_sizes(monkeypatch, gpu, options, expected):
    monkeypatch.setattr(module, "avoids_waits", lambda device: gpu)
    assert Relaxer.make(None, None, Settings(**options)).shard_atoms == expected


def test_the_next_shard_is_read_while_one_is_relaxed():
    reached = threading.Event()

    def blocks():
        yield [molecule("H2O")]
        yield [molecule("CH4")]
        reached.set()
        yield [molecule("NH3")]

    class Waiting(Relaxer):
        def relax(self, shard, progress):
            assert reached.wait(60)
            return super().relax(shard, progress)

    here = made(batch_atoms=1)
    here = Waiting(**vars(here) | {"shard_atoms": 1})
    numbers = [shard.number for shard in execute(here, Stream(blocks()))]
    assert numbers == [0, 1, 2]


def test_molecules_of_an_archive_are_looked_at_ahead(tmp_path, monkeypatch):
    looked = []
    path, here = archive(tmp_path / "in.npz"), made(batch_atoms=4)
    expected = list(execute(here, streamed([path])))
    assert len(expected) > 1
    monkeypatch.setattr(module, "cleared", looked.append)
    found = list(execute(here, streamed([path])))
    assert looked == []
    for one, other in zip(found, expected, strict=True):
        for mine, theirs in zip(one.results, other.results, strict=True):
            assert mine.reason == theirs.reason
            np.testing.assert_array_equal(mine.atoms.positions, theirs.atoms.positions)
    reasons = [each.reason for shard in found for each in shard.results]
    assert [k for k, reason in enumerate(reasons) if reason.startswith("failed")] == [4]


def test_workers_get_arrays_whole(tmp_path):
    (shard,) = made(batch_atoms=1000).shards(streamed([archive(tmp_path / "in.npz")]))
    sent = pickle.loads(pickle.dumps(_portable(shard)))
    assert isinstance(sent.structures, Molecules)
    assert list(sent.structures) == list(shard.structures)


@given(st.lists(st.integers(1, 5), min_size=1), st.integers(1, 9))
def test_a_shard_knows_the_largest_up_to_it(sizes, most):
    atoms = [Atoms("H" * size, np.eye(size, 3)) for size in sizes]
    made = list(shards(atoms, most))
    held = [sum(map(len, shard.structures)) for shard in made]
    assert [shard.largest for shard in made] == np.maximum.accumulate(held).tolist()


class Stop(Exception):
    """End of a run before its time."""


def test_a_resumed_run_has_the_shards_that_it_began_with(tmp_path, monkeypatch):
    sources = [archive(tmp_path / "in.npz")]

    def run(name, most):
        progress = []

        def count(number):
            progress.append(number)
            # Once those that were done before are counted, after two shards.
            if len(progress) > most + 1:
                raise Stop

        folder = folder_of(tmp_path / name, [], sources, None, {"losiko_torch": "any"})
        relaxers = lambda size: made(batch_atoms=size or 4)  # noqa: E731
        return go_on(folder, lambda: streamed(sources), relaxers, Workers(), count)

    expected = []
    monkeypatch.setattr(module, "expect_atoms", lambda device, count: expected.append(count))
    whole = run("whole", 10**6)
    of_whole = expected[:]
    with pytest.raises(Stop):
        run("stopped", 8)
    folder = folder_of(tmp_path / "stopped", [], sources, None, {"losiko_torch": "any"})
    assert folder.done()
    monkeypatch.setattr(module, "WINDOW", 1)
    expected.clear()
    ended = run("stopped", 10**6)
    assert ended.structures_file.read_bytes() == whole.structures_file.read_bytes()
    assert ended.table().equals(whole.table())
    assert ended.record["shard_atoms"] == WINDOW * 4
    # Kernels that the first shards were worth serve the others in both.
    assert 0 < len(expected) < len(of_whole)
    assert expected == of_whole[-len(expected) :]
