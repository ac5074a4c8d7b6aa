"""Files as people have them: many records, any encoding, odd names, comments, cells and orders."""

import gzip
import io
import json
import sys

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.io.gromacs import write_gromacs
from ase.io.vasp import write_vasp

from losiko_torch import read_structures
from losiko_torch.errors import InputError, StructureError
from losiko_torch.io.read import frames_of, labels_of
from losiko_torch.io.readers.kinds import kind_of
from losiko_torch.io.stream import streamed
from losiko_torch.systems.names import SOURCE, UNREADABLE
from losiko_torch.systems.validity import check_structure
from losiko_torch.systems.whole import whole_molecules

WATER = "3\n{}\nO 0 0 0.12\nH 0 0.76 -0.47\nH 0 -0.76 -0.47\n"

METHANE_SDF = """methane
  by hand

  5  4  0  0  0  0            999 V2000
    0.0000    0.0000    0.0000 C   0  0  0  0
    0.6291    0.6291    0.6291 H   0  0
   -0.6291   -0.6291    0.6291 H   0  0
    0.6291   -0.6291   -0.6291 H   0  0
   -0.6291    0.6291   -0.6291 H   0  0
  1  2  1  0
  1  3  1  0
  1  4  1  0
  1  5  1  0
M  END
> <energy_kcal>
-12.5

> <id>  (1)
007

$$$$
"""
AMMONIUM_SDF = """ammonium

comment
  5  4  0  0  0  0            999 V2000
    0.0000    0.0000    0.0000 N   0  0
    0.6000    0.6000    0.6000 H   0  0
   -0.6000   -0.6000    0.6000 H   0  0
    0.6000   -0.6000   -0.6000 H   0  0
   -0.6000    0.6000   -0.6000 D   0  0
  1  2  1  0
  1  3  1  0
  1  4  1  0
  1  5  1  0
M  CHG  1   1   1
M  END
$$$$
"""
WATER_V3000 = """water


  0  0  0     0  0            999 V3000
M  V30 BEGIN CTAB
M  V30 COUNTS 3 2 0 0 0
M  V30 BEGIN ATOM
M  V30 1 O 0 0 0.12 0
M  V30 2 H 0 0.76 -0.47 0
M  V30 3 H 0 -0.76 -0.47 0
M  V30 END ATOM
M  V30 BEGIN BOND
M  V30 1 1 1 2
M  V30 2 1 1 3
M  V30 END BOND
M  V30 END CTAB
M  END
> <name of mine>
two
lines

$$$$
"""


def cif(*sites, name="salt", cell=5.64):
    """A block of CIF; a site is its label, element, place and occupancy."""
    lengths = "".join(f"_cell_length_{each} {cell}\n" for each in "abc")
    lengths += "".join(f"_cell_angle_{each} 90\n" for each in ("alpha", "beta", "gamma"))
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    loop = "loop_\n" + "".join(f"_atom_site_{each}\n" for each in columns)
    return f"data_{name}\n{lengths}{loop}" + "".join(f"{site}\n" for site in sites)


ORDERED = ("Na1 Na 0 0 0 1.0", "Cl1 Cl 0.5 0.5 0.5 1")


def atom_line(serial, name, x, y, z, symbol, altloc=" ", record="ATOM  "):
    return (
        f"{record}{serial:5d} {name:<4}{altloc}LIG A   1    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"  1.00  0.00          {symbol:>2}\n"
    )


WATER_PDB = atom_line(1, "O", 0, 0, 0.12, "O") + atom_line(2, "H1", 0, 0.76, -0.47, "H")
WATER_PDB += atom_line(3, "H2", 0, -0.76, -0.47, "H")


def read(tmp_path, name, contents):
    path = tmp_path / name
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return list(frames_of(path))


def refuses(tmp_path, name, contents, said):
    """Read a file strictly, which must fail with a sentence that has these words."""
    path = tmp_path / name
    path.write_text(contents)
    with pytest.raises(InputError, match=said) as caught:
        list(read_structures(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def problems(found):
    return [atoms.info.get(UNREADABLE) for atoms in found]


# --- what a file is


@pytest.mark.parametrize(
    "name",
    ["x_POSCAR.xyz", "x_POSCAR.extxyz", "CONTCAR_x.xyz", "x.POSCAR.extxyz", "OUTCAR.xyz",
     "XDATCAR_1.extxyz", "CONFIG.xyz", "vasp_CENTCAR.xyz", "POSCAR.XYZ", "XDATCAR.xyz.gz",
     "my_vasp_run.xml.xyz", "a.I_info.xyz"],
)  # fmt: skip
def test_a_known_suffix_decides_first(tmp_path, name):
    contents = WATER.format("water").encode()
    contents = gzip.compress(contents) if name.endswith(".gz") else contents
    (atoms,) = read(tmp_path, name, contents)
    assert str(atoms.symbols) == "OH2"
    assert atoms.info[SOURCE] == f"{name}@0"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("POSCAR_x.cif", "cif"),
        ("CONTCAR.pdb", "proteindatabank"),
        ("POSCAR.relaxed", "vasp"),
        ("a.vasp", "vasp"),
        ("CONTCAR.gz", "vasp"),
        ("OUTCAR", "vasp-out"),
        ("POSCAR.json", "json"),
        ("CONTCAR.traj", "traj"),
        ("x_XDATCAR.db", "db"),
        ("a.mol", "sdf"),
    ],
)
def test_kinds_by_name(tmp_path, name, kind):
    assert kind_of(tmp_path / name) == kind


@pytest.mark.parametrize("words", ["Gaussian GAMESS", "Northwest Computational Chemistry Package"])
def test_a_comment_that_looks_like_a_program_changes_nothing(tmp_path, words):
    (atoms,) = read(tmp_path, "a.xyz", WATER.format(f"{words} 1.0"))
    assert atoms.info["comment"] == f"{words} 1.0"


@pytest.mark.parametrize(
    ("contents", "formula"),
    [
        (WATER.format("water"), "H2O"),
        (METHANE_SDF, "CH4"),
        (WATER_PDB, "H2O"),
        (cif(*ORDERED), "ClNa"),
        ("NaCl\n1.0\n5.64 0 0\n0 5.64 0\n0 0 5.64\nNa Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n", "ClNa"),
    ],
)
@pytest.mark.parametrize("name", ["stdin", "geometry.of_mine"])
def test_contents_decide_where_names_say_nothing(tmp_path, contents, formula, name):
    (atoms,) = read(tmp_path, name, contents)
    assert atoms.get_chemical_formula() == formula


# --- encodings


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    ("name", "contents", "formula"),
    [
        ("a.xyz", WATER.format("water"), "H2O"),
        ("a.sdf", METHANE_SDF, "CH4"),
        ("a.pdb", WATER_PDB + "END\n", "H2O"),
        ("a.cif", cif(*ORDERED), "ClNa"),
        ("POSCAR", "x\n1.0\n5 0 0\n0 5 0\n0 0 5\nNa Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n", "ClNa"),
        ("a.gen", "2 C\nNa Cl\n1 1 0 0 0\n2 2 0 0 2.4\n", "ClNa"),
    ],
)
def test_marks_and_wide_characters(tmp_path, encoding, name, contents, formula):
    (atoms,) = read(tmp_path, name, contents.encode(encoding))
    assert atoms.get_chemical_formula() == formula


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("a.xyz", WATER.format("mol\u00e9cule d'eau \u00c5")),
        ("a.sdf", METHANE_SDF.replace("by hand", "m\u00e9thane")),
        ("a.pdb", "REMARK   1 \u00c5ngstr\u00f6m\n" + WATER_PDB),
        ("a.cif", "# \u00c5\n" + cif(*ORDERED)),
        ("POSCAR", "\u00e9t\u00e9\n1.0\n5 0 0\n0 5 0\n0 0 5\nNa\n1\nDirect\n0 0 0\n"),
    ],
)
def test_latin_letters(tmp_path, name, contents):
    (one,) = read(tmp_path, name, contents.encode("latin-1"))
    (other,) = read(tmp_path, name, contents)
    np.testing.assert_array_equal(one.positions, other.positions)
    assert one.info.get("comment") == other.info.get("comment")


def test_old_line_ends(tmp_path):
    for end in ("\r\n", "\r"):
        found = read(tmp_path, "a.xyz", WATER.format("x").replace("\n", end) * 2)
        assert problems(found) == [None, None]


# --- xyz


@pytest.mark.parametrize(
    "comment",
    [
        "energy = -76.4 (Lattice parameter a = 5)",
        "Properties of water",
        "stress=high {unbalanced",
        "Lattice=none Properties=unknown",
        "ethanol's \"geometry",
        "_JSON a=_JSON {",
        "virial=a b c = d",
        "title=\\",
    ],
)
def test_comments_that_look_like_keys(tmp_path, comment):
    (atoms,) = read(tmp_path, "a.xyz", WATER.format(comment))
    assert len(atoms) == 3
    assert UNREADABLE not in atoms.info
    assert not atoms.pbc.any()


@pytest.mark.parametrize(
    "comment",
    ['Lattice="5.6 0 0 0 5.6 0 0', "Properties=species:S:1:pos:R:9", 'Lattice="5 0 0"'],
)
def test_a_broken_description_is_an_error(tmp_path, comment):
    refuses(tmp_path, "a.xyz", WATER.format(comment), "frame 0 cannot be read")


def test_a_plain_comment_is_kept_whole(tmp_path):
    (atoms,) = read(tmp_path, "a.xyz", WATER.format("water from here"))
    assert set(atoms.info) == {"comment", SOURCE}
    assert atoms.info["comment"] == "water from here"
    (atoms,) = read(tmp_path, "a.xyz", WATER.format("name=water charge=0"))
    assert atoms.info["name"] == "water"
    assert atoms.info["charge"] == 0


def test_atomic_numbers_and_further_columns(tmp_path):
    rows = "8 0 0 0.12 -0.8\nH 0 0.76 -0.47 0.4\n1 0 -0.76 -0.47 0.4\n"
    for comment in ("water", "name=water"):
        (atoms,) = read(tmp_path, "a.xyz", f"3\n{comment}\n{rows}")
        assert str(atoms.symbols) == "OH2"
        assert atoms.arrays["columns"].tolist() == [[-0.8], [0.4], [0.4]]
    (atoms,) = read(tmp_path, "a.xyz", "2\nx\nO 0 0 0 OW 1\nH 0 0 1 HW 2\n")
    assert atoms.arrays["columns"].tolist() == [["OW", "1"], ["HW", "2"]]


QM9_TAIL = "1341.307\t1341.3284\t1341.365\nC\tC\t\nInChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4\n"
QM9 = (
    "5\ngdb 1\t157.7118\t157.70997\t157.70699\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641"
    "\t0.044749\t-40.47893\t-40.476062\t-40.475117\t-40.498597\t6.469\t\n"
    "C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689\n"
    "H\t 0.002150416\t-0.0060313176\t 1.9761204*^-3\t 0.133921\n"
    "H\t 1.0117308433\t 1.4637511618\t 0.0002765748\t 0.133922\n"
    "H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923\n"
    "H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923\n" + QM9_TAIL
)


def test_raw_files_of_qm9(tmp_path):
    found = read(tmp_path, "dsgdb9nsd_000001.xyz", QM9 * 2 + WATER.format("x"))
    assert [atoms.get_chemical_formula() for atoms in found] == ["CH4", "CH4", "H2O"]
    (first, *_) = found
    assert first.positions[1, 2] == pytest.approx(0.0019761204)
    assert first.info["id"] == 1
    assert first.info["smiles"] == "C"
    assert first.info["gap"] == 0.5048
    np.testing.assert_allclose(first.info["frequencies"], [1341.307, 1341.3284, 1341.365])
    assert first.arrays["mulliken_charges"][0] == -0.535689


def test_a_file_that_ends_within_a_line(tmp_path):
    rows = "2\nx\nO 0 0 0 -0.5\nH 0 0 0.97"
    refuses(tmp_path, "a.xyz", rows, "frame 0 is cut short .in its last line.")
    assert problems(read(tmp_path, "a.xyz", rows + " 0.5")) == [None]


def test_one_broken_frame_costs_no_other(tmp_path):
    good = WATER.format("good")
    broken = {
        "cut": good.replace("H 0 -0.76 -0.47\n", ""),
        "no count": good.removeprefix("3\n"),
        "one line more": good + "H 1 1 1\n",
        "words": good.replace("0.76", "what"),
        "wrong count": good.replace("3\n", "4\n", 1),
        "junk": "no structure\nat all\n",
    }
    for why, text in broken.items():
        found = read(tmp_path, "a.xyz", good + text + good + good)
        told = problems(found)
        assert told[0] is None, why
        assert told[-2:] == [None, None], why
        assert sum(each is not None for each in told) == 1, why


# --- SDF


def test_every_record_of_an_sdf_file(tmp_path):
    found = read(tmp_path, "a.sdf", METHANE_SDF + AMMONIUM_SDF + METHANE_SDF)
    assert [atoms.get_chemical_formula() for atoms in found] == ["CH4", "H4N", "CH4"]
    methane, ammonium, _ = found
    assert methane.info["name"] == "methane"
    assert methane.info["energy_kcal"] == -12.5
    assert methane.info["id"] == "007"
    assert methane.info["bonds"].tolist() == [[0, k, 1] for k in range(1, 5)]
    assert ammonium.get_initial_charges().tolist() == [1, 0, 0, 0, 0]
    assert methane.positions[1] == pytest.approx([0.6291] * 3)


@pytest.mark.parametrize("name", ["a.sdf", "a.mol", "a.SD", "a.sdf.gz"])
def test_v3000(tmp_path, name):
    pytest.importorskip("rdkit")
    contents = (METHANE_SDF + WATER_V3000).encode()
    found = read(tmp_path, name, gzip.compress(contents) if name.endswith("gz") else contents)
    assert [atoms.get_chemical_formula() for atoms in found] == ["CH4", "H2O"]
    water = found[1]
    assert water.info["name"] == "water"
    assert water.info["name of mine"] == "two\nlines"
    assert water.info["bonds"].tolist() == [[0, 1, 1], [0, 2, 1]]
    assert water.positions[1] == pytest.approx([0, 0.76, -0.47])


def test_v3000_without_rdkit_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    found = read(tmp_path, "a.sdf", METHANE_SDF + WATER_V3000)
    assert problems(found) == [
        None,
        "record 1: V3000, which is read with RDKit: pip install rdkit",
    ]


def test_broken_records(tmp_path):
    damaged = METHANE_SDF.replace("  5  4  0", "  9  4  0")
    found = read(tmp_path, "a.sdf", METHANE_SDF + damaged + METHANE_SDF)
    assert [problem is None for problem in problems(found)] == [True, False, True]
    run_together = METHANE_SDF.replace("$$$$\n", "") + METHANE_SDF
    refuses(tmp_path, "a.sdf", run_together, "record 0: two molecules")
    with pytest.warns(UserWarning, match="may be cut short"):
        read(tmp_path, "a.sdf", METHANE_SDF + METHANE_SDF.replace("$$$$\n", ""))
    assert len(read(tmp_path, "a.mol", METHANE_SDF.partition("> <")[0])) == 1


# --- PDB


def test_the_models_that_are_there(tmp_path):
    model = "MODEL        {}\n" + WATER_PDB + "ENDMDL\n"
    text = model.format(1) + model.format(2)
    for end in ("", "END\n", "MASTER\nEND\n\n"):
        assert problems(read(tmp_path, "a.pdb", text + end)) == [None, None]
    assert problems(read(tmp_path, "a.pdb", WATER_PDB + "END\n" + WATER_PDB)) == [None, None]


def test_the_cell_of_a_pdb_file_holds_for_all_models(tmp_path):
    cell = "CRYST1    9.000    9.000    9.000  90.00  90.00  90.00 P 1           1\n"
    model = "MODEL        1\n" + WATER_PDB + "ENDMDL\n"
    found = read(tmp_path, "a.pdb", cell + model + model + "END\n")
    assert [atoms.pbc.all() for atoms in found] == [True, True]
    assert [atoms.cell.volume for atoms in found] == pytest.approx([729, 729])


@pytest.mark.parametrize("length", ["1.000", "0.000"])
def test_cells_that_stand_for_none(tmp_path, length):
    cell = f"CRYST1    {length}    {length}    {length}  90.00  90.00  90.00 P 1           1\n"
    (atoms,) = read(tmp_path, "a.pdb", cell + WATER_PDB + "END\n")
    assert not atoms.pbc.any()
    assert not atoms.cell.any()
    (atoms,) = read(tmp_path, "a.cif", cif("O1 O 0 0 0.12 1", "H1 H 0 0.76 -0.47 1", cell=1.0))
    assert not atoms.pbc.any()


def test_damaged_models(tmp_path):
    model = "MODEL        1\n" + WATER_PDB + "ENDMDL\n"
    garbled = model.replace("ATOM      2", "ATnM      2")
    found = read(tmp_path, "a.pdb", model + garbled + model)
    assert [problem is None for problem in problems(found)] == [True, False, True]
    assert "begins with 'ATnM'" in found[1].info[UNREADABLE]
    with pytest.warns(UserWarning, match="ends with CRYST1, so that it may be cut short"):
        read(tmp_path, "a.pdb", model + "CRYST1    9.000")
    found = read(tmp_path, "a.pdb", model + model.removesuffix("ENDMDL\n"))
    assert problems(found)[1] == "model 1 is cut short (no ENDMDL)"


def test_alternate_locations_are_disorder(tmp_path):
    text = WATER_PDB + atom_line(4, "O", 0, 0, 3, "O", "A") + atom_line(5, "O", 0, 0, 3.3, "O", "B")
    (atoms,) = read(tmp_path, "a.pdb", text)
    assert "disordered: keep one of the alternate locations A, B" in atoms.info[UNREADABLE]


# --- CIF, POSCAR, GROMACS


@pytest.mark.parametrize(
    ("sites", "ordered"),
    [
        (ORDERED, True),
        (("Na1 Na 0 0 0 0.9995", "Cl1 Cl 0.5 0.5 0.5 1.0(2)"), True),
        (("Na1 Na 0 0 0 0.6", "K1 K 0 0 0 0.4", "Cl1 Cl 0.5 0.5 0.5 1"), False),
        (("Na1 Na 0 0 0 0.3", "Cl1 Cl 0.5 0.5 0.5 1"), False),
        (("Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 0.98"), False),
        (("Na1 Na 0 0 0 ?", "Cl1 Cl 0.5 0.5 0.5 1"), False),
    ],
)
def test_partly_occupied_sites(tmp_path, sites, ordered):
    (atoms,) = read(tmp_path, "a.cif", cif(*sites))
    assert len(atoms) == 2
    # The same holds for atoms that ASE read.
    for each in (atoms, ase.io.read(tmp_path / "a.cif")):
        if ordered:
            check_structure(each)
        else:
            with pytest.raises(StructureError, match="it is disordered: give an ordered approx"):
                check_structure(each)


def test_blocks_of_a_cif_file(tmp_path):
    text = "data_global\n_publ_section_title\n;\ndata_no\n;\n"
    broken = cif(*ORDERED, name="b").replace("0.5 0.5 0.5", "0.5 0.5")
    found = read(tmp_path, "a.cif", text + cif(*ORDERED) + broken + cif(*ORDERED, name="c"))
    assert [problem is None for problem in problems(found)] == [True, False, True]
    refuses(
        tmp_path,
        "a.cif",
        "data_x\nloop_\n_atom_site.type_symbol\n_atom_site.Cartn_x\nC 1\n",
        "mmCIF, which ASE does not read",
    )


def test_structures_behind_each_other_in_a_poscar_file(tmp_path):
    text = io.StringIO()
    salt = bulk("NaCl", "rocksalt", 5.64)
    salt.set_constraint(FixAtoms([0]))
    moving = bulk("Si")
    moving.set_velocities(np.ones((2, 3)))
    for atoms in (salt, moving, salt):
        write_vasp(text, atoms)
    found = read(tmp_path, "POSCAR", text.getvalue())
    assert [str(atoms.symbols) for atoms in found] == ["NaCl", "Si2", "NaCl"]
    assert found[1].get_velocities() == pytest.approx(1.0)
    refuses(
        tmp_path,
        "CONTCAR",
        "x\n1\n5 0 0\n0 5 0\n0 0 5\nNa Cl\n1 1\nDirect\n0 0 0\n",
        r"cut short \(1 of 2 atoms\)",
    )
    refuses(
        tmp_path,
        "CONTCAR",
        "x\n1\n5 0 0\n0 5 0\n0 0 5\nNa\n99999999999\nDirect\n0 0 0\n",
        r"of 99999999999 atoms",
    )


def test_frames_of_a_gromacs_file(tmp_path):
    text = io.StringIO()
    water = molecule("H2O", cell=[10, 10, 10], pbc=True)
    write_gromacs(text, water)
    frame = text.getvalue()
    box = frame.splitlines()[-1]
    found = read(tmp_path, "a.gro", frame + frame.replace(box, "   0.0 0.0 0.0") + frame)
    assert [atoms.pbc.all() for atoms in found] == [True, False, True]
    assert {str(atoms.symbols) for atoms in found} == {"OH2"}
    refuses(tmp_path, "a.gro", "\n".join(frame.splitlines()[:-1]) + "\n", "cut short")


# --- JSON of pymatgen


def test_structures_of_pymatgen(tmp_path):
    core = pytest.importorskip("pymatgen.core")
    lattice = core.Lattice.cubic(5.43)
    places = [[0, 0, 0], [0.25, 0.25, 0.25]]
    silicon = core.Structure(lattice, ["Si", "Si"], places, properties={"source": "mine"})
    mixed = core.Structure(lattice, [{"Si": 0.5, "Ge": 0.5}, "Si"], places)
    water = core.Molecule(["O", "H", "H"], molecule("H2O").positions)
    document = {"material_id": "mp-149", "energy_above_hull": 0.0, "structure": silicon.as_dict()}
    contents = [document, mixed.as_dict(), {"of": {"many": [water.as_dict()]}}, {"sites": [1]}]
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        text = json.dumps(contents).encode(encoding)
        first, second, third, last = read(tmp_path, "a.json", text)
        assert first.info["material_id"] == "mp-149"
        assert first.info["energy_above_hull"] == 0.0
        assert first.info["source"] == "mine"
        assert first.cell.volume == pytest.approx(5.43**3)
        assert second.info[UNREADABLE] == "it is disordered: give an ordered approximation of it"
        assert len(second) == 2
        assert str(third.symbols) == "OH2"
        assert not third.pbc.any()
        assert "structure 3 cannot be read" in last.info[UNREADABLE]
    (alone,) = read(tmp_path, "b.json", json.dumps(silicon.as_dict()))
    assert str(alone.symbols) == "Si2"
    refuses(tmp_path, "c.json", '{"a": [1, 2]}', "no structure in it")


def test_pymatgen_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymatgen.core", None)
    refuses(
        tmp_path,
        "a.json",
        '{"lattice": {}, "sites": [1]}',
        "structures of pymatgen: pip install pymatgen",
    )


# --- names


def test_files_of_one_name_are_told_apart(tmp_path):
    files = []
    for folder in ("a/c1", "b/c1", "a/c2"):
        (tmp_path / folder).mkdir(parents=True)
        files.append(tmp_path / folder / "geo.xyz")
        files[-1].write_text(WATER.format("x") * 2)
    other = tmp_path / "other.xyz"
    other.write_text(WATER.format("x"))
    sources = [f"{files[0]}@0", f"{files[0]}@1", files[1], files[2], other]
    labels = ["a/c1/geo.xyz", "a/c1/geo.xyz", "b/c1/geo.xyz", "c2/geo.xyz", "other.xyz"]
    assert labels_of(sources) == labels
    names = [atoms.info[SOURCE] for atoms in streamed(sources)]
    assert names == [
        *("a/c1/geo.xyz@0", "a/c1/geo.xyz@1", "b/c1/geo.xyz@0", "b/c1/geo.xyz@1"),
        *("c2/geo.xyz@0", "c2/geo.xyz@1", "other.xyz@0"),
    ]
    assert len(set(names)) == len(names)
    folders = [atoms.info[SOURCE] for atoms in streamed([tmp_path / "a/c1", tmp_path / "b/c1"])]
    assert folders[::2] == ["a/c1/geo.xyz@0", "b/c1/geo.xyz@0"]


def test_names_that_are_no_text(tmp_path):
    path = bytes(tmp_path) + b"/caf\xe9.xyz"
    with open(path, "w") as file:
        file.write(WATER.format("x"))
    (atoms,) = read_structures(tmp_path)
    assert atoms.info[SOURCE] == rf"{tmp_path.name}/caf\xe9.xyz@0"


def test_numbers_of_no_element(tmp_path):
    np.savez(
        tmp_path / "a.npz", Z=[1, 200, 1], R=np.arange(9.0).reshape(3, 3), offsets=[0, 1, 2, 3]
    )
    found = list(frames_of(tmp_path / "a.npz"))
    assert problems(found) == [
        None,
        "atom 0 (atomic number 200) is not a chemical element",
        None,
    ]
    assert isinstance(found[1], Atoms)


@pytest.mark.parametrize(
    ("length", "said"),
    [(1e308, "an entry beyond 10000 A"), (2e4, "an entry beyond"), (0.01, "a vector of 0.01 A")],
)
def test_cells_that_no_list_of_neighbors_can_span(length, said):
    atoms = molecule("H2O", cell=[9, 9, length], pbc=True)
    with pytest.raises(StructureError, match=said):
        check_structure(atoms)
    assert len(whole_molecules(atoms)) == 3
