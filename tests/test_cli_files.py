"""Files from the command line: broken frames stop nothing, pipes are read, outputs are written."""

import importlib.util
import io
import sys
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule

from losiko_torch import SOAP, EnvironmentDatabase, read_structures

TINY = ("--n-max", "2", "--l-max", "1")
FEW = ("--targets", "nearest", "--max-steps", "2")
LONG = ("--max-steps", "20", "--fmax", "1e-6")
MUTATED = Path(__file__).parent.parent / "benchmarks" / "mutated_files.py"


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("databases")
    tiny = {"n_max": 2, "l_max": 1, "sigma": 0.35}
    molecules = [molecule(name) for name in ("H2O", "CH4", "CH3OH")]
    soap = SOAP(species=["H", "C", "O"], r_cut=3.0, **tiny)
    EnvironmentDatabase.build(molecules, soap).save(folder / "molecules.losiko")
    soap = SOAP(species=["Na", "Cl"], r_cut=3.5, smooth_width=0.5, periodic=True, **tiny)
    EnvironmentDatabase.build([salt(seed) for seed in range(4)], soap).save(folder / "salt.losiko")
    return folder


@pytest.fixture
def losiko(databases, tmp_path, monkeypatch, command):
    """Runs the program in a folder of its own, in which the databases are."""
    monkeypatch.chdir(tmp_path)
    for each in databases.iterdir():
        (tmp_path / each.name).symlink_to(each)
    return command


def salt(seed=0):
    crystal = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    crystal.rattle(0.05, seed=seed)
    return crystal


def relax(losiko, database, *arguments):
    return losiko("relax", "-d", f"{database}.losiko", *FEW, *arguments)


WATER = "3\nwater\nO 0 0 0.12\nH 0 0.76 -0.47\nH 0 -0.76 -0.47\n"
BROKEN = WATER + "3\nbroken\nO 0 0 what\nH 0 0 1\nH 1 0 0\n" + WATER


def test_one_broken_frame_stops_no_command(losiko):
    Path("in.xyz").write_text(BROKEN)
    told = "in.xyz@1: frame 1 cannot be read"
    assert losiko("score", "in.xyz", "-d", "molecules.losiko") == 1
    assert told in losiko.out
    assert "2 of 3 structures judged" in losiko.out
    assert relax(losiko, "molecules", "in.xyz", "-o", "out.xyz") == 1
    assert told in losiko.out
    assert losiko("map", "in.xyz", "-d", "molecules.losiko", "-o", "map.png") == 1
    assert told in losiko.out
    assert losiko("build", "in.xyz", "-o", "new.losiko", *TINY) == 1
    assert told in losiko.out
    assert len(EnvironmentDatabase.load("new.losiko").structures) == 2
    assert losiko("build", "in.xyz", "-o", "other.losiko", *TINY, "--where", "comment==water") == 1
    assert told in losiko.out


def test_a_strict_build_refuses(losiko):
    Path("in.xyz").write_text(BROKEN)
    assert losiko("build", "in.xyz", "-o", "new.losiko", *TINY, "--strict") == 2
    assert "error: in.xyz@1: frame 1 cannot be read" in losiko.err
    ase.io.write("spot.xyz", [molecule("H2O"), molecule("H2O")])
    Path("spot.xyz").write_text(WATER + WATER.replace("0 0.76 -0.47", "0 0 0.12"))
    assert losiko("build", "spot.xyz", "-o", "new.losiko", *TINY, "--strict") == 2
    assert "error: spot.xyz@1: atoms 0 and 1 lie within 0.1 A" in losiko.err
    assert not Path("new.losiko").exists()
    assert losiko("build", "in.xyz@::2", "-o", "new.losiko", *TINY, "--strict") == 0


@pytest.mark.parametrize("binary", [True, False])
def test_a_pipe(losiko, monkeypatch, binary):
    def give(text):
        stdin = io.TextIOWrapper(io.BytesIO(text.encode())) if binary else io.StringIO(text)
        monkeypatch.setattr(sys, "stdin", stdin)

    give(WATER * 3)
    assert relax(losiko, "molecules", "-", "-o", "out.xyz") == 0
    sources = [atoms.info["losiko_source"] for atoms in read_structures("out.xyz")]
    assert sources == ["stdin@0", "stdin@1", "stdin@2"]
    give(WATER * 3)
    assert losiko("score", "-d", "molecules.losiko", "--", "-@1:") == 0
    assert "stdin@2" in losiko.out
    assert "stdin@0" not in losiko.out
    give("")
    assert losiko("score", "-", "-d", "molecules.losiko") == 2
    assert "stdin: the file is empty" in losiko.err
    give(WATER)
    assert relax(losiko, "molecules", "-", "--run", "run") == 2
    assert "what comes by a pipe" in losiko.err


def test_disordered_crystals_fail_alone(losiko):
    cell = "".join(f"_cell_length_{each} 4.0\n" for each in "abc")
    cell += "".join(f"_cell_angle_{each} 90\n" for each in ("alpha", "beta", "gamma"))
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    loop = "loop_\n" + "".join(f"_atom_site_{each}\n" for each in columns)
    block = f"data_{{}}\n{cell}{loop}Na1 Na 0 0 0 {{}}\nCl1 Cl 0.5 0.5 0.5 1\n"
    Path("in.cif").write_text(block.format("a", 1) + block.format("b", 0.5) + block.format("c", 1))
    why = "in.cif@1: it is disordered: give an ordered approximation of it (a site holds Na 0.5)"
    assert relax(losiko, "salt", "in.cif", "-o", "out.db") == 1
    assert why in losiko.out
    with ase.db.connect("out.db") as rows:
        failed = [row.losiko_reason.startswith("failed: it is disordered") for row in rows.select()]
    assert failed == [False, True, False]
    assert losiko("build", "in.cif", "-o", "new.losiko", *TINY) == 1
    assert why in losiko.out
    assert len(EnvironmentDatabase.load("new.losiko").structures) == 2


def test_partly_selective_dynamics(losiko):
    flags = ["T T T", "F F F", "T T F", "F F T", *["T T T"] * 4]
    crystal = salt(7)
    places = crystal.get_scaled_positions()
    rows = [
        f"{x:.6f} {y:.6f} {z:.6f} {flag}" for (x, y, z), flag in zip(places, flags, strict=True)
    ]
    head = "salt\n1.0\n5.64 0 0\n0 5.64 0\n0 0 5.64\n"
    head += f"{' '.join(crystal.symbols)}\n{' 1' * 8}\nSelective dynamics\nDirect\n"
    Path("POSCAR").write_text(head + "\n".join(rows) + "\n")
    assert relax(losiko, "salt", "POSCAR", "-o", "out.extxyz", *LONG) == 0, losiko.err
    assert losiko.err == ""
    (start,), (end,) = read_structures("POSCAR"), read_structures("out.extxyz")
    still = np.abs(end.positions - start.positions) < 1e-6
    assert still[1:4].tolist() == [[True] * 3, [False, False, True], [True, True, False]]
    Path("POSCAR").write_text(head.replace("0 0 5.64", "2 0 5.64") + "\n".join(rows) + "\n")
    assert relax(losiko, "salt", "POSCAR", "-o", "skewed.extxyz") == 1
    assert "atom 3 is fixed along cell vectors that are not along x, y or z" in losiko.out


def test_a_molecule_in_a_box(losiko):
    boxed = molecule("CH3OH")
    boxed.set_cell([10, 10, 10])
    boxed.pbc = True
    boxed.wrap()
    ase.io.write("in.extxyz", boxed)
    assert relax(losiko, "molecules", "in.extxyz", "-o", "out.xyz") == 1
    assert "take it for a molecule by --no-pbc" in losiko.out
    assert relax(losiko, "molecules", "in.extxyz", "-o", "whole.xyz", "--no-pbc") == 0
    (whole,) = read_structures("whole.xyz")
    assert whole.get_all_distances().max() < 4


def test_outputs_of_every_kind(losiko):
    crystal = salt(7)
    ase.io.write("in.extxyz", [crystal, crystal])
    for name in ("out.cif", "out.vasp", "out.pdb", "out.traj", "out.json", "out.sdf"):
        assert relax(losiko, "salt", "in.extxyz", "-o", name) == 0, losiko.err
        assert f"written to {name}" in losiko.out
        assert [len(atoms) for atoms in read_structures(name)] == [8, 8]
    assert relax(losiko, "salt", "in.extxyz@0", "-o", "POSCAR") == 0
    assert Path("POSCAR").is_file()
    # The same for a run that has finished.
    for name in ("run.cif", "run.json"):
        assert relax(losiko, "salt", "in.extxyz", "--run", "run", "-o", name) == 0
        assert len(list(read_structures(name))) == 2


def test_what_an_output_cannot_hold_is_kept_and_makes_the_status_1(losiko):
    Path("in.xyz").write_text(WATER * 2)
    assert relax(losiko, "molecules", "in.xyz", "-o", "out.vasp") == 1
    assert "2 of the structures cannot be written as vasp" in losiko.err
    assert "all results are in" in losiko.err
    assert len(list(read_structures("out.kept.extxyz"))) == 2
    assert not Path("out.vasp").exists()


def test_damaged_files_end_well():
    """Few of the files of the benchmark, of every format and by every kind of damage."""
    spec = importlib.util.spec_from_file_location("mutated_files", MUTATED)
    mutated_files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutated_files)
    counts, bad = mutated_files.tried(2 * len(mutated_files.FORMATS), seed=1)
    assert bad == []
    assert sum(counts.values()) == 2 * len(mutated_files.FORMATS)
