"""``losiko curate``: its steps and their order, what it prints, and what it refuses."""

import pytest
from ase.build import molecule
from test_cli import Program

from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.database.curate.select import chosen, trimmed
from losiko_torch.database.curate.union import united


@pytest.fixture
def losiko(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Program(tmp_path, capsys)


@pytest.fixture
def files(losiko):
    """Folder of the program with two databases of other elements and one of another descriptor."""

    def soap(species, sigma=0.3):
        return SOAP(species=species, r_cut=3.0, n_max=3, l_max=2, sigma=sigma)

    def build(names, descriptor, **metadata):
        molecules = [molecule(name) for name in names]
        for atoms in molecules:
            atoms.info["size"] = len(atoms)
        return EnvironmentDatabase.build(molecules, descriptor, metadata=metadata)

    made = {
        "a.losiko": build(
            ["CH3OH", "C2H6", "CH4"], soap(["H", "C", "O"]), title="alcohols", licence="CC0"
        ),
        "b.losiko": build(["CH3CN", "NH3", "C2H6"], soap(["H", "C", "N"]), licence="CC BY 4.0"),
        "sharp.losiko": build(["H2O"], soap(["H", "O"], 0.2)),
    }
    for name, database in made.items():
        database.save(name)
    return made


def same(path, expected):
    found = EnvironmentDatabase.load(path)
    assert found.structures == expected.structures
    for number, part in expected.environments.items():
        assert found.environments[number].vectors.equal(part.vectors)
        assert found.environments[number].structure.equal(part.structure)
    return found


def test_databases_are_united_and_shown(losiko, files):
    assert losiko("curate", "a.losiko", "b.losiko", "-o", "c.losiko", "--title", "both") == 0
    assert losiko.err == ""
    found = same("c.losiko", united([files["a.losiko"], files["b.losiko"]]))
    assert found.metadata["title"] == "both"
    shown = losiko.out
    assert "CC0 (alcohols); CC BY 4.0 (b.losiko)" in shown
    assert "made from" in shown
    assert "title alcohols, licence CC0, structures 3, environments 19" in shown
    assert "2 databases united: 19 + 18 = 37 environments" in shown
    assert losiko("info", "c.losiko") == 0
    assert losiko.out == shown


def test_steps_come_in_their_order(losiko, files):
    steps = ("--per-element", 3, "--thin", 0.05, "--minus", "b.losiko", "--within", 0.1)
    assert losiko("curate", "a.losiko", "-o", "c.losiko", *steps, "--where", "size>5") == 0
    expected = chosen(files["a.losiko"], "size>5")
    expected = expected.minus(files["b.losiko"], 0.1).thinned(0.05).farthest(3)
    found = same("c.losiko", trimmed(expected))
    told = found.metadata["curation"]
    assert [text.split()[0] for text in told] == [
        "structures",
        "those",
        "thinned",
        "farthest-point",
    ]
    assert "nearer than 0.1 to one of b.losiko taken away" in told[1]
    assert all(text in losiko.out for text in told)
    assert [record["formula"] for record in found.structures] == ["CH4O"]


def test_input_that_cannot_be_used(losiko, files):
    for arguments, sentence in [
        (["a.losiko"], "nothing to do with one database"),
        (["a.losiko", "--thin", "-1"], "--thin must be positive, not -1"),
        (["a.losiko", "--thin", "nan"], "--thin must be positive"),
        (["a.losiko", "--per-element", "0"], "Invalid value for '--per-element'"),
        (["a.losiko", "--minus", "b.losiko"], "--within D belong together"),
        (["a.losiko", "--within", "0.1"], "--within D belong together"),
        (["a.losiko", "--minus", "b.losiko", "--within", "0"], "--within must be positive"),
        (["a.losiko", "--minus", "a.losiko", "--within", "0.1"], "no environment is left"),
        (["a.losiko", "--where", "size>99"], "no environment is left in the database"),
        (["a.losiko", "--where", "size~9"], "size~9"),
        (["a.losiko", "sharp.losiko"], "sigma is 0.3 in one and 0.2 in the other"),
        (["a.losiko", "no.losiko"], "no.losiko: no such database"),
    ]:
        assert sentence in losiko.refuses("curate", *arguments, "-o", "c.losiko")


def test_nothing_is_overwritten(losiko, files):
    step = ("--thin", 0.1)
    for path in ("a.losiko", "b.losiko"):
        inputs = ("a.losiko", "--minus", "b.losiko", "--within", 0.1)
        sentence = losiko.refuses("curate", *inputs, "-o", path, "--force")
        assert "no input is ever overwritten" in sentence
    assert "exists already" in losiko.refuses("curate", "a.losiko", *step, "-o", "sharp.losiko")
    assert losiko("curate", "a.losiko", *step, "-o", "sharp.losiko", "--force") == 0
    assert "there is no folder" in losiko.refuses("curate", "a.losiko", *step, "-o", "no/c.losiko")
