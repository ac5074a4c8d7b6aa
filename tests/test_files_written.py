"""Output in every format: what each holds comes back, the rest is told, and no result is lost."""

import errno
import json
import os
import warnings
from contextlib import contextmanager

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms, FixCartesian, FixScaled
from ase.geometry import find_mic
from hypothesis import given, settings
from hypothesis import strategies as st

from losiko_torch import read_structures
from losiko_torch.errors import InputError
from losiko_torch.io.formats.extxyz import frame_of
from losiko_torch.io.formats.registry import FORMATS
from losiko_torch.io.readers.xyz import atoms_of
from losiko_torch.io.writers import result_file
from losiko_torch.results import Result
from losiko_torch.systems.scaled_constraints import fixed_axes, in_cartesian

#: Names of files that hold all of a structure, and those of bare geometries.
WHOLE = ("out.extxyz", "out.db", "out.json", "out.traj")
BARE = ("out.cif", "out.pdb", "out.vasp", "out.sdf")


def result(atoms, number=0, reason="converged"):
    distances = np.full(len(atoms), 0.25)
    return Result(atoms, 0.5, 0.5, True, 7, reason, distances, None, number)


def write(path, *structures):
    """Write structures; return how many were refused, and what was told."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with result_file(path) as add:
            refused = add([result(atoms, number) for number, atoms in enumerate(structures)])
    return refused, [str(each.message) for each in caught]


def salt():
    return bulk("NaCl", "rocksalt", 5.64, cubic=True)


def odd():
    """A crystal with entries and columns of many kinds."""
    atoms = salt()
    atoms.info = {
        "flag": True,
        "flags": np.array([True, False]),
        "tree": {"a": [1, [2, 3]], "b": {"c": None}},
        "text": "two\nlines of \u00e5",
        "a=b": 1,
    }
    arrays = {
        "ff_type": np.array([f"{s}+" for s in atoms.symbols]),
        "ff-type": np.array(["007"] * 8),
        "residue name": np.array(["a b", "", "\u00e9"] + ["c"] * 5),
        "mobile": np.array([True] * 3 + [False] * 5),
        "pairs": np.array([["a", "b"]] * 8),
        "cubes": np.arange(32).reshape(8, 2, 2),
        "species": np.array(["q"] * 8),
        "Z": np.arange(8),
    }
    for name, values in arrays.items():
        atoms.arrays[name] = values
    return atoms


@pytest.mark.parametrize("name", WHOLE)
def test_entries_and_columns_of_every_kind_come_back(tmp_path, name):
    atoms = odd()
    assert write(tmp_path / name, atoms, molecule("H2O")) == (0, [])
    back, water = read_structures(tmp_path / name)
    assert len(water) == 3
    np.testing.assert_allclose(back.positions, atoms.positions, atol=1e-7)
    np.testing.assert_array_equal(back.numbers, atoms.numbers)
    for key, value in atoms.info.items():
        assert json.dumps(np.array(back.info[key]).tolist()) == json.dumps(np.array(value).tolist())
    for key, values in atoms.arrays.items():
        if key != "positions":
            np.testing.assert_array_equal(back.arrays[key], values)
    assert back.info["losiko_loss"] == 0.5
    np.testing.assert_array_equal(back.arrays["losiko_distance"], 0.25)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
SCALARS = TEXTS | st.booleans() | st.integers(-999, 999) | st.floats(allow_nan=False) | st.none()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)


@settings(max_examples=60)
@given(st.dictionaries(TEXTS, VALUES, max_size=3), st.lists(TEXTS, min_size=3, max_size=3))
def test_no_entry_or_column_breaks_extended_xyz(info, column):
    atoms = molecule("H2O")
    atoms.info = info
    atoms.arrays["column"] = np.array(column)
    lost = []
    back = atoms_of(frame_of(result(atoms), lost.extend))
    np.testing.assert_allclose(back.positions, atoms.positions, atol=1e-7)
    assert back.info["losiko_reason"] == "converged"
    assert lost == []


def test_what_nothing_can_hold_costs_no_result(tmp_path):
    atoms = Atoms([200, 1], [[0, 0, 0], [0, 0, 1]])
    refused, (told,) = write(tmp_path / "out.extxyz", atoms, molecule("H2O"))
    assert refused == 0
    assert "all but the geometry" in told
    assert [str(each.symbols) for each in read_structures(tmp_path / "out.extxyz")] == ["XH", "OH2"]


@pytest.mark.parametrize("name", BARE)
def test_geometries_come_back(tmp_path, name):
    crystal = salt()
    crystal.rattle(0.1, seed=1)
    refused, told = write(
        tmp_path / name, crystal, fcc111("Al", (1, 1, 3), vacuum=5, periodic=True)
    )
    assert refused == 0
    # What it cannot hold is told once.
    assert len([each for each in told if each.startswith("left out, as")]) == 1
    back, slab = read_structures(tmp_path / name)
    tolerance = {"out.pdb": 6e-4, "out.sdf": 6e-5}.get(name, 1e-8)
    # ASE's reader of cif wraps atoms into the cell.
    apart = find_mic(back.positions - crystal.positions, crystal.cell, crystal.pbc)[1]
    assert apart.max() < 2 * tolerance
    assert str(back.symbols) == str(crystal.symbols)
    assert len(slab) == 3
    if name != "out.sdf":
        np.testing.assert_allclose(back.cell.array, crystal.cell.array, atol=1e-3)
        assert back.pbc.all()


@pytest.mark.parametrize("name", ["out.cif", "out.pdb", "out.sdf"])
def test_molecules_stay_molecules(tmp_path, name):
    refused, _ = write(tmp_path / name, molecule("CH3OH"), salt(), molecule("H2O"))
    assert refused == 0
    back = list(read_structures(tmp_path / name))
    assert [atoms.pbc.any() for atoms in back] == [False, name != "out.sdf", False]
    np.testing.assert_allclose(back[0].positions, molecule("CH3OH").positions, atol=6e-4)


@pytest.mark.parametrize("name", ["out.vasp", "POSCAR", "CONTCAR_relaxed", "out.POSCAR"])
def test_one_structure_is_a_file_and_several_are_a_folder(tmp_path, name):
    path = tmp_path / name
    write(path, salt())
    assert path.is_file()
    assert path.read_text().startswith("structure 0 converged\n")
    with pytest.raises(InputError, match="the new files are in"), result_file(path) as add:
        add([result(salt(), number) for number in range(3)])
    path.unlink()
    write(path, salt(), bulk("Si"), salt())
    assert sorted(each.name for each in path.iterdir()) == [f"00000{k}.vasp" for k in range(3)]
    assert [len(atoms) for atoms in read_structures(path)] == [8, 2, 8]


def test_constraints_of_a_poscar(tmp_path):
    crystal = salt()
    given = [FixAtoms([0]), FixScaled([1], [1, 0, 0]), FixCartesian([2], [0, 1, 1])]
    crystal.set_constraint(given)
    write(tmp_path / "POSCAR", crystal)
    (back,) = read_structures(tmp_path / "POSCAR")
    fixed = {int(each.index[0]): getattr(each, "mask", None) for each in back.constraints}
    assert fixed[0] is None
    assert fixed[1].tolist() == [True, False, False]
    assert fixed[2].tolist() == [False, True, True]
    # Extended xyz has a column for them.
    assert write(tmp_path / "out.extxyz", crystal) == (0, [])


METHANE = """methane


  2  1  0  0  0  0            999 V2000
    0.0000    0.0000    0.0000 C   0  0
    1.0900    0.0000    0.0000 H   0  0
  1  2  1  0
M  CHG  1   1  -1
M  END
$$$$
"""


@pytest.mark.parametrize("between", ["in.sdf", "out.extxyz", "out.db", "out.traj"])
def test_bonds_go_with_a_structure(tmp_path, between):
    (tmp_path / "in.sdf").write_text(METHANE)
    if between != "in.sdf":
        write(tmp_path / between, *read_structures(tmp_path / "in.sdf"))
    (atoms,) = read_structures(tmp_path / between)
    assert write(tmp_path / "out.sdf", atoms) == (0, [])
    lines = (tmp_path / "out.sdf").read_text().splitlines()
    assert lines[0] == "methane"
    assert lines[3].startswith("  2  1")
    assert lines[6:9] == ["  1  2  1  0", "M  CHG  1   1  -1", "M  END"]
    (back,) = read_structures(tmp_path / "out.sdf")
    assert back.info["losiko_loss"] == 0.5


def test_rdkit_and_ase_read_what_is_written(tmp_path):
    Chem = pytest.importorskip("rdkit.Chem")
    (tmp_path / "in.sdf").write_text(METHANE)
    write(tmp_path / "out.sdf", *read_structures(tmp_path / "in.sdf"))
    (mol,) = Chem.SDMolSupplier(str(tmp_path / "out.sdf"), removeHs=False)
    assert mol.GetNumBonds() == 1
    assert mol.GetAtomWithIdx(0).GetFormalCharge() == -1
    assert mol.GetProp("losiko_reason") == "converged"
    for name in ("out.cif", "out.pdb", "out.traj", "out.json"):
        write(tmp_path / name, salt(), salt())
        assert [len(atoms) for atoms in ase.io.read(tmp_path / name, ":")] == [8, 8]
    with ase.db.connect(tmp_path / "out.json") as rows:
        assert [row.losiko_loss for row in rows.select("losiko_converged=True")] == [0.5, 0.5]


@pytest.mark.parametrize("name", ["out.cif", "out.vasp", "out.pdb", "out.sdf"])
def test_structures_that_a_format_cannot_hold_are_kept(tmp_path, name):
    nowhere = molecule("H2O")
    nowhere.positions[0] = np.nan
    refused, told = write(tmp_path / name, salt(), Atoms(), nowhere, salt())
    assert refused == 2
    assert f"2 of the structures cannot be written as {name[4:]} (structure 1: " in told[-1]
    kept = tmp_path / "out.kept.extxyz"
    assert told[-1].endswith(f"all results are in {kept}")
    assert [len(atoms) for atoms in read_structures(kept)] == [8, 0, 3, 8]
    assert [len(atoms) for atoms in read_structures(tmp_path / name)] == [8, 8]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["out.db", "out.parquet", "out.traj", "out.cif", "out.vasp"])
@pytest.mark.parametrize("when", ["writing", "closing"])
def test_no_result_is_lost_to_a_writer(tmp_path, monkeypatch, name, when):
    path = tmp_path / name
    form = next(each for each in FORMATS.choices.values() if path.suffix in each.suffixes)

    @contextmanager
    def full(path, overwrite=False):
        with form.open(path, overwrite) as add:

            def failing(results):
                if when == "writing" and results[0].number == 2:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                add(results)

            yield failing
            if when == "closing":
                raise RuntimeError("database is locked")

    broken = type(form)(form.name, form.suffixes, full)
    monkeypatch.setattr("losiko_torch.io.writers.format_of", lambda path: broken)
    kept = tmp_path / "out.kept.extxyz"
    why = "No space left on device" if when == "writing" else "database is locked"
    with (
        pytest.raises(InputError, match=rf"cannot be written \({why}\): all .* are in {kept}"),
        result_file(path) as add,
    ):
        add([result(salt(), number) for number in range(4)])
    assert len(list(read_structures(kept))) == 4
    assert list(tmp_path.iterdir()) == [kept]


def test_errors_of_the_work_itself_leave_nothing(tmp_path):
    def work():
        with result_file(tmp_path / "out.db") as add:
            add([result(salt())])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert list(tmp_path.iterdir()) == []


# --- constraints along the cell


@pytest.mark.parametrize(
    ("cell", "mask", "expected"),
    [
        (np.diag([5, 6, 7]), [1, 0, 0], [1, 0, 0]),
        (np.diag([5, -6, 7]), [0, 1, 1], [0, 1, 1]),
        (np.diag([5, 6, 7])[[1, 2, 0]], [1, 0, 0], [0, 1, 0]),
        (bulk("Mg").cell.array, [0, 0, 1], [0, 0, 1]),
        (bulk("Mg").cell.array, [1, 1, 0], [1, 1, 0]),
        (bulk("Mg").cell.array, [1, 0, 0], None),
        (bulk("Si").cell.array, [0, 0, 1], None),
        (bulk("Si").cell.array, [1, 1, 1], [1, 1, 1]),
    ],
)
def test_fixed_fractional_coordinates(cell, mask, expected):
    found = fixed_axes(np.array(mask, dtype=bool), cell)
    assert (None if found is None else found.tolist()) == expected
    atoms = Atoms("Si", cell=cell, pbc=True, constraint=FixScaled([0], mask))
    (constraint,) = in_cartesian(atoms)
    assert isinstance(constraint, FixScaled) == (expected is None)
    if expected is not None:
        # What it lets move keeps the fixed fractions.
        moved = atoms.copy()
        moved.set_constraint(constraint)
        moved.set_positions([[0.1, 0.2, 0.3]])
        fractions = np.linalg.solve(cell.T, moved.positions[0])
        np.testing.assert_allclose(fractions[np.array(mask, dtype=bool)], 0, atol=1e-12)
