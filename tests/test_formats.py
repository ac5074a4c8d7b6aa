"""Formats of results: one from outside is written and converted to, and each keeps what it can."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.spacegroup import crystal
from small_database import NAMES, database, rattled

from losiko_torch import read_structures
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import replacing
from losiko_torch.io.formats.interface import Format
from losiko_torch.io.formats.registry import FORMATS, suffixes
from losiko_torch.io.labels import labelled
from losiko_torch.io.writers import convert, result_file
from losiko_torch.results import Result
from losiko_torch.runs.folder import RunFolder

FEW = ("--batch-atoms", "5", "--max-steps", "8", "--targets", "nearest")


def line_of(result):
    """Contents of a result and its structure, as JSON."""
    atoms, matches = result.atoms, result.matches
    told = {
        "number": result.number,
        "reason": result.reason,
        "converged": result.converged,
        "n_steps": result.n_steps,
        "losses": [result.start_loss, result.loss],
        "info": atoms.info,
        "arrays": sorted(atoms.arrays),
        "symbols": str(atoms.symbols),
        "positions": atoms.positions.tolist(),
        "distances": result.distances.tolist(),
        "nearest": None if matches is None else matches.structure[:, 0].tolist(),
        "atom": None if matches is None else matches.atom[:, 0].tolist(),
        "labels": labelled(result).info,
    }
    return json.dumps(told) + "\n"


@contextmanager
def json_lines(path, overwrite):
    with replacing(path, overwrite) as file:
        yield lambda results: file.writelines(map(line_of, results))


@pytest.fixture
def offered(monkeypatch):
    """Function that installs formats as another distribution would offer them."""

    def offer(*formats):
        FORMATS.__dict__.pop("choices", None)
        entries = [SimpleNamespace(load=lambda each=each: each) for each in formats]

        def found(group):
            return entries if group == "losiko_torch.io.formats" else []

        monkeypatch.setattr("losiko_torch.registry.entry_points", found)

    yield offer
    FORMATS.__dict__.pop("choices", None)


@pytest.fixture
def losiko(tmp_path, monkeypatch, command):
    """Runs the program in a folder with ``db.losiko`` and ``in.xyz``, which has a broken frame."""
    monkeypatch.chdir(tmp_path)
    database(n_max=3, l_max=2).save("db.losiko")
    structures = [rattled(name, k) for k, name in enumerate(NAMES[:6])]
    structures[2].positions[0] = np.nan
    structures[3].info["note"] = "of my own"
    ase.io.write("in.xyz", structures)
    return command


def test_the_usual_ones_come_first(offered):
    offered(Format("alpha", (".a",), json_lines))
    usual = (".extxyz", ".xyz", ".db", ".parquet", ".traj", ".json", ".cif")
    usual += (".vasp", ".poscar", ".contcar", ".pdb", ".sdf")
    assert suffixes() == (*usual, ".a")


def test_a_format_from_outside_is_written_and_converted_to(losiko, offered):
    relaxes = ("relax", "in.xyz", "-d", "db.losiko", *FEW)
    assert losiko(*relaxes, "-o", "out.jsonl") == 2
    offered(Format("JSON lines", (".jsonl",), json_lines))
    assert losiko(*relaxes, "-o", "out.jsonl") == 1, losiko.err
    assert losiko(*relaxes, "--run", "run", "-o", "run.JSONL") == 1, losiko.err
    with open("out.jsonl") as written, open("run.JSONL") as converted:
        pairs = list(zip(map(json.loads, written), map(json.loads, converted), strict=True))
    assert len(pairs) == 6
    for one, other in pairs:
        # Files keep eight digits of a position.
        np.testing.assert_allclose(one.pop("positions"), other.pop("positions"), atol=1e-8)
        np.testing.assert_allclose(one.pop("distances"), other.pop("distances"), atol=1e-8)
        np.testing.assert_equal(one, other)
    assert [one["reason"].startswith("failed") for one, _ in pairs] == [k == 2 for k in range(6)]
    assert pairs[3][0]["info"]["note"] == "of my own"


def test_a_suffix_of_no_format_is_refused_before_any_work(losiko, tmp_path):
    before = sorted(tmp_path.iterdir())
    arguments = ("relax", "in.xyz", "-d", "db.losiko", *FEW)
    for more in ((), ("--run", "run")):
        assert losiko(*arguments, *more, "-o", "out.new") == 2
        assert "out.new: results are written to .extxyz, .xyz, .db" in losiko.err
        assert sorted(tmp_path.iterdir()) == before
    with (
        pytest.raises(InputError, match=r"out\.new: results are written to \.extxyz"),
        result_file("out.new"),
    ):
        pass


def test_two_formats_with_one_suffix_are_refused(offered):
    offered(Format("mine", (".db",), json_lines))
    with pytest.raises(InputError, match=r"'db' and 'mine' both write \.db"):
        suffixes()


def test_a_run_is_converted_as_if_it_had_been_written(losiko):
    relaxes = ("relax", "in.xyz", "-d", "db.losiko", *FEW)
    for name in ("out.extxyz", "out.db", "out.parquet"):
        assert losiko(*relaxes, "-o", name) == 1
        assert losiko(*relaxes, "--run", "run", "-o", f"run{name}") == 1
    run = RunFolder.open("run")
    for name, own in (("out.extxyz", run.structures_file), ("out.parquet", run.table_file)):
        with open(f"run{name}", "rb") as file:
            assert file.read() == own.read_bytes()
    with open("out.extxyz", "rb") as one, open("runout.extxyz", "rb") as other:
        assert one.read() == other.read()
    with ase.db.connect("out.db") as one, ase.db.connect("runout.db") as other:
        for row, converted in zip(one.select(), other.select(), strict=True):
            np.testing.assert_equal(row.key_value_pairs, converted.key_value_pairs)
            assert list(row.data) == list(converted.data)
            np.testing.assert_allclose(row.positions, converted.positions, atol=1e-8)


def test_a_run_whose_files_do_not_fit_together(losiko, tmp_path):
    assert losiko("relax", "in.xyz", "-d", "db.losiko", *FEW, "--run", "run") == 1
    run = RunFolder.open("run")
    frames = ase.io.read(run.structures_file, index=":")
    for some in (frames[:-1], [*frames, frames[0]]):
        ase.io.write(run.structures_file, some)
        with pytest.raises(InputError, match="does not have the structures of"):
            convert(run.structures_file, run.table_file, tmp_path / "out.db")
        assert not (tmp_path / "out.db").exists()


def result(atoms):
    return Result(atoms, 0.5, 0.5, True, 7, "converged", np.full(len(atoms), 0.25), None)


def written(path, atoms):
    with result_file(path) as add:
        add([result(atoms)])


@pytest.mark.parametrize("suffix", [".db", ".extxyz"])
def test_space_groups_and_columns_of_text_are_kept(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    places, cell = [(0, 0, 0), (0.5, 0.5, 0.5)], [5.6, 5.6, 5.6, 90, 90, 90]
    salt = crystal(["Na", "Cl"], places, spacegroup=225, cellpar=cell)
    salt.arrays["ff_type"] = np.array([f"{s}+" for s in salt.symbols], dtype=object)
    written(path, salt)
    (back,) = read_structures(path)
    assert back.info["spacegroup"] == "F m -3 m"
    if suffix == ".db":
        with ase.db.connect(path) as rows:
            kept = rows.get(1).data["ff_type"]
    else:
        kept = back.arrays["ff_type"].tolist()
    assert kept == salt.arrays["ff_type"].tolist()


def test_what_a_database_cannot_hold_is_told_and_hurts_nothing_else(tmp_path):
    atoms = molecule("H2O")
    atoms.info = {
        "object": object(),
        "tree": {"a": (1, np.int64(2)), 3: np.array(["x", "yy"])},
        "texts": np.array(["a b", ""]),
        "vector": np.array([1.0, 2.0]),
        "name": "water",
        "007": "a key that is no word",
        "digits": "007",
    }
    atoms.arrays["objects"] = np.array([object(), 1, 2])
    with pytest.warns(UserWarning, match="left out, as a database cannot hold it") as caught:
        written(tmp_path / "out.db", atoms)
    told = str(caught[0].message)
    assert "info 'object'" in told
    assert "array 'objects'" in told
    with ase.db.connect(tmp_path / "out.db") as rows:
        row = rows.get(1)
    assert row.key_value_pairs["name"] == "water"
    assert row.data["tree"] == {"a": [1, 2], "3": ["x", "yy"]}
    assert row.data["texts"] == ["a b", ""]
    assert row.data["vector"].tolist() == [1.0, 2.0]
    assert row.data["007"] == "a key that is no word"
    assert row.data["digits"] == "007"
    np.testing.assert_array_equal(row.data["losiko_distance"], 0.25)


def test_labels_are_of_a_copy():
    atoms = Atoms("H", info={"spacegroup": "P 1"})
    atoms.arrays["kind"] = np.array(["a"], dtype=object)
    copy = labelled(result(atoms))
    assert copy.arrays["kind"].dtype.kind == "U"
    assert atoms.arrays["kind"].dtype == object
    assert set(atoms.info) == {"spacegroup"}
