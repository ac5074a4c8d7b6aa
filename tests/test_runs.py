"""Runs that survive: killed at any moment they go on, and end as if nothing had happened."""

import os
import shutil
import signal
import subprocess
import sys

import ase.db
import ase.io
import numpy as np
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms
from small_database import NAMES, database, rattled

from losiko_torch import read_structures
from losiko_torch.errors import InputError
from losiko_torch.runs.folder import RunFolder, locked
from losiko_torch.systems.reference_geometry import REFERENCE, deviation, with_references

COUNT = 60
#: Small batches, so that there are several shards, and few steps.
FEW = ("--batch-atoms", "5", "--max-steps", "2", "--targets", "nearest")


@pytest.fixture
def losiko(tmp_path, monkeypatch, command):
    """Runs the program in a folder with ``db.losiko``, ``in.xyz`` and ``true.xyz``."""
    monkeypatch.chdir(tmp_path)
    database(n_max=3, l_max=2).save("db.losiko")
    names = [NAMES[k % 25] for k in range(COUNT)]
    structures = [rattled(name, k) for k, name in enumerate(names)]
    structures[7].positions[0] = np.nan
    structures[8].info["note"] = 'quoted "text", Å'
    structures[8].set_constraint(FixAtoms([0]))
    ase.io.write("in.xyz", structures)
    ase.io.write("true.xyz", [rattled(name, 0, 0.0) for name in names])
    return command


def relaxes(folder, *more):
    return ("relax", "in.xyz", "-d", "db.losiko", "--run", folder, *FEW, *more)


def results(folder):
    """Results of a finished run that must be equal: bytes of the structures, and the table."""
    run = RunFolder.open(folder)
    assert run.finished
    return run.structures_file.read_bytes(), run.table()


#: Program that kills itself at its n-th file: after writing it, before it takes its place.
KILLED = """
import os, signal, sys
from losiko_torch.cli import main
count, replace = int(sys.argv.pop(1)), os.replace
def replace_or_die(*arguments):
    global count
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments)
os.replace = replace_or_die
main()
"""


def killed_at(file, command):
    """Run the program in a process that is killed at its n-th file."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", KILLED, file, *command]
    done = subprocess.run(list(map(str, arguments)), env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_run_keeps_everything(losiko, tmp_path):
    assert losiko(*relaxes("run"), "--reference", "true.xyz", "-o", "out.db") == 1
    assert "59 of 60 structures relaxed" in losiko.out
    assert "RMSD to the references" in losiko.out
    structures, table = results("run")
    frames = list(read_structures("run/relaxed.extxyz"))
    assert table["number"].to_pylist() == list(range(COUNT))
    assert table["source"].to_pylist() == [f"in.xyz@{k}" for k in range(COUNT)]
    assert not (tmp_path / "run" / "shards").exists()
    for row, atoms in zip(table.to_pylist(), frames, strict=True):
        assert row["reason"] == atoms.info["losiko_reason"]
        assert row["n_steps"] == atoms.info["losiko_steps"]
        assert row["n_atoms"] == len(atoms) == len(row["nearest_atom"] or atoms)
        if row["number"] == 7:
            assert row["reason"].startswith("failed: atom 0 has a coordinate")
            assert {row[key] for key in ("loss", "rmsd", "worst_atom")} == {None}
            continue
        assert row["loss"] == pytest.approx(atoms.info["losiko_loss"], abs=1e-6)
        assert row["largest_distance"] == pytest.approx(
            atoms.arrays["losiko_distance"].max(), abs=1e-6
        )
        assert row["worst_element"] == atoms.symbols[row["worst_atom"]]
        assert row["rmsd"] == pytest.approx(atoms.info["losiko_rmsd"], abs=1e-6)
        assert row["rmsd"] == pytest.approx(deviation(atoms), abs=1e-6)
        assert structures[row["offset"] :].startswith(f"{len(atoms)}\n".encode())
    assert frames[8].info["note"] == 'quoted "text", Å'
    assert list(frames[8].constraints[0].index) == [0]
    picked = RunFolder.open("run").atoms([59, 8])
    assert sorted(picked) == [8, 59]
    np.testing.assert_array_equal(picked[59].positions, frames[59].positions)
    with ase.db.connect("out.db") as rows:
        assert len(rows) == COUNT
        row = rows.get(id=60)
        assert row.losiko_reason == frames[59].info["losiko_reason"]
        np.testing.assert_allclose(
            row.data["losiko_distance"], frames[59].arrays["losiko_distance"]
        )


def test_killed_at_any_moment_it_ends_the_same(losiko):
    assert losiko(*relaxes("whole")) == 1
    whole = results("whole")
    # Each shard has structures, a table, and an entry in the record of the run.
    for file in (4, 5, 6, 7):
        killed_at(file, relaxes("run"))
        # Half a shard does not count, and the finished shards are whole.
        so_far = RunFolder.open("run")
        done = so_far.table().drop_columns("offset")
        assert len(done) < COUNT
        assert done.equals(whole[1].drop_columns("offset").take(done["number"]))
        numbers = done["number"].to_pylist()
        assert sorted(so_far.atoms(range(COUNT))) == numbers
    assert losiko(*relaxes("run")) == 1
    assert f"going on after {len(done)} structures" in losiko.err
    again = results("run")
    assert again[0] == whole[0]
    assert again[1].equals(whole[1])
    assert losiko(*relaxes("run"), "-o", "copy.parquet") == 1
    assert "the run has finished already" in losiko.err
    assert "59 of 60 structures relaxed" in losiko.out
    assert pq.read_table("copy.parquet").equals(whole[1])


def test_killed_while_results_are_put_together(losiko, monkeypatch):
    assert losiko(*relaxes("whole")) == 1

    def killed(*_, **__):
        raise SystemExit(137)

    # Killed before, and killed after the files are there.
    copy = shutil.copyfileobj
    monkeypatch.setattr("losiko_torch.runs.folder.shutil.copyfileobj", killed)
    assert losiko(*relaxes("run")) == 137
    assert not RunFolder.open("run").finished
    monkeypatch.setattr("losiko_torch.runs.folder.shutil.copyfileobj", copy)
    monkeypatch.setattr("losiko_torch.runs.folder.shutil.rmtree", killed)
    assert losiko(*relaxes("run")) == 137
    assert losiko(*relaxes("run")) == 1
    assert results("run")[0] == results("whole")[0]


def test_another_configuration_is_refused_with_the_difference_named(losiko):
    assert losiko(*relaxes("run")) == 1
    before = results("run")
    assert losiko(*relaxes("run", "--seed", "3", "--n-starts", "2")) == 2
    assert "seed was 0 and is 3" in losiko.err
    assert "n_starts was 1 and is 2" in losiko.err
    structures = ase.io.read("in.xyz", index=":")
    ase.io.write("in.xyz", structures[:-1])
    assert losiko(*relaxes("run")) == 2
    assert "structures has changed in in.xyz" in losiko.err
    ase.io.write("other.xyz", structures)
    assert losiko("relax", "other.xyz", "-d", "db.losiko", "--run", "run", *FEW) == 2
    assert "structures was in.xyz and is other.xyz" in losiko.err
    database(n_max=3, l_max=3).save("db.losiko", overwrite=True)
    assert losiko(*relaxes("run")) == 2
    assert "database has changed in db.losiko" in losiko.err
    assert results("run")[0] == before[0]


def test_folders_that_cannot_be(losiko, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert losiko(*relaxes("full")) == 2
    assert "full: has files in it that are no run" in losiko.err
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"
    assert losiko(*relaxes("in.xyz")) == 2
    assert "in.xyz: a file, not a folder" in losiko.err
    assert losiko(*relaxes("no/such")) == 2
    assert "there is no folder no" in losiko.err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert losiko(*relaxes("broken")) == 2
    assert "run.json: cannot be read" in losiko.err
    with pytest.raises(InputError, match="not the folder of a run"):
        RunFolder.open(tmp_path)
    assert losiko("relax", "in.xyz") == 2
    assert "where to?" in losiko.err


def test_two_at_a_time_are_one_too_many(losiko):
    with locked("run"):
        assert losiko(*relaxes("run")) == 2
    assert "another process works on this run" in losiko.err
    assert losiko(*relaxes("run")) == 1


def test_references_that_do_not_fit(losiko):
    structures = ase.io.read("true.xyz", index=":")
    ase.io.write("true.xyz", [Atoms("H"), *structures[1:-2]])
    assert losiko(*relaxes("run"), "--reference", "true.xyz") == 1
    assert "without a reference of the same atoms: in.xyz@0 and 2 more" in losiko.err
    deviations = results("run")[1]["rmsd"]
    assert [k for k, each in enumerate(deviations.to_pylist()) if each is None] == [0, 7, 58, 59]


def test_deviation_of_a_crystal_is_that_of_the_nearest_images():
    crystal = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    moved = crystal.copy()
    moved.rattle(0.1, seed=1)
    apart = moved.positions - crystal.positions
    expected = np.sqrt(np.square(apart - apart.mean(axis=0)).sum(axis=1).mean())
    moved.positions += [0.3, 0.2, 0.1]
    moved.wrap()
    (carrying,) = with_references([moved], [crystal])
    assert REFERENCE in carrying.arrays
    assert deviation(carrying) == pytest.approx(expected)
    assert deviation(crystal) is None


def test_outputs_of_all_kinds_say_the_same(losiko):
    arguments = ("relax", "in.xyz", "-d", "db.losiko", *FEW)
    for name in ("out.extxyz", "out.db", "out.parquet"):
        assert losiko(*arguments, "-o", name) == 1
    frames, rows = list(read_structures("out.extxyz")), list(read_structures("out.db"))
    table = pq.read_table("out.parquet")
    assert len(frames) == len(rows) == len(table) == COUNT
    for atoms, row in zip(frames, rows, strict=True):
        assert row.info["losiko_reason"] == atoms.info["losiko_reason"]
        np.testing.assert_allclose(row.positions, atoms.positions, atol=1e-7)
    assert table["reason"].to_pylist() == [atoms.info["losiko_reason"] for atoms in frames]
    assert losiko(*arguments, "-o", "out.csv") == 2
    assert "out.csv: results are written to .extxyz" in losiko.err


def paths_of(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def test_trajectories_survive_with_their_run(losiko, tmp_path):
    more = ("--trajectory", "paths", "--trajectory-interval", "2")
    assert losiko(*relaxes("whole", *more)) == 1
    assert "whole/paths" in losiko.out
    whole = paths_of(tmp_path / "whole" / "paths")
    # One failed before its first step.
    assert len(whole) == COUNT - 1
    for file in (4, 12):
        killed_at(file, relaxes("run", *more))
        some = paths_of(tmp_path / "run" / "paths") if (tmp_path / "run/paths").exists() else {}
        torn = [name for name in some if name in whole and some[name] != whole[name]]
        assert torn == []
    assert losiko(*relaxes("run", *more)) == 1
    assert paths_of(tmp_path / "run" / "paths") == whole
    assert results("run")[0] == results("whole")[0]
    assert losiko(*relaxes("run")) == 2
    assert "trajectory was ['paths', '.extxyz', 2] and is None" in losiko.err


@pytest.mark.parametrize("name", ["/paths", "a/b", "shards", "relaxed.extxyz/", "paths.traj", ".."])
def test_folders_of_trajectories_that_cannot_be(losiko, tmp_path, name):
    assert losiko(*relaxes("run", "--trajectory", name)) == 2
    assert losiko.err.startswith(f"losiko: error: {name}: ")
    assert not (tmp_path / "run").exists()
