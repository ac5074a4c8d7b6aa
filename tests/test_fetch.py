"""Public sets of structures: fetched by name, kept with their licence, built from, and refused."""

import builtins
import json
import sys
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from fetched_data import FAILED, MOLECULES, entry, qm9_at, stand_in_client
from file_server import FileServer

from losiko_torch import SOAP, EnvironmentDatabase, InputError, fetch, read_structures, relax
from losiko_torch.cli import main
from losiko_torch.database.curate.union import united
from losiko_torch.io.fetching import fetch as fetching
from losiko_torch.io.fetching.materials_project import KEY
from losiko_torch.io.writers import result_file
from losiko_torch.systems.names import METADATA

TINY = ["--n-max", "3", "--l-max", "2"]
SMALL = {"r_cut": 3.0, "n_max": 3, "l_max": 2, "sigma": 0.4}


@pytest.fixture
def losiko(tmp_path, monkeypatch, capsys):
    """Run the command line in a folder of its own; return its status, what it printed and said."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(each) for each in arguments])
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def server(monkeypatch):
    """A server of a small QM9, which "qm9" names."""
    with FileServer({"molecules": MOLECULES, "failed": FAILED}) as running:
        monkeypatch.setitem(fetching.WHOLE, "qm9", qm9_at(running))
        yield running


@pytest.fixture
def client(monkeypatch):
    """A client of the Materials Project with three crystals of silicon and one unknown energy."""
    pytest.importorskip("pymatgen")
    entries = [entry(f"mp-{k}", energy) for k, energy in enumerate((0.0, 0.08, 0.3, None))]
    return stand_in_client(monkeypatch, entries)


def refused(run, *arguments):
    """Sentence of a command that must end with 2."""
    status, out, err = run(*arguments)
    assert (status, out) == (2, ""), out + err
    (line,) = err.splitlines()
    return line.removeprefix("losiko: error: ")


def names(folder):
    return sorted(each.name for each in folder.iterdir())


# QM9


def test_qm9_becomes_a_file_that_is_read(losiko, server, tmp_path):
    status, out, err = losiko("fetch", "qm9")
    assert (status, err) == (0, "")
    for told in ("qm9.npz: 2 structures", "CC0", "Sci. Data 1, 140022 (2014)"):
        assert told in out
    assert names(tmp_path) == ["qm9.npz"]
    with np.load("qm9.npz") as arrays:
        assert arrays["id"].tolist() == [1, 3]
        assert arrays["Z"].tolist() == [6, 1, 1, 1, 1, *molecule("CH3OH").numbers]
        assert arrays["offsets"].tolist() == [0, 5, 11]
        np.testing.assert_allclose(arrays["R"][1], [0.0021504160, -0.0060313176, 1.9761204e-3])
        metadata = json.loads(arrays["metadata"].tobytes())
    methane, methanol = read_structures("qm9.npz")
    assert methane.info["id"] == 1
    assert methane.info[METADATA] == methanol.info[METADATA] == metadata
    np.testing.assert_allclose(methanol.positions, molecule("CH3OH").positions, atol=1e-6)


def test_a_database_of_qm9_keeps_its_licence_and_citation(losiko, server):
    losiko("fetch", "qm9")
    status, told, _ = losiko("build", "qm9.npz", "-o", "qm9.losiko", *TINY)
    assert status == 0
    metadata = EnvironmentDatabase.load("qm9.losiko").metadata
    assert metadata["licence"] == "CC0"
    assert "R. Ramakrishnan" in metadata["citation"]
    status, out, _ = losiko("info", "qm9.losiko")
    assert (status, out) == (0, told)
    rows = dict(line.strip().split(maxsplit=1) for line in out.splitlines() if " " in line.strip())
    assert rows["licence"] == "CC0"
    assert "B3LYP/6-31G(2df,p)" in out
    assert "Sci. Data 1, 140022 (2014)" in rows["citation"]
    # Notes that are given stand before those of the file, and the others stay.
    losiko("build", "qm9.npz", "-o", "mine.losiko", *TINY, "--title", "mine")
    assert EnvironmentDatabase.load("mine.losiko").metadata == metadata | {"title": "mine"}


def test_an_interrupted_command_goes_on(losiko, server, tmp_path):
    size = len(MOLECULES)
    server.cuts = [None, size // 2, *[0] * 9]
    sentence = refused(losiko, "fetch", "qm9")
    assert f"the connection broke after {size // 2:,} of {size:,} bytes" in sentence
    assert sentence.endswith("the same command goes on from qm9.npz.part")
    assert (tmp_path / "qm9.npz.part").read_bytes() == MOLECULES[: size // 2]
    assert not (tmp_path / "qm9.npz").exists()
    server.cuts, server.asked = [], []
    status, out, err = losiko("fetch", "qm9")
    assert status == 0
    assert err == "losiko: going on with what qm9.npz.part holds\n"
    assert "2 structures" in out
    assert server.asked[-1] == ("molecules", f"bytes={size // 2}-")
    assert names(tmp_path) == ["qm9.npz"]


def test_another_checksum_writes_nothing(losiko, server, tmp_path):
    server.files["molecules"] = MOLECULES[:-1] + b"?"
    assert "its checksum (MD5) is" in refused(losiko, "fetch", "qm9", "-o", "other.npz")
    assert names(tmp_path) == []


def test_what_is_no_archive_is_refused(losiko, server, tmp_path, monkeypatch):
    server.files["molecules"] = b"not an archive"
    monkeypatch.setitem(fetching.WHOLE, "qm9", qm9_at(server, b"not an archive"))
    assert "qm9.npz.part: no archive as QM9's" in refused(losiko, "fetch", "qm9")
    assert not (tmp_path / "qm9.npz").exists()


def test_a_file_is_overwritten_with_force_only(losiko, server, tmp_path):
    (tmp_path / "qm9.npz").write_text("mine")
    (tmp_path / "qm9.npz.part").write_bytes(MOLECULES[:100])
    assert refused(losiko, "fetch", "qm9") == (
        "qm9.npz: exists already: choose another name, or overwrite it (--force)"
    )
    with pytest.raises(InputError, match="exists already"):
        fetch("qm9")
    assert server.asked == []
    assert (tmp_path / "qm9.npz").read_text() == "mine"
    assert losiko("fetch", "qm9", "--force")[0] == 0
    assert len(list(read_structures("qm9.npz"))) == 2


def test_a_missing_file_and_a_missing_server(losiko, server, tmp_path, monkeypatch):
    server.status = 404
    assert "/failed: it answers 404 (" in refused(losiko, "fetch", "qm9")
    with FileServer({}) as gone:
        monkeypatch.setitem(fetching.WHOLE, "qm9", qm9_at(gone, tries=1))
    assert "/failed: no server answers there" in refused(losiko, "fetch", "qm9")
    assert names(tmp_path) == []


def test_from_python_by_name_or_record(server, tmp_path):
    told = []
    fetched = fetch("qm9", tmp_path / "a.npz", watch=lambda *each: told.append(each))
    assert (fetched.path, fetched.structures) == (tmp_path / "a.npz", 2)
    assert fetched.metadata["licence"] == "CC0"
    assert [step for step in dict.fromkeys(step for step, *_ in told)] == [
        "fetching the list of failed molecules",
        "fetching QM9",
        "reading QM9",
    ]
    assert all(done <= total for _, done, total in told)
    moved = replace(fetching.WHOLE["qm9"], molecules=fetching.WHOLE["qm9"].failed)
    with pytest.raises(InputError, match="no archive as QM9's"):
        fetch(moved, tmp_path / "b.npz")
    with pytest.raises(InputError, match="a name such as 'qm9', not None"):
        fetch(None)
    with pytest.raises(InputError, match="no option 'overwrit': did you mean 'overwrite'"):
        fetch("qm9", overwrit=True)


# Crystals


def test_crystals_become_a_file_with_their_licence(losiko, client, tmp_path):
    status, out, err = losiko("fetch", "mp:Si-O", "--hull", 0.1)
    assert (status, err) == (0, "")
    for told in ("mp-Si-O.extxyz: 2 structures", "CC BY 4.0", "APL Mater. 1, 011002 (2013)"):
        assert told in out
    assert client == {
        "key": "a key of mine",
        "chemsys": ["O", "Si", "O-Si"],
        "energy_above_hull": (0.0, 0.1),
    }
    assert names(tmp_path) == ["mp-Si-O.extxyz"]
    first, second = ase.io.read("mp-Si-O.extxyz", ":")
    assert first.get_chemical_formula() == "Si2"
    np.testing.assert_allclose(first.cell, bulk("Si").cell, atol=1e-7)
    assert second.info["material_id"] == "mp-1"
    assert second.info["e_above_hull"] == 0.08
    assert first.info[METADATA]["licence"] == "CC BY 4.0"
    assert first.info[METADATA]["e_above_hull"] == "up to 0.1 eV per atom"


def test_all_crystals_without_a_limit(losiko, client):
    assert losiko("fetch", "mp:Si", "-o", "all.xyz")[0] == 0
    assert "energy_above_hull" not in client
    assert client["chemsys"] == ["Si"]
    energies = [each.info.get("e_above_hull") for each in read_structures("all.xyz")]
    assert energies == [0.0, 0.08, 0.3, None]


def test_a_database_of_crystals_keeps_their_licence_and_citation(losiko, client):
    losiko("fetch", "mp:Si-O")
    build = ("build", "mp-Si-O.extxyz", "-o", "si.losiko", "--where", "e_above_hull<0.2", *TINY)
    assert losiko(*build)[0] == 0
    database = EnvironmentDatabase.load("si.losiko")
    assert database.metadata["title"] == "Materials Project: crystals of Si-O and its subsystems"
    assert database.metadata["where"] == ["e_above_hull<0.2"]
    assert METADATA not in database.structures[0]
    _, out, _ = losiko("info", "si.losiko")
    assert "CC BY 4.0" in out
    assert "A. Jain" in out


def test_entries_that_cannot_be_taken_are_told(losiko, client, monkeypatch):
    good, bad = entry("mp-1", 0.0), entry("mp-2", 0.0)
    bad.structure = None
    lacking = entry("mp-3", 0.0)
    del lacking.energy_above_hull
    stand_in_client(monkeypatch, [bad, good, lacking])
    status, out, _ = losiko("fetch", "mp:Si")
    assert status == 1
    assert "mp-Si.extxyz: 1 structure" in out
    assert "2 structures left out" in out
    assert "mp-2: it has no structure" in out
    stand_in_client(monkeypatch, [bad])
    sentence = refused(losiko, "fetch", "mp:Si", "--force")
    assert sentence.endswith("can be taken: mp-2: it has no structure")


def test_what_is_missing_for_crystals_is_said(losiko, client, monkeypatch, tmp_path):
    assert refused(losiko, "fetch", "mp:Si", "-o", "si.npz") == (
        "si.npz: crystals are kept as extended xyz: give a name in .extxyz"
    )
    stand_in_client(monkeypatch, [])
    assert refused(losiko, "fetch", "mp:Si", "--hull", 0.1) == (
        "the Materials Project has no crystals of Si within 0.1 eV per atom of the hull"
    )
    stand_in_client(monkeypatch, [], key="secret", broken=RuntimeError("401 for secret\nmore"))
    assert refused(losiko, "fetch", "mp:Si") == (
        f"the client of the Materials Project fails: 401 for {KEY}"
    )
    monkeypatch.setenv(KEY, " ")
    assert f"set {KEY} to yours" in refused(losiko, "fetch", "mp:Si")
    monkeypatch.delenv(KEY)
    assert f"set {KEY} to yours" in refused(losiko, "fetch", "mp:Si")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ModuleNotFoundError(name="mp_api"), "come through mp-api: pip install mp-api"),
        (ModuleNotFoundError("no emmet", name="emmet"), "mp-api cannot be imported (no emmet)"),
        (RuntimeError("too old"), "mp-api cannot be imported (too old)"),
    ],
)
def test_without_a_client_that_works(losiko, monkeypatch, error, sentence):
    imported = builtins.__import__

    def broken(name, *rest, **options):
        if name == "mp_api.client":
            raise error
        return imported(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", broken)
    monkeypatch.delitem(sys.modules, "mp_api", raising=False)
    monkeypatch.setenv(KEY, "a key")
    assert refused(losiko, "fetch", "mp:Si").endswith(sentence)


# Names


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["qm8"], "'qm8' is no source of structures (did you mean 'qm9'?): known are qm9 and mp:"),
        (["Si-O"], "'Si-O' is no source of structures (did you mean 'mp:Si-O'?)"),
        (["everything"], "'everything' is no source of structures: known are qm9 and mp:SYSTEM"),
        (["mp:Xx-O"], "mp:Xx-O: 'Xx' is no chemical element: join the symbols"),
        (["mp:SiO2"], "mp:SiO2: 'SiO2' is no chemical element"),
        (["mp:"], "mp:: '' is no chemical element"),
        (["mp:X"], "mp:X: 'X' is no chemical element"),
        (["mp:Si-O-Si"], "mp:Si-O-Si: an element is there twice"),
        (["mp:Si", "--hull", "-1"], "hull must be 0 or more, not -1.0"),
        (["mp:Si", "--hull", "nan"], "hull must be a finite number, not nan"),
        (["qm9", "--hull", "0.1"], "an energy above the hull is one of crystals"),
        (["qm9", "-o", "qm9.xyz"], "qm9.xyz: QM9 is kept as an archive of arrays"),
        (["qm9", "-o", "nowhere/qm9.npz"], "nowhere/qm9.npz: there is no folder"),
    ],
)
def test_names_and_limits_that_make_no_sense(losiko, server, tmp_path, arguments, sentence):
    assert refused(losiko, "fetch", *arguments).startswith(sentence)
    assert server.asked == []
    assert names(tmp_path) == []


# Facts about sets of structures, in databases


def of_set(name, metadata=None):
    atoms = molecule(name)
    if metadata is not None:
        atoms.info[METADATA] = metadata
    return atoms


def build(structures, **options):
    return EnvironmentDatabase.build(structures, SOAP(species=["H", "C", "O"], **SMALL), **options)


def test_a_database_of_several_sets_names_them_all():
    one = {"title": "one", "licence": "CC0", "citation": "A. One"}
    two = {"title": "two", "licence": "CC BY 4.0", "citation": "B. Two", "level_of_theory": "PBE"}
    made = build([of_set("H2O", one), of_set("CH4", one.copy()), of_set("CO", two)])
    assert made.metadata["title"] == "one + two"
    assert made.metadata["licence"] == "CC0 (one); CC BY 4.0 (two)"
    assert made.metadata["citation"] == "A. One (one); B. Two (two)"
    assert made.metadata["level_of_theory"] == "not given (one); PBE (two)"
    assert made.metadata["made_from"] == [{**one, "structures": 2}, {**two, "structures": 1}]
    mixed = build([of_set("H2O", one), of_set("CH4")])
    assert mixed.metadata["licence"] == "CC0 (one); not given (other structures)"
    assert mixed.metadata["made_from"][1] == {"title": "other structures", "structures": 1}
    # A union goes on with the sources of both.
    both = united([made, mixed])
    assert [each["title"] for each in both.metadata["made_from"]] == [
        *("one", "two", "one", "other structures")
    ]
    assert both.metadata["citation"] == "A. One (one); B. Two (two); not given (other structures)"


def test_only_structures_that_are_built_from_count():
    one, two = {"title": "one", "licence": "CC0"}, {"title": "two", "licence": "CC BY 4.0"}
    structures = [of_set("H2O", one), of_set("CH4", two), of_set("SiH4", two)]
    structures[0].info["e"], structures[1].info["e"], structures[2].info["e"] = 0.0, 1.0, 0.0
    assert build(structures, where="e<0.5").metadata == one


def test_a_database_of_no_set_has_no_metadata():
    assert build([of_set("H2O"), of_set("CH4", {}), of_set("CO", "a text")]).metadata == {}


def test_what_is_relaxed_is_no_longer_of_its_set(tmp_path):
    water = of_set("H2O", {"level_of_theory": "B3LYP"})
    water.info["name"] = "water"
    ase.io.write(tmp_path / "in.extxyz", water)
    (read,) = read_structures(tmp_path / "in.extxyz")
    assert read.info[METADATA] == {"level_of_theory": "B3LYP"}
    with result_file(tmp_path / "out.extxyz") as add:
        add(relax([read], build([molecule("H2O")]), max_steps=1))
    (read,) = read_structures(tmp_path / "out.extxyz")
    assert read.info["name"] == "water"
    assert METADATA not in read.info


@pytest.mark.parametrize("facts", [np.array(3), np.frombuffer(b"[1]", np.uint8), np.array([{}])])
def test_an_archive_with_other_metadata_is_read(tmp_path, facts):
    atoms = molecule("H2O")
    arrays = {"Z": atoms.numbers, "R": atoms.positions, "offsets": np.array([0, 3])}
    np.savez(tmp_path / "a.npz", metadata=facts, **arrays)
    (read,) = read_structures(tmp_path / "a.npz")
    assert METADATA not in read.info
