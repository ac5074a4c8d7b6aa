"""A batch too large for memory is halved; a structure that does not even fit alone fails alone."""

import warnings
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_database import database, rattled

from losiko_torch import Stage, relax, score
from losiko_torch.batching.in_flight import Capacity, InFlight, flow
from losiko_torch.loss.judge import judge
from losiko_torch.loss.objective import Objective
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.relaxation.settings import Settings

NAMES = ["CH3OH", "HCOOH", "H2CO", "CH3CHO", "CH3CH2OH", "HCOOCH3", "CH3OCH3", "CH3COOH"]
#: Few steps: memory runs out in the first.
SHORT = {"dtype": "float64", "max_steps": 12, "fmax": 0.1}
ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
]


def molecules():
    return [rattled(name, seed) for seed, name in enumerate(NAMES)]


@pytest.fixture
def scarce(monkeypatch):
    """Function that limits the atoms of an evaluation and returns the numbers of atoms tried."""
    tried = []
    evaluate = Objective.evaluate

    def make(most, error=ERRORS[0]):
        def bounded(self, batch, *arguments):
            tried.append(batch.n_atoms)
            if batch.n_atoms > most:
                raise error
            return evaluate(self, batch, *arguments)

        monkeypatch.setattr(Objective, "evaluate", bounded)
        return tried

    return make


def assert_same(results, others, tolerance=1e-6):
    for one, other in zip(results, others, strict=True):
        assert (one.reason, one.n_steps) == (other.reason, other.n_steps)
        assert np.abs(one.atoms.positions - other.atoms.positions).max() <= tolerance
        assert one.loss == pytest.approx(other.loss, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("error", ERRORS, ids=["python", "cuda", "linux", "windows"])
def test_the_batch_is_halved_until_it_fits(error, scarce):
    wanted = relax(molecules(), database(), batch_atoms=11, **SHORT)
    scarce(15, error)
    with pytest.warns(UserWarning, match="out of memory") as told:
        results = relax(molecules(), database(), batch_atoms=57, **SHORT)
    assert [str(warning.message) for warning in told] == [
        "out of memory with 56 atoms in a batch: going on with 28",
        "out of memory with 22 atoms in a batch: going on with 11",
    ]
    assert_same(results, wanted)


def test_what_was_found_is_reported_and_kept(scarce):
    tried = scarce(20)
    relaxer = Relaxer.make(molecules(), database(), Settings(batch_atoms=40, **SHORT))
    (shard,) = relaxer.shards(molecules())
    told = []
    with pytest.warns(UserWarning, match="going on with"):
        relaxed = relaxer.relax(shard, told.append)
    assert relaxed.batch_atoms < 20
    assert sum(told) == len(NAMES)
    tried.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smaller = replace(relaxer, batch_atoms=relaxed.batch_atoms)
        again = smaller.relax(shard, told.append)
    assert max(tried) <= relaxed.batch_atoms
    assert_same(relaxed.results, again.results)


def test_groups_that_follow_begin_with_what_was_found(scarce):
    tried = scarce(12)
    with pytest.warns(UserWarning, match="out of memory") as told:
        relax(molecules() * 6, database(), batch_atoms=20, max_steps=2)
    assert len(told) == 1
    assert sum(count > 12 for count in tried) == 1


def test_who_does_not_fit_even_alone_fails_alone(scarce):
    structures = [*molecules()[:4], rattled("C6H6"), rattled("isobutane"), *molecules()[4:7]]
    wanted = relax(structures, database(), **SHORT)
    scarce(11)
    told = []
    with pytest.warns(UserWarning, match="out of memory"):
        results = relax(structures, database(), progress=told.append, **SHORT)
    assert sum(told) == len(structures)
    failed = [result for result in results if result.failed]
    assert [len(result.atoms) for result in failed] == [12, 14]
    for result, atoms in zip(failed, structures[4:6], strict=True):
        assert result.reason == "failed: it does not fit into memory, not even alone"
        np.testing.assert_array_equal(result.atoms.positions, atoms.positions)
        assert np.isnan(result.loss)
    fit = [place for place, atoms in enumerate(structures) if len(atoms) <= 11]
    assert_same([results[place] for place in fit], [wanted[place] for place in fit])


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": [Stage("nearest", max_steps=8)]},
        {"noise": (0.003, 0.6)},
        {"n_starts": 2},
    ],
    ids=["schedule", "noise", "starts"],
)
def test_memory_may_run_out_in_any_stage(options, scarce):
    wanted = relax(molecules(), database(), **options, **SHORT)
    scarce(15)
    told = []
    with pytest.warns(UserWarning, match="out of memory"):
        results = relax(molecules(), database(), progress=told.append, **options, **SHORT)
    assert_same(results, wanted)
    assert sum(told) == len(NAMES)


def test_finished_ones_keep_their_results(monkeypatch):
    """Memory runs out late: only the structures then in the batch begin again."""
    evaluate, begun = Objective.evaluate, []
    starts = {tuple(atoms.positions[0]) for atoms in molecules()}

    def fails_once(self, batch, *arguments):
        begun.extend(p for p in map(tuple, batch.positions.tolist()) if p in starts)
        if len(begun) == len(starts):
            begun.append("ran out")
            raise MemoryError
        return evaluate(self, batch, *arguments)

    monkeypatch.setattr(Objective, "evaluate", fails_once)
    with pytest.warns(UserWarning, match="out of memory"):
        results = relax(molecules(), database(), batch_atoms=20, **SHORT)
    assert not any(result.failed for result in results)
    again = len(begun) - len(starts) - 1
    assert 0 < again < len(starts)


def test_other_errors_are_not_taken_for_it(monkeypatch):
    def fails(self, *arguments):
        raise RuntimeError("the index is out of bounds")

    monkeypatch.setattr(Objective, "evaluate", fails)
    with pytest.raises(RuntimeError, match="out of bounds"):
        relax(molecules(), database())


def test_scores_too(monkeypatch):
    wanted = score(molecules(), database(), dtype="float64")

    def bounded(objective, batch, since=None):
        if batch.n_atoms > 8:
            raise MemoryError
        return judge(objective, batch, since)

    monkeypatch.setattr("losiko_torch.batching.score.judge", bounded)
    with pytest.warns(UserWarning, match="out of memory"):
        scores = score(molecules(), database(), dtype="float64")
    assert [found.problem is None for found in scores] == [len(a) <= 8 for a in molecules()]
    for found, other, atoms in zip(scores, wanted, molecules(), strict=True):
        if len(atoms) <= 8:
            assert found.loss == pytest.approx(other.loss, rel=1e-9)
        else:
            assert found.problem == "it does not fit into memory, not even alone"


def test_what_the_batch_held_is_gone_when_memory_is_given_back(monkeypatch):
    """Tensors of a batch are freed when memory runs out, those in the error's frames too."""
    large, given_back = [], []

    class Large(InFlight):
        held = None

        def go_on(self, newcomers, enough):
            if len(newcomers) == 2:
                self.held = torch.zeros(1000)
                local = torch.zeros(1000)
                large.extend([weakref.ref(self.held), weakref.ref(local)])
                raise MemoryError
            return []

        def drop(self):
            self.held = None

    def look():
        given_back.extend(one() for one in large)

    monkeypatch.setattr("losiko_torch.batching.in_flight._release", look)
    with pytest.warns(UserWarning, match="out of memory with 8 atoms in a batch: going on with 4"):
        assert flow(range(2), [4, 4], Capacity(8), Large()) == []
    assert given_back == [None, None]
