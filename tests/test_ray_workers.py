"""Several workers: the results are those of one process, also where a worker is lost."""

import os
import pickle
import signal
import sys
import threading
from dataclasses import fields

import numpy as np
import pytest
import small_learned
from small_database import NAMES, database, rattled

from losiko_torch import relax, relax_iter
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.errors import InputError
from losiko_torch.systems.selection import within

ray = pytest.importorskip("ray")

OPTIONS = {"targets": "nearest", "max_steps": 10, "batch_atoms": 10}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Ray with two processors, whatever this machine has."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def structures():
    some = [rattled(NAMES[k % 20], k) for k in range(40)]
    some[5].positions[0] = np.nan
    return some


def check_same(results, expected):
    assert len(results) == len(expected)
    for one, other in zip(results, expected, strict=True):
        assert one.reason == other.reason
        assert one.number == other.number
        assert (one.doubt, one.terms) == (other.doubt, other.terms)
        np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)
        np.testing.assert_array_equal(one.distances, other.distances)


@pytest.fixture(scope="module")
def expected():
    return relax(structures(), database(), **OPTIONS)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_give_the_results_of_one_process(workers, expected):
    told = []
    results = relax(structures(), database(), **OPTIONS, workers=workers, progress=told.append)
    check_same(results, expected)
    assert sum(told) == len(expected)
    assert not ray.util.list_named_actors()


def test_workers_follow_learned_targets_too():
    learned = small_learned.of_molecules()
    some = [small_learned.molecule(name, k) for k, name in enumerate(small_learned.NAMES)]
    options = {"max_steps": 10, "batch_atoms": 20}
    expected = relax(some, learned, **options)
    results = relax(some, learned, **options, workers=2)
    check_same(results, expected)
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(one.expected_error, other.expected_error)
        np.testing.assert_array_equal(one.matches.atom, other.matches.atom)


def test_results_come_as_they_are_made(expected):
    results = list(relax_iter(structures(), database(), False, **OPTIONS, workers=2))
    check_same(sorted(results, key=lambda result: result.number), expected)


def lose_worker(folder, limit):
    """Select all atoms, and kill the own process in the first ``limit`` calls."""

    def select(atoms):
        if len(atoms) == 12:
            for k in range(limit):
                try:
                    os.close(os.open(folder / f"lost{k}", os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    continue
                os.kill(os.getpid(), signal.SIGKILL)
        return np.ones(len(atoms), dtype=bool)

    return select


def test_a_lost_worker_s_shards_are_done_again(tmp_path, expected):
    some = structures()
    assert any(len(atoms) == 12 for atoms in some)
    results = relax(some, database(), **OPTIONS, movable=lose_worker(tmp_path, 1), workers=2)
    assert (tmp_path / "lost0").exists()
    check_same(results, expected)


def test_what_kills_every_worker_fails_alone(tmp_path, expected):
    deadly = lose_worker(tmp_path, 100)
    results = relax(structures(), database(), **OPTIONS, movable=deadly, workers=2)
    assert [result.number for result in results] == list(range(40))
    lost = [result for result in results if "was lost 4 times" in result.reason]
    assert lost
    assert all(result.failed and np.isnan(result.loss) for result in lost)
    fine = [k for k, result in enumerate(results) if result not in lost]
    assert len(fine) > 10
    check_same([results[k] for k in fine], [expected[k] for k in fine])


def test_selections_travel(expected):
    select = within(1.5, of="O")
    some = [atoms for atoms in structures() if "O" in atoms.symbols]
    check_same(
        relax(some, database(), **OPTIONS, movable=select, workers=2),
        relax(some, database(), **OPTIONS, movable=select),
    )


class Wrong:
    """Term of no number a structure."""

    name = "wrong"

    def __call__(self, batch):
        return batch.positions.sum()

    def identity(self):
        return {"name": self.name}


@pytest.fixture
def known():
    """Make the terms of this file known to workers, which do not import it."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_bad_input_is_told_as_in_one_process(known):
    for workers in (None, 1):
        with pytest.raises(InputError, match="term 'wrong' gives a single number") as told:
            relax(structures(), database(), **OPTIONS, terms=[Wrong()], workers=workers)
        assert "\n" not in str(told.value)


def test_workers_that_do_not_know_a_term_are_said():
    with pytest.raises(InputError, match=r"workers cannot start: .*test_ray_workers"):
        relax(structures(), database(), **OPTIONS, terms=[Wrong()], workers=1)


def test_what_cannot_travel_is_said():
    term = Wrong()
    term.lock = threading.Lock()
    with pytest.raises(InputError, match="cannot be sent to workers"):
        relax(structures(), database(), **OPTIONS, terms=[term], workers=1)


def test_what_is_not_there_is_said():
    with pytest.raises(InputError, match="workers must be"):
        relax(structures(), database(), workers=0)


def test_the_database_is_read_only_shared(expected):
    # Workers share one copy of the database: it is read-only, and nothing writes to it.
    from losiko_torch.relaxation.ray_workers import _packed, _unpacked

    packed = _packed(database())
    arrived = pickle.loads(pickle.dumps(_unpacked(packed)))
    apart = {"descriptor", "environments", "geometries"}
    for name in {each.name for each in fields(DatabaseRecord)} - apart:
        assert getattr(arrived, name) == getattr(database(), name) is not None, name
    for part in packed["environments"].values():
        for array in part.values():
            array.flags.writeable = False
    check_same(relax(structures(), _unpacked(packed), **OPTIONS), expected)
