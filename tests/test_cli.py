"""The command line: every command, its exit status, and every way in which input can be bad."""

import json
import os
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms, FixBondLength

from losiko_torch import SOAP, EnvironmentDatabase, read_structures, relax, score
from losiko_torch.cli import main
from losiko_torch.io.read import frames_of
from losiko_torch.systems.names import UNREADABLE

TINY = ["--n-max", "3", "--l-max", "2"]
GOOD = ["CH3CH2OH", "CH4", "H2O", "CH3OCH3", "C2H6", "CO2"]


class Program:
    """Runs the command line in a folder of its own and keeps what it printed."""

    def __init__(self, folder, capsys):
        self.folder, self.capsys = folder, capsys

    def __call__(self, *arguments):
        with pytest.raises(SystemExit) as end:
            main([str(each) for each in arguments])
        self.out, self.err = self.capsys.readouterr()
        return end.value.code

    def refuses(self, *arguments):
        """Run the program; it must exit with 2 and write nothing. Return its single sentence."""
        before = contents(self.folder)
        assert self(*arguments) == 2, self.out + self.err
        assert self.out == ""
        assert contents(self.folder) == before
        first, *rest = self.err.splitlines()
        assert first.startswith("losiko: error: ")
        assert all(line.startswith("Try ") for line in rest)
        return first.removeprefix("losiko: error: ")


def contents(folder):
    return {
        path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def losiko(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Program(tmp_path, capsys)


@pytest.fixture(scope="module")
def tiny_database(tmp_path_factory):
    path = tmp_path_factory.mktemp("database") / "tiny.losiko"
    soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=3, l_max=2, sigma=0.3)
    EnvironmentDatabase.build([molecule(name) for name in GOOD], soap).save(path)
    return path


def distorted(name, seed=1):
    atoms = molecule(name)
    atoms.rattle(0.05, seed=seed)
    return atoms


def bad_structures():
    """Structures of every kind that fails, each with a part of the reason."""
    together, nan = molecule("H2O"), molecule("CH4")
    together.positions[1] = together.positions[0]
    nan.positions[0] = np.nan
    return [
        (together, "atoms 0 and 1 lie within 0.1 A"),
        (nan, "atom 0 has a coordinate that is not a finite number"),
        (molecule("SiH4"), "does not know Si"),
        (Atoms("C", cell=[3, 3, 0], pbc=True), "span no volume"),
        (Atoms("C", pbc=True), "span no volume"),
        (bulk("C"), "periodic"),
        (Atoms(), "no atoms"),
    ]


@pytest.fixture
def mixed(tmp_path):
    """Failures at the start, in the middle and at the end."""
    bad = [atoms for atoms, _ in bad_structures()]
    structures = [bad[0], distorted("CH3CH2OH"), *bad[1:4], distorted("CH4"), *bad[4:]]
    path = tmp_path / "mixed.extxyz"
    ase.io.write(path, structures)
    return path, structures


# --- relax


def test_relax(losiko, tiny_database):
    structures = [distorted("CH3CH2OH"), distorted("CH3OCH3")]
    structures[0].info["name"] = "ethanol"
    structures[0].set_constraint(FixAtoms([0, 1]))
    ase.io.write("in.extxyz", structures)
    status = losiko(
        *("relax", "in.extxyz", "-d", tiny_database, "-o", "out.extxyz"),
        *("--targets", "nearest", "--dtype", "float64"),
    )
    assert status == 0, losiko.err
    assert losiko.err == ""
    back = ase.io.read("out.extxyz", index=":")
    database = EnvironmentDatabase.load(tiny_database)
    same = relax(list(read_structures("in.extxyz")), database, targets="nearest", dtype="float64")
    for atoms, one in zip(back, same, strict=True):
        np.testing.assert_allclose(atoms.positions, one.atoms.positions, atol=1e-6)
        assert atoms.info["losiko_loss"] == pytest.approx(one.loss)
        assert atoms.info["losiko_start_loss"] == pytest.approx(one.start_loss)
        assert atoms.info["losiko_steps"] == one.n_steps
        assert atoms.info["losiko_reason"] == one.reason
        assert atoms.info["losiko_converged"] == one.converged
        np.testing.assert_allclose(atoms.arrays["losiko_distance"], one.distances, atol=1e-7)
    assert back[0].info["name"] == "ethanol"
    assert [atoms.info["losiko_source"] for atoms in back] == ["in.extxyz@0", "in.extxyz@1"]
    np.testing.assert_allclose(back[0].positions[:2], structures[0].positions[:2], atol=1e-7)
    assert list(back[0].constraints[0].index) == [0, 1]
    assert "in.extxyz@1" in losiko.out
    assert "2 of 2 structures relaxed" in losiko.out
    assert "written to out.extxyz" in losiko.out


def test_output_can_be_input_again(losiko, tiny_database):
    ase.io.write("in.xyz", distorted("H2O"))
    assert losiko("relax", "in.xyz", "-d", tiny_database, "-o", "one.xyz") == 0
    assert losiko("relax", "one.xyz", "-d", tiny_database, "-o", "two.xyz") == 0
    one, two = ase.io.read("one.xyz"), ase.io.read("two.xyz")
    assert two.info["losiko_start_loss"] == pytest.approx(one.info["losiko_loss"], abs=1e-6)
    assert set(one.info) == set(two.info)
    assert set(one.arrays) == set(two.arrays)


def test_failures_keep_order_and_count(losiko, tiny_database, mixed):
    path, structures = mixed
    assert losiko("relax", path, "-d", tiny_database, "-o", "out.xyz", "--targets", "nearest") == 1
    back = ase.io.read("out.xyz", index=":")
    assert len(back) == len(structures)
    for atoms, old in zip(back, structures, strict=True):
        np.testing.assert_array_equal(atoms.numbers, old.numbers)
        np.testing.assert_array_equal(atoms.pbc, old.pbc)
        np.testing.assert_allclose(atoms.cell.array, old.cell.array)
        if atoms.info["losiko_reason"].startswith("failed: "):
            np.testing.assert_allclose(atoms.positions, old.positions, atol=1e-7)
            assert np.isnan(atoms.info["losiko_loss"])
            assert not atoms.info["losiko_converged"]
    reasons = [atoms.info["losiko_reason"] for atoms in back]
    assert [reason.startswith("failed") for reason in reasons] == [
        k not in (1, 5) for k in range(9)
    ]
    failures = [reason for reason in reasons if reason.startswith("failed")]
    for reason, (_, part) in zip(failures, bad_structures(), strict=True):
        assert part in reason
        assert part in losiko.out
    assert "2 of 9 structures relaxed" in losiko.out
    assert "7 failed" in losiko.out


def test_step_limit_is_seen_and_is_no_failure(losiko, tiny_database):
    ase.io.write("in.xyz", distorted("CH3CH2OH"))
    arguments = ("relax", "in.xyz", "-d", tiny_database, "-o", "out.xyz", "--max-steps", 2)
    assert losiko(*arguments, "--fmax", "1e-9") == 0
    assert "step limit" in losiko.out
    assert "0 converged, 1 at the step limit, 0 failed; median 2 steps" in losiko.out
    assert ase.io.read("out.xyz").info["losiko_reason"] == "max_steps"


def test_nelder_mead(losiko, tiny_database):
    ase.io.write("in.xyz", distorted("H2O"))
    arguments = ("relax", "in.xyz", "-d", tiny_database, "-o", "out.xyz", "--force")
    arguments = (*arguments, "--targets", "nearest", "--optimizer", "nelder-mead")
    assert losiko(*arguments, "--max-steps", 50) == 0
    info = ase.io.read("out.xyz").info
    assert info["losiko_loss"] < info["losiko_start_loss"]
    assert "fmax does not apply" in losiko.refuses(*arguments, "--fmax", 1)


def test_many_structures_show_the_worst(losiko, tiny_database):
    structures = [distorted("H2O", seed) for seed in range(40)]
    structures[30] = molecule("SiH4")
    ase.io.write("in.xyz", structures)
    arguments = ("relax", "in.xyz", "-d", tiny_database, "-o", "out.xyz", "--targets", "nearest")
    assert losiko(*arguments) == 1
    assert "20 of 40 structures, the worst first" in losiko.out
    rows = [line for line in losiko.out.splitlines() if line.startswith(" in.xyz@")]
    assert len(rows) == 20
    assert "in.xyz@30" in rows[0]
    assert max(map(len, losiko.out.splitlines())) < 200


def test_long_lines_are_not_wrapped(losiko, tiny_database):
    name = "a_rather_long_name_" * 6 + ".xyz"
    ase.io.write(name, [distorted("H2O"), molecule("SiH4")])
    assert losiko("relax", name, "-d", tiny_database, "-o", "out.xyz") == 1
    (row,) = [line for line in losiko.out.splitlines() if f"{name}@0" in line]
    assert "H2O" in row
    assert f"  {name}@1: the descriptor does not know Si (its species are H, C, O)" in losiko.out


# --- outputs


def test_existing_output_needs_force(losiko, tiny_database):
    ase.io.write("in.xyz", distorted("H2O"))
    (losiko.folder / "out.xyz").write_text("old")
    arguments = ("relax", "in.xyz", "-d", tiny_database, "-o", "out.xyz")
    assert "out.xyz: exists already" in losiko.refuses(*arguments)
    assert losiko(*arguments, "--force") == 0
    assert ase.io.read("out.xyz").info["losiko_source"] == "in.xyz@0"
    arguments = ("build", "in.xyz", "-o", "out.xyz", *TINY)
    assert "out.xyz: exists already" in losiko.refuses(*arguments)
    assert losiko(*arguments, "--force") == 0
    assert losiko("info", "out.xyz") == 0


@pytest.mark.parametrize("source", ["in.xyz", "in.xyz@:1", "link.xyz", "./in.xyz@-1"])
@pytest.mark.parametrize("output", ["in.xyz", "link.xyz", "hard.xyz"])
def test_input_is_never_overwritten(losiko, tiny_database, source, output):
    ase.io.write("in.xyz", distorted("H2O"))
    (losiko.folder / "link.xyz").symlink_to("in.xyz")
    (losiko.folder / "hard.xyz").hardlink_to("in.xyz")
    for force in ([], ["--force"]):
        arguments = ("relax", source, "-d", tiny_database, "-o", output, *force)
        assert "no input is ever overwritten" in losiko.refuses(*arguments)
        arguments = ("build", source, "-o", output, *TINY, *force)
        assert "no input is ever overwritten" in losiko.refuses(*arguments)


def test_database_is_never_overwritten(losiko, tiny_database):
    ase.io.write("in.xyz", distorted("H2O"))
    (losiko.folder / "out.xyz").symlink_to(tiny_database)
    arguments = ("relax", "in.xyz", "-d", tiny_database, "-o", "out.xyz", "--force")
    assert "ever overwritten" in losiko.refuses(*arguments)


@pytest.mark.parametrize("output", ["missing/out.xyz", "in.xyz/out.xyz", "folder.xyz", "out.png"])
def test_outputs_that_cannot_be(losiko, tiny_database, output):
    ase.io.write("in.xyz", distorted("H2O"))
    (losiko.folder / "folder.xyz").mkdir()
    assert output in losiko.refuses("relax", "in.xyz", "-d", tiny_database, "-o", output)
    if output != "out.png":
        assert output in losiko.refuses("build", "in.xyz", "-o", output, *TINY)


def test_output_is_checked_before_the_work(losiko, tiny_database, monkeypatch):
    ase.io.write("in.xyz", distorted("H2O"))

    def never(*_, **__):
        raise AssertionError("worked in vain")

    monkeypatch.setattr("losiko_torch.cli.relax.check_sources", never)
    monkeypatch.setattr("losiko_torch.cli.relax.relax_into_file", never)
    losiko.refuses("relax", "in.xyz", "-d", tiny_database, "-o", "missing/out.xyz")


def test_full_disk(losiko, tiny_database):
    ase.io.write("in.xyz", [distorted("H2O", seed) for seed in range(60)])
    before = contents(losiko.folder)
    code = f"""
import resource, signal, sys
from losiko_torch.cli import main
from losiko_torch.io.read import frames_of
from losiko_torch.systems.names import UNREADABLE
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
for command in (["relax", "in.xyz", "-d", {str(tiny_database)!r}, "-o", "out.xyz"],
                ["build", "in.xyz", "-o", "out.losiko"]):
    try:
        main(command)
    except SystemExit as end:
        assert end.code == 2, end.code
sys.exit(77)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 77, done.stderr
    assert done.stdout == ""
    said = "out.xyz: cannot be written (File too large): what was written until then is"
    assert f"losiko: error: {said}" in done.stderr
    assert "losiko: error: out.losiko: cannot be written" in done.stderr
    # What was relaxed until then is not lost.
    (kept,) = contents(losiko.folder).keys() - before
    assert kept.name == "out.part.xyz"
    assert f"{kept}\n" in done.stderr
    whole = [atoms for atoms in frames_of(kept) if UNREADABLE not in atoms.info]
    assert len(whole) > 5
    assert {atoms.info["losiko_reason"] for atoms in whole} <= {"converged", "max_steps"}
    kept.unlink()
    assert contents(losiko.folder) == before


def test_interrupt(losiko, tiny_database, monkeypatch):
    ase.io.write("in.xyz", distorted("H2O"))
    before = contents(losiko.folder)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("losiko_torch.relaxation.relaxer.run_stages", interrupted)
    assert losiko("relax", "in.xyz", "-d", tiny_database, "-o", "out.xyz") == 130
    assert losiko.err == "losiko: error: interrupted\n"
    assert contents(losiko.folder) == before


# --- unusable input


@pytest.mark.parametrize("command", ["relax", "score", "build"])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.xyz", b"", "empty.xyz: the file is empty"),
        ("text.xyz", b"no structure\n", "text.xyz: frame 0"),
        ("picture.png", b"\x89PNG\r\n\x1a\n\xff\xfe", "picture.png: not a kind of structure file"),
        ("noise.xyz", bytes(range(256)), "noise.xyz: not a structure file"),
        ("cut.xyz", b"3\n\nO 0 0 0\nH 0 0 1\n", "cut.xyz: frame 0 is cut short (2 of 3 atoms)"),
        ("none.xyz", None, "none.xyz: no such file"),
        ("good.xyz@7", None, "good.xyz@7: no such frame"),
        ("good.xyz@a", None, "good.xyz@a: 'a' is no frame or slice"),
        ("bare", None, "bare: no structure in it"),
    ],
)
def test_unusable_structures(losiko, tiny_database, command, name, content, said):
    ase.io.write("good.xyz", distorted("H2O"))
    (losiko.folder / "bare").mkdir()
    if content is not None:
        (losiko.folder / name).write_bytes(content)
    options = {
        "relax": ("-d", tiny_database, "-o", "out.xyz"),
        "score": ("-d", tiny_database),
        "build": ("-o", "out.losiko", *TINY),
    }
    assert said in losiko.refuses(command, "good.xyz", name, *options[command])


@pytest.mark.parametrize("command", ["relax", "score", "info"])
def test_unusable_databases(losiko, tiny_database, command):
    ase.io.write("in.xyz", distorted("H2O"))
    whole = tiny_database.read_bytes()
    (losiko.folder / "half.losiko").write_bytes(whole[: len(whole) // 2])
    (losiko.folder / "empty.losiko").write_bytes(b"")
    (losiko.folder / "text.losiko").write_text("not a database at all\n")
    for name in ("half.losiko", "empty.losiko", "text.losiko", "none.losiko", ".", "in.xyz"):
        options = {
            "relax": ("in.xyz", "-d", name, "-o", "out.xyz"),
            "score": ("in.xyz", "-d", name),
            "info": (name,),
        }
        assert name in losiko.refuses(command, *options[command])


@pytest.mark.parametrize(
    "arguments",
    [
        ("relax",),
        ("relax", "in.xyz"),
        ("relax", "in.xyz", "-o", "out.xyz", "--bogus"),
        ("relax", "in.xyz", "-o", "out.xyz", "--max-steps", "0"),
        ("relax", "in.xyz", "-o", "out.xyz", "--max-steps", "many"),
        ("relax", "in.xyz", "-o", "out.xyz", "--fmax", "0"),
        ("relax", "in.xyz", "-o", "out.xyz", "--fmax", "nan"),
        ("relax", "in.xyz", "-o", "out.xyz", "--n-neighbors", "0"),
        ("relax", "in.xyz", "-o", "out.xyz", "--reg", "-1"),
        ("relax", "in.xyz", "-o", "out.xyz", "--targets", "farthest"),
        ("relax", "in.xyz", "-o", "out.xyz", "--optimizer", "newton"),
        ("relax", "in.xyz", "-o", "out.xyz", "-d", "tiny.losiko", "--dtype", "float16"),
        ("relax", "in.xyz", "-o", "out.xyz", "-d", "tiny.losiko", "--device", "abacus"),
        ("score",),
        ("score", "in.xyz", "--worst", "0"),
        ("build", "in.xyz"),
        ("build", "in.xyz", "-o", "out.losiko", "--species", "H,Qq"),
        ("build", "in.xyz", "-o", "out.losiko", "--species", ""),
        ("build", "in.xyz", "-o", "out.losiko", "--r-cut", "-3"),
        ("build", "in.xyz", "-o", "out.losiko", "--where", "hull"),
        ("build", "in.xyz", "-o", "out.losiko", "--where", "hull<low"),
        ("bogus",),
    ],
)
def test_wrong_usage(losiko, tiny_database, arguments):
    ase.io.write("in.xyz", distorted("H2O"))
    (losiko.folder / "tiny.losiko").write_bytes(tiny_database.read_bytes())
    losiko.refuses(*arguments)


# --- score


def test_score(losiko, tiny_database):
    structures = [molecule("H2O"), distorted("CH3CH2OH"), molecule("SiH4")]
    ase.io.write("in.xyz", structures)
    before = contents(losiko.folder)
    assert losiko("score", "in.xyz@:2", "-d", tiny_database, "--targets", "nearest") == 0
    database = EnvironmentDatabase.load(tiny_database)
    judged = score(structures[1], database, targets="nearest")[0]
    worst = int(np.argmax(judged.distances))
    (row,) = [line for line in losiko.out.splitlines() if "in.xyz@1" in line]
    assert f"{judged.loss:.2e}" in row
    assert f"{judged.distances.mean():.2e}" in row
    assert f"{judged.distances.max():.2e}" in row
    assert row.split()[-1] == f"{structures[1].symbols[worst]}{worst}"
    assert "2 of 2 structures judged" in losiko.out

    assert losiko("score", "in.xyz", "-d", tiny_database) == 1
    assert "in.xyz@2: the descriptor does not know Si" in losiko.out
    assert losiko("score", "in.xyz@:2", "-d", tiny_database, "--worst", 1) == 0
    assert "1 of 2 structures, the worst first" in losiko.out
    assert "in.xyz@0" not in losiko.out
    assert contents(losiko.folder) == before


def test_nothing_but_failures(losiko, tiny_database):
    ase.io.write("bad.extxyz", [atoms for atoms, _ in bad_structures()])
    assert losiko("score", "bad.extxyz", "-d", tiny_database) == 1
    assert "0 of 7 structures judged" in losiko.out
    assert losiko.err == ""
    assert losiko("relax", "bad.extxyz", "-d", tiny_database, "-o", "out.xyz") == 1
    assert "0 of 7 structures relaxed" in losiko.out
    assert losiko.err == ""


# --- build and info


def test_build_and_info(losiko):
    ase.io.write("a.xyz", [molecule(name) for name in GOOD])
    ase.io.write("b.xyz", [molecule("NH3"), molecule("HF")])
    status = losiko(
        *("build", "a.xyz@:3", "b.xyz@0", "-o", "db.losiko", "--components", 4),
        *("--r-cut", 2.5, "--n-max", 3, "--l-max", 2, "--sigma", 0.4, "--smooth-width", 0.5),
        *("--title", "Small ones", "--level-of-theory", "G2", "--licence", "CC0"),
    )
    assert status == 0, losiko.err
    database = EnvironmentDatabase.load("db.losiko")
    assert len(database.structures) == 4
    assert database.structures[3]["source"] == "b.xyz@0"
    soap = database.descriptor
    assert list(soap.species) == [1, 6, 7, 8]
    assert (soap.r_cut, soap.n_max, soap.l_max, soap.sigma) == (2.5, 3, 2, 0.4)
    assert soap.smooth_width == 0.5
    assert not soap.periodic
    assert database.environments[1].vectors.shape[1] == 4
    told = losiko.out
    assert losiko("info", "db.losiko") == 0
    assert losiko.out == told
    for part in ("Small ones", "G2", "CC0", "r_cut 2.5 A", "H C N O", "file size", "not periodic"):
        assert part in told


def test_build_chooses_species_and_periodicity(losiko):
    ase.io.write("in.extxyz", [molecule("CH4"), bulk("C")])
    assert losiko("build", "in.extxyz", "-o", "a.losiko", *TINY) == 0
    assert EnvironmentDatabase.load("a.losiko").descriptor.periodic
    assert losiko("build", "in.extxyz@0", "-o", "b.losiko", "--species", "O, C,H", *TINY) == 0
    assert list(EnvironmentDatabase.load("b.losiko").descriptor.species) == [1, 6, 8]
    assert losiko("build", "in.extxyz", "-o", "c.losiko", "--species", "C", *TINY) == 1
    assert "in.extxyz@0: the descriptor does not know H" in losiko.out
    assert len(EnvironmentDatabase.load("c.losiko").structures) == 1


def test_build_leaves_out_and_lists_what_it_cannot_describe(losiko, mixed):
    path, _ = mixed
    assert losiko("build", path, "-o", "db.losiko", *TINY) == 1
    assert "structures left out" in losiko.out
    assert "mixed.extxyz@0: atoms 0 and 1 lie within" in losiko.out
    ase.io.write("bad.extxyz", [atoms for atoms, _ in bad_structures()[:2]])
    assert "no structure for the database" in losiko.refuses("build", "bad.extxyz", "-o", "x.l")


def test_build_where(losiko):
    structures = [molecule(name) for name in ("CH4", "H2O", "NH3", "C2H6")]
    for atoms, hull in zip(structures, (0.0, 0.1, 0.3, None), strict=True):
        if hull is not None:
            atoms.info |= {"hull": hull, "phase": "ice" if hull == 0.1 else "gas"}
    ase.io.write("in.extxyz", structures)
    build = ("build", "in.extxyz", *TINY)
    assert losiko(*build, "-o", "a.losiko", "--where", "hull<0.2") == 0
    database = EnvironmentDatabase.load("a.losiko")
    assert [each["formula"] for each in database.structures] == ["CH4", "H2O"]
    assert list(database.descriptor.species) == [1, 6, 8]
    assert database.metadata["where"] == ["hull<0.2"]
    assert "2 of 4 structures pass" in losiko.err
    assert losiko(*build, "-o", "b.losiko", "--where", "hull<0.2", "--where", "phase==ice") == 0
    assert len(EnvironmentDatabase.load("b.losiko").structures) == 1
    sentence = losiko.refuses(*build, "-o", "c.losiko", "--where", "e_above_hull<0.2")
    assert "hull" in sentence
    assert "phase" in sentence


def test_build_from_an_archive(losiko):
    molecules = [molecule(name) for name in GOOD]
    np.savez(
        "q.npz",
        id=np.arange(len(GOOD)),
        Z=np.concatenate([atoms.numbers for atoms in molecules]),
        R=np.concatenate([atoms.positions for atoms in molecules]),
        offsets=np.cumsum([0, *map(len, molecules)]),
    )
    assert losiko("build", "q.npz@::2", "-o", "db.losiko", *TINY) == 0
    database = EnvironmentDatabase.load("db.losiko")
    assert [each["id"] for each in database.structures] == [0, 2, 4]
    assert losiko("relax", "q.npz@1:3", "-d", "db.losiko", "-o", "out.xyz") == 0
    assert [atoms.info["id"] for atoms in ase.io.read("out.xyz", index=":")] == [1, 2]


def test_builtin_databases_are_opened_by_name(losiko, tiny_database, monkeypatch):
    database = EnvironmentDatabase.load(tiny_database)
    opened = []

    def builtin_database(name):
        opened.append(name)
        return database

    monkeypatch.setattr("losiko_torch.cli.inputs.builtin_database", builtin_database)
    ase.io.write("in.xyz", distorted("H2O"))
    assert losiko("score", "in.xyz") == 0
    assert losiko.err == ""
    assert "against the built-in database" in losiko.out
    assert losiko("score", "in.xyz", "-d", "organic") == 0
    assert "against the built-in database 'organic'" in losiko.out
    assert losiko("info") == 0
    assert "built-in database 'organic'" in losiko.out
    assert "GFN2-xTB" in losiko.out
    assert opened == ["organic"] * 3
    assert "organik" in losiko.refuses("score", "in.xyz", "-d", "organik")
    # A file of that name counts, as everywhere.
    Path("organic").write_text("no database")
    assert "not a LOSIKO database" in losiko.refuses("score", "in.xyz", "-d", "organic")


def test_run_with_a_builtin_database_by_name(losiko, tiny_database, monkeypatch):
    database = EnvironmentDatabase.load(tiny_database)
    monkeypatch.setattr("losiko_torch.cli.inputs.builtin_database", lambda name: database)
    ase.io.write("in.xyz", distorted("H2O"))
    assert losiko("relax", "in.xyz", "-d", "organic", "--run", "night", "--max-steps", 3) == 0
    configuration = json.loads(Path("night/run.json").read_text())["configuration"]
    assert configuration["database"].startswith("organic-")
    assert losiko("relax", "in.xyz", "-d", "organic", "--run", "night", "--max-steps", 3) == 0
    assert losiko("report", "night") == 0


# --- help and the program itself


@pytest.mark.parametrize("command", ["relax", "score", "build", "info"])
def test_help_teaches(losiko, command):
    assert losiko(command, "--help") == 0
    assert "Example" in losiko.out


def test_overview(losiko):
    assert losiko("--help") == 0
    for command in ("relax", "report", "score", "map", "fetch", "build", "info"):
        assert command in losiko.out
    assert losiko("--version") == 0
    assert losiko() == 2
    assert "Usage" in losiko.out


def test_warnings_are_one_line(losiko, tiny_database):
    atoms = distorted("H2O")
    atoms.set_constraint(FixBondLength(0, 1))
    ase.io.write("in.traj", atoms)
    assert losiko("relax", "in.traj", "-d", tiny_database, "-o", "out.xyz") == 1
    assert losiko.err == (
        "losiko: warning: left out, as extended xyz cannot hold it: constraint FixBondLengths\n"
    )


def test_console_script_and_closed_pipe(losiko, tiny_database):
    ase.io.write("in.xyz", [distorted("H2O")] * 5)
    script = os.path.join(os.path.dirname(sys.executable), "losiko")
    command = f"'{script}' score in.xyz -d '{tiny_database}' | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_stdout_on_a_full_disk(tiny_database):
    script = os.path.join(os.path.dirname(sys.executable), "losiko")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [script, "info", tiny_database], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 74
    assert done.stderr == (
        "losiko: error: the output cannot be printed (No space left on device)\n"
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda(losiko, tiny_database):
    ase.io.write("in.xyz", distorted("CH3CH2OH"))
    assert losiko("relax", "in.xyz", "-d", tiny_database, "-o", "out.xyz", "--device", "cuda") == 0
