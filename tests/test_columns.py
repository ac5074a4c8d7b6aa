"""Molecules and results in arrays are what lists of them are, one by one: two ways, one law."""

import io
import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import given
from hypothesis import strategies as st
from small_archive import write_archive
from small_database import database, rattled

from losiko_torch import relax
from losiko_torch.batching.cleared import Cleared
from losiko_torch.batching.shards import Shard, shards
from losiko_torch.io.formats.extxyz import frame_of
from losiko_torch.io.formats.frames import frames_of
from losiko_torch.io.formats.texts import encoded
from losiko_torch.io.read import read_structures
from losiko_torch.io.result_rows import columns_of
from losiko_torch.io.stream import Stream, streamed
from losiko_torch.io.table import table_of
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.relaxation.settings import Settings
from losiko_torch.results.columns import ManyResults
from losiko_torch.systems.columns import Molecules

FLAT = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.96, 0, 0]])


def structures():
    """Molecules of every fate, a linear one that leads away from a saddle among them."""
    one_spot = rattled("CH3OH", 1)
    one_spot.positions[3] = one_spot.positions[0]
    unknown = rattled("CH3OH", 2)
    unknown.numbers[1] = 14
    good = [rattled(name, 3) for name in ("CH3OH", "HCOOH", "H2O", "CH3CHO", "CH3OH")]
    return [*good, one_spot, FLAT.copy(), unknown, molecule("CH3", positions=np.eye(4, 3)), good[0]]


def archive(path, given=None):
    given = structures() if given is None else given
    title = np.frombuffer(b'{"title": "a few"}', dtype=np.uint8)
    return write_archive(path, given, id=np.arange(len(given)) * 7, metadata=title)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Results of the same molecules in arrays, and one by one."""
    path = archive(tmp_path_factory.mktemp("archive") / "few.npz")
    settings = Settings(dtype="float64", max_steps=40, batch_atoms=20, targets="locally-linear")
    made = Relaxer.make(None, database(), settings)
    (block,) = streamed([path]).blocks()
    assert isinstance(block, Molecules)
    return [made.relax(Shard(0, 3, each), lambda _: None).results for each in (block, list(block))]


def test_molecules_of_an_archive_are_those_that_are_read(tmp_path):
    path = archive(tmp_path / "few.npz")
    for chosen in (path, f"{path}@1:9:3", f"{path}@-2:"):
        (block,) = streamed([chosen]).blocks()
        assert isinstance(block, Molecules)
        for one, other in zip(block, read_structures(chosen), strict=True):
            assert one == other
            assert list(one.info.items()) == list(other.info.items())
        assert block[-1] == list(block)[-1]
        taken = block.take(np.array([1, 0]))
        assert list(taken) == [block[1], block[0]]
        assert list(Molecules.joined([taken, block[:1]])) == [block[1], block[0], block[0]]


def test_what_is_asked_for_is_a_copy(tmp_path):
    (block,) = streamed([archive(tmp_path / "few.npz")]).blocks()
    one, other = block[0], block[0]
    one.positions += 1
    one.numbers[:] = 1
    one.info["note"] = 1
    assert block[0] == other
    assert block[0].info == other.info


def test_archive_that_cannot_be_read_in_arrays_is_read_one_by_one(tmp_path):
    odd = [rattled("H2O"), Atoms([1, 200], np.eye(2, 3)), rattled("CH3OH")]
    path = archive(tmp_path / "odd.npz", odd)
    blocks = list(streamed([path]).blocks())
    assert not any(isinstance(block, Molecules) for block in blocks)
    assert "not a chemical element" in list(streamed([path]))[1].info["losiko_unreadable"]


def test_results_in_columns_are_those_of_a_list(both):
    columns, plain = both
    assert isinstance(columns, ManyResults)
    assert isinstance(plain, list)
    assert sorted(columns.odd) == [5, 6, 7, 8]  # two fail, and two flat ones left a saddle
    for one, other in zip(columns, plain, strict=True):
        assert one.atoms == other.atoms
        assert one.atoms.info == other.atoms.info
        for name in ("start_loss", "converged", "n_steps", "reason", "number", "terms", "doubt"):
            np.testing.assert_equal(getattr(one, name), getattr(other, name), name)
            assert type(getattr(one, name)) is type(getattr(other, name))
        for name in ("loss", "distances", "expected_error"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert (one.matches is None) == (other.matches is None)
        if one.matches is not None:
            for name in ("structure", "atom", "weight", "distance"):
                mine, theirs = getattr(one.matches, name), getattr(other.matches, name)
                assert mine.dtype == theirs.dtype
                np.testing.assert_array_equal(mine, theirs)


def test_results_in_order_are_the_same(both):
    columns, _ = both
    shown = columns[::-1]
    ordered = shown.ordered()
    assert not np.array_equal(shown.row[shown.row >= 0], ordered.row[ordered.row >= 0])
    assert columns_of(ordered) == columns_of(shown)
    assert list(frames_of(ordered, print)) == list(frames_of(shown, print))
    assert columns_of(ordered[2:9]) == columns_of(shown[2:9])


def test_files_of_columns_are_those_of_a_list_byte_by_byte(both):
    columns, plain = both
    (frames,) = frames_of(columns, lambda lost: None)
    assert [frames] == list(frames_of(plain, lambda lost: None))
    assert frames == [encoded(frame_of(each, lambda lost: None)) for each in plain]
    offsets = list(range(len(plain)))
    files = [io.BytesIO(), io.BytesIO()]
    for results, file in zip(both, files, strict=True):
        pq.write_table(table_of(results, offsets).combine_chunks(), file)
    assert files[0].getvalue() == files[1].getvalue()
    assert table_of(columns[:4]).equals(table_of(plain[:4]))
    assert columns_of(columns) == columns_of(plain)


def test_columns_are_cut_and_sent_like_a_list(both):
    columns, plain = both
    some = columns[2:8:2]
    assert [each.reason for each in some] == [each.reason for each in plain[2:8:2]]
    sent = pickle.loads(pickle.dumps(columns))
    assert [each.atoms for each in sent] == [each.atoms for each in plain]
    assert columns[-1].number == plain[-1].number
    with pytest.raises(IndexError):
        columns[len(plain)]


def test_archive_relaxes_as_its_molecules_do(tmp_path):
    path = archive(tmp_path / "few.npz")
    options = {"dtype": "float64", "max_steps": 3, "targets": "nearest"}
    for one, other in zip(
        relax(path, database(), **options),
        relax(list(read_structures(path)), database(), **options),
        strict=True,
    ):
        assert one.atoms == other.atoms
        assert (one.reason, one.doubt, one.number) == (other.reason, other.doubt, other.number)


@pytest.mark.parametrize("options", [{"movable": lambda a: a.numbers > 1}, {"n_starts": 2}])
def test_molecules_that_do_not_all_move_alike_go_one_by_one(tmp_path, options):
    path = archive(tmp_path / "few.npz")
    made = Relaxer.make(None, database(), Settings(targets="nearest", max_steps=2, **options))
    (shard,) = made.shards(streamed([path]))
    assert isinstance(shard.structures, Molecules)
    assert isinstance(made.relax(shard, lambda _: None).results, list)


def test_shaken_in_arrays_as_one_by_one(tmp_path):
    (block,) = streamed([archive(tmp_path / "few.npz", structures()[:5])]).blocks()
    good, shaken = Cleared(block, np.arange(5)).shaken(9, 0.1, 4)
    assert good.all()
    for item, start in zip(shaken, Cleared(block, np.arange(5)), strict=True):
        alone = start.shaken(9, 0.1, 4)
        np.testing.assert_array_equal(item.atoms.positions, alone.atoms.positions)
        assert (item.copy, item.number) == (alone.copy, alone.number) == (9, start.number)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 9), st.integers(1, 4))
def test_shards_of_blocks_are_those_of_structures(sizes, most, length):
    atoms = [Atoms("H" * size, np.eye(size, 3) * k) for k, size in enumerate(sizes)]
    every = Molecules(
        np.ones(sum(sizes), dtype=int),
        np.concatenate([each.positions for each in atoms]),
        np.cumsum([0, *sizes]),
        {},
    )
    blocks = [every[first : first + length] for first in range(0, len(atoms), length)]
    in_arrays = list(shards(Stream(iter(blocks)), most))
    one_by_one = list(shards(atoms, most))
    assert [each[:2] for each in in_arrays] == [each[:2] for each in one_by_one]
    for mine, theirs in zip(in_arrays, one_by_one, strict=True):
        assert isinstance(mine.structures, Molecules)
        assert list(mine.structures) == theirs.structures
