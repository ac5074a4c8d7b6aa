"""Reading: frames, slices, odd names, archives, and one clear sentence for all that is broken."""

import os

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from losiko_torch.errors import InputError
from losiko_torch.io.filters import parse_filter
from losiko_torch.io.read import frames_of, read_structures
from losiko_torch.io.stream import count_of, structures_of
from losiko_torch.systems.names import SOURCE, UNREADABLE

NAMES = ["H2O", "CH4", "NH3", "C2H6", "CO2", "H2"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "many.extxyz"
    ase.io.write(path, [molecule(name) for name in NAMES])
    return path


def frames(source):
    return [int(atoms.info[SOURCE].rpartition("@")[2]) for atoms in read_structures(source)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("@:", [0, 1, 2, 3, 4, 5]),
        ("@:2", [0, 1]),
        ("@::4", [0, 4]),
        ("@5", [5]),
        ("@-1", [5]),
        ("@-2:", [4, 5]),
        ("@1:-2:2", [1, 3]),
        ("@::-2", [5, 3, 1]),
        ("@4:100", [4, 5]),
    ],
)
def test_slices_pick_and_number_frames(file, text, expected):
    assert frames(f"{file}{text}") == expected
    formulas = [atoms.get_chemical_formula() for atoms in read_structures(f"{file}{text}")]
    assert formulas == [molecule(NAMES[k]).get_chemical_formula() for k in expected]


@pytest.mark.parametrize("name", ["a.xyz", "a.traj", "a.db", "a.json", "a.extxyz.gz"])
def test_formats_of_many_frames(tmp_path, name):
    ase.io.write(tmp_path / name, [molecule(each) for each in NAMES])
    assert frames(tmp_path / name) == [0, 1, 2, 3, 4, 5]
    assert frames(f"{tmp_path / name}@1:4:2") == [1, 3]
    assert frames(f"{tmp_path / name}@-1") == [5]


@pytest.mark.parametrize("name", ["POSCAR", "CONTCAR", "si.cif", "si.vasp", "si.json", "si.xsf"])
def test_formats_of_one_crystal(tmp_path, name):
    ase.io.write(tmp_path / name, bulk("Si"))
    (atoms,) = read_structures(tmp_path / name)
    assert atoms.pbc.all()
    assert atoms.info[SOURCE] == f"{name}@0"
    assert len(list(read_structures(f"{tmp_path / name}@-1"))) == 1
    with pytest.raises(InputError, match="no such frame"):
        list(read_structures(f"{tmp_path / name}@3"))


@pytest.mark.parametrize("frame", ["@6", "@-7", "@3:3", "@9:"])
def test_frames_out_of_range(file, frame):
    with pytest.raises(InputError, match=r"many\.extxyz@.*no such frame"):
        list(read_structures(f"{file}{frame}"))


@pytest.mark.parametrize("frame", ["@abc", "@", "@1.5", "@::0", "@1:2:3:4"])
def test_slices_that_are_none(file, frame):
    with pytest.raises(InputError, match="no frame or slice"):
        list(read_structures(f"{file}{frame}"))


def test_file_names_with_an_at_sign(tmp_path):
    folder = tmp_path / "run@3"
    folder.mkdir()
    ase.io.write(folder / "x.xyz", [molecule("H2O")] * 3)
    path = folder / "x@1.xyz"
    os.rename(folder / "x.xyz", path)
    assert frames(path) == [0, 1, 2]
    assert frames(f"{path}@-1") == [2]
    with pytest.raises(InputError, match=r"gone@x\.xyz: no such file"):
        list(read_structures(tmp_path / "gone@x.xyz"))
    with pytest.raises(InputError, match=r"gone\.xyz: no such file"):
        list(read_structures(tmp_path / "gone.xyz@:5"))


def png() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.xyz", b"", "is empty"),
        ("empty.npz", b"", "is empty"),
        ("notes.txt", b"Dear diary,\nno structures today.\n", "not a kind of structure file"),
        ("notes", b"Dear diary,\nno structures today.\n", "not a kind of structure file"),
        ("picture.png", png(), "not a kind of structure file"),
        ("picture.xyz", png(), "not a structure file"),
        ("noise.cif", bytes(range(256)) * 3, ""),
        ("noise.traj", bytes(range(256)) * 3, ""),
        ("noise.db", bytes(range(256)) * 3, ""),
        ("noise.npz", bytes(range(256)) * 3, "npz"),
        ("noise.json", b"{'a': 1", ""),
        ("noise.xyz.gz", bytes(range(256)) * 3, ""),
        ("POSCAR", b"hello\nworld\n", ""),
        ("text.xyz", b"hello\nworld\n", "frame 0 starts with 'hello'"),
        ("huge.xyz", b"99999999999\n\nH 0 0 0\n", "cut short"),
        ("zz.xyz", b"1\n\nZz 0 0 0\n", "frame 0 cannot be read"),
        ("blank.xyz", b"\n\n\n", "no structure"),
    ],
)
def test_files_that_are_no_structures(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: .*{said}") as caught:
        list(read_structures(path))
    assert "\n" not in str(caught.value)


def test_missing_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"no\.xyz: no such file"):
        list(read_structures(tmp_path / "no.xyz"))
    with pytest.raises(InputError, match="no structure in it"):
        list(read_structures(tmp_path))


def test_a_folder_is_its_files_in_order(tmp_path):
    ase.io.write(tmp_path / "b.xyz", [molecule("H2O"), molecule("CH4")])
    ase.io.write(tmp_path / "a.cif", ase.build.bulk("Si"))
    (tmp_path / "notes.txt").write_text("no structures today\n")
    (tmp_path / ".hidden.xyz").write_text("broken")
    (tmp_path / "within").mkdir()
    with pytest.warns(UserWarning, match=r"passed over, as ASE reads no such files: notes\.txt"):
        found = list(read_structures(tmp_path))
    assert [str(atoms.symbols) for atoms in found] == ["Si2", "OH2", "CH4"]
    name = tmp_path.name
    sources = [f"{name}/a.cif@0", f"{name}/b.xyz@0", f"{name}/b.xyz@1"]
    assert [atoms.info[SOURCE] for atoms in found] == sources
    (last,) = frames_of(f"{tmp_path}@2")
    assert str(last.symbols) == "CH4"


def test_a_broken_file_of_a_folder_stands_among_the_others(tmp_path):
    ase.io.write(tmp_path / "a.xyz", molecule("H2O"))
    (tmp_path / "b.xyz").write_text("1\n\nZz 0 0 0\n")
    (tmp_path / "c.cif").write_bytes(bytes(range(256)))
    ase.io.write(tmp_path / "d.xyz", molecule("CH4"))
    found = list(frames_of(tmp_path))
    assert [len(atoms) for atoms in found] == [3, 0, 0, 5]
    assert "cannot be read" in found[1].info[UNREADABLE]
    assert found[2].info[SOURCE] == f"{tmp_path.name}/c.cif"
    with pytest.raises(InputError, match="frame 0 cannot be read"):
        list(read_structures(tmp_path))


def test_broken_frames_stand_among_the_others(file):
    lines = file.read_text().splitlines(keepends=True)
    lines[9] = "H 0 0 what\n"
    file.write_text("".join(lines[:-1]))
    found = list(frames_of(file))
    assert [UNREADABLE in atoms.info for atoms in found] == [False, True, *[False] * 3, True]
    assert [atoms.info[SOURCE] for atoms in found] == [f"many.extxyz@{k}" for k in range(6)]
    assert "frame 1 cannot be read" in found[1].info[UNREADABLE]
    assert "frame 5 is cut short (1 of 2 atoms)" in found[5].info[UNREADABLE]


def test_named_files_are_streamed(file, tmp_path):
    ase.io.write(tmp_path / "one.xyz", molecule("H2O"))
    names = [f"{file}@:2", tmp_path / "one.xyz"]
    read = list(structures_of(names))
    assert [atoms.info[SOURCE] for atoms in read] == ["many.extxyz@0", "many.extxyz@1", "one.xyz@0"]
    (tmp_path / "bad.xyz").write_text("1\n\nZz 0 0 0\n")
    with pytest.raises(InputError, match=r"bad\.xyz: frame 0 cannot be read"):
        structures_of([*names, tmp_path / "bad.xyz"])
    atoms = molecule("H2O")
    assert structures_of(atoms) is atoms


def test_structures_are_counted_where_that_is_quick(file, tmp_path):
    path = archive(tmp_path / "q.npz")
    sources = [file, f"{file}@:2", f"{path}@::2", f"{path}@-1"]
    assert count_of(sources) == len(list(structures_of(sources))) == 12
    ase.io.write(tmp_path / "a.cif", bulk("Si"))
    assert count_of([*sources, tmp_path / "a.cif"]) is None
    assert count_of([tmp_path / "gone.xyz"]) is None


def test_lmdb(tmp_path):
    pytest.importorskip("ase_db_backends")
    path = tmp_path / "many.aselmdb"
    with ase.db.connect(path, type="aselmdb") as rows:
        for name in ("H2O", "CH4"):
            rows.write(molecule(name), energy_like=1.5)
    found = list(read_structures(path))
    assert [str(atoms.symbols) for atoms in found] == ["OH2", "CH4"]
    assert found[0].info["energy_like"] == 1.5


def test_truncated_extxyz(file):
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]))
    with pytest.raises(InputError, match=r"many\.extxyz: frame 5 is cut short \(1 of 2 atoms\)"):
        list(read_structures(file))
    # Frames before the damage can still be read.
    assert frames(f"{file}@:5") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("line", "new", "said"),
    [
        (9, "H 0 0 what\n", "frame 1 cannot be read"),
        (9, "H 0 0\n", "frame 1 cannot be read"),
        (9, "", "frame [12] "),
        (5, "four\n", "frame 1 starts with 'four'"),
        (5, "3\n", "frame 2 starts with 'H "),
    ],
)
def test_broken_frame_in_the_middle_is_named(file, line, new, said):
    lines = file.read_text().splitlines(keepends=True)
    lines[line] = new
    file.write_text("".join(lines))
    with pytest.raises(InputError, match=said):
        list(read_structures(file))


def test_nothing_behind_a_blank_line_is_passed_over(tmp_path):
    path = tmp_path / "blank.xyz"
    path.write_text("1\n\nH 0 0 0\n\n\n1\n\nO 0 0 0\n\n")
    assert [str(atoms.symbols) for atoms in read_structures(path)] == ["H", "O"]


def test_cell_vectors_written_as_atoms(tmp_path):
    path = tmp_path / "vec.xyz"
    cell = "VEC1 3 0 0\nVEC2 0 3 0\nVEC3 0 0 3\n"
    path.write_text(f"1\nfirst\nH 0 0 0\n{cell}1\nsecond\nO 0 0 0\n{cell}")
    structures = list(read_structures(path))
    assert [atoms.cell.volume for atoms in structures] == pytest.approx([27, 27])


def test_empty_and_nan_structures_are_read(tmp_path):
    path = tmp_path / "odd.extxyz"
    atoms = molecule("H2O")
    atoms.positions[1] = np.nan
    ase.io.write(path, [Atoms(), atoms, Atoms()])
    assert [len(each) for each in read_structures(path)] == [0, 3, 0]


def archive(path, **changes):
    molecules = [molecule(name) for name in NAMES]
    lengths = [len(atoms) for atoms in molecules]
    arrays = {
        "id": np.arange(10, 10 + len(NAMES), dtype="int32"),
        "Z": np.concatenate([atoms.numbers for atoms in molecules]).astype("uint8"),
        "R": np.concatenate([atoms.positions for atoms in molecules]).astype("float32"),
        "offsets": np.cumsum([0, *lengths]).astype("int32"),
    }
    arrays |= changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_archive_and_its_slices(tmp_path):
    path = archive(tmp_path / "q.npz")
    structures = list(read_structures(path))
    assert [atoms.info["id"] for atoms in structures] == list(range(10, 16))
    np.testing.assert_allclose(structures[3].positions, molecule("C2H6").positions, atol=1e-6)
    assert frames(f"{path}@:2") == [0, 1]
    assert frames(f"{path}@::4") == [0, 4]
    assert frames(f"{path}@-1") == [5]
    assert frames(f"{path}@5") == [5]
    for wrong in ("@6", "@-7"):
        with pytest.raises(InputError, match="no such frame"):
            list(read_structures(f"{path}{wrong}"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"Z": None}, "lacks"),
        ({"offsets": np.array([0, 3, 2, 24])}, "do not fit"),
        ({"offsets": np.array([0, 3])}, "do not fit"),
        ({"offsets": np.array(["a", "b"])}, "do not fit"),
        ({"R": np.zeros((3, 3))}, "do not fit"),
        ({"id": np.arange(2)}, "do not fit"),
    ],
)
def test_archives_that_are_none(tmp_path, changes, said):
    with pytest.raises(InputError, match=rf"q\.npz: .*{said}"):
        list(read_structures(archive(tmp_path / "q.npz", **changes)))


def test_archive_cut_in_half(tmp_path):
    path = archive(tmp_path / "q.npz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="not a readable npz archive"):
        list(read_structures(path))


@pytest.mark.skipif("LOSIKO_DATA" not in os.environ, reason="LOSIKO_DATA is not set")
def test_real_qm9():
    path = os.path.join(os.environ["LOSIKO_DATA"], "qm9", "qm9.npz")
    (methane,), (last,) = read_structures(f"{path}@0"), read_structures(f"{path}@-1")
    assert str(methane.symbols) == "CH4"
    assert last.info["id"] > 133_000


def test_key_value_pairs_of_an_ase_database(tmp_path):
    with ase.db.connect(tmp_path / "x.db") as rows:
        rows.write(molecule("H2O"), hull=0.1, phase="ice")
    (atoms,) = read_structures(tmp_path / "x.db")
    assert parse_filter("hull<0.2")(atoms)
    assert parse_filter("phase==ice")(atoms)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("hull<0.2", True),
        ("hull <= 0.1", True),
        ("hull>0.2", False),
        ("hull!=0.1", False),
        ("phase==alpha", True),
        ("phase=='alpha'", True),
        ("phase!=alpha", False),
        ("phase==beta", False),
        ("phase!=5", True),
        ("phase<5", False),
        ("missing==1", False),
        ("missing!=1", False),
        ("vector<5", False),
        ("text<5", True),
    ],
)
def test_filters(text, passes):
    info = {"hull": np.float64(0.1), "phase": "alpha", "vector": np.zeros(3), "text": "4"}
    assert parse_filter(text)(Atoms(info=info)) is passes


@pytest.mark.parametrize("text", ["", "hull", "hull=3", "hull<", "<3", "hull<<3", "hull<abc"])
def test_filters_that_are_none(text):
    with pytest.raises(InputError, match="filter"):
        parse_filter(text)
