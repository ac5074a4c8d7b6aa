"""Options in a file: all of them survive it, the command line wins, and slips are named."""

import inspect
import tomllib
from pathlib import Path
from typing import get_args

import ase.io
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_database import database, rattled

from losiko_torch import InputError
from losiko_torch.cli import relax as relax_module
from losiko_torch.cli.config import config_text, key_of, read_config
from losiko_torch.options import options_of
from losiko_torch.relaxation.settings import Settings

RELAX = inspect.signature(relax_module.relax).parameters
OWN = {name: each for name, each in RELAX.items() if name not in ("config", "save_config")}
#: A value of each option, as the command line gives it.
VALUES = {
    "structures": ["a.xyz@:3", 'od"d\\.xyz'],
    "smiles": ["CCO ethanol", "C#N"],
    "output": Path("out.extxyz"),
    "run": Path("night"),
    "database": Path("organic"),
    "reference": ["true.xyz"],
    "reference_weights": "weight",
    "no_pbc": True,
    "workers": 2,
    "ray_address": "auto",
    "as_finished": True,
    "strict": True,
    "trajectory": "paths/",
    "trajectory_interval": 5,
    "targets": "nearest",
    "n_neighbors": 7,
    "reg": 1e-05,
    "degree": 2.0,
    "weights": "H=0.5,O=2",
    "device": "cpu",
    "dtype": "float64",
    "batch_atoms": 100,
    "optimizer": "fire",
    "max_steps": 20,
    "fmax": 0.5,
    "movable": 'within 5 of "Li" Å',
    "cell": True,
    "strain_mask": "1,1,0,0,0,1",
    "hydrostatic_strain": True,
    "constant_volume": True,
    "symprec": 0.4,
    "schedule": "nearest:30,locally-linear/8:20",
    "noise": "0.2,0.05",
    "n_starts": 3,
    "n_conformers": 4,
    "start_noise": 0.2,
    "escape": True,
    "max_error": 0.05,
    "seed": 1,
    "density": "2.5",
    "repulsion": True,
    "tether": 0.1,
}


def test_every_option_has_a_value_here():
    assert set(VALUES) == set(OWN) - {"force"}
    assert {name for name, each in options_of(Settings).items() if each.text} <= set(VALUES)


def test_all_options_survive_a_file(tmp_path):
    file = tmp_path / "run.toml"
    values = {**VALUES, "force": True}
    for name, parameter in OWN.items():
        kind = get_args(parameter.annotation)[0]
        if "float" in str(kind) and "str" not in str(kind):
            values[name] = float(values[name])
    file.write_text(config_text(values, OWN))
    assert read_config(file, OWN) == {k: v for k, v in values.items() if k != "force"}
    # One at a time, and none.
    for name in VALUES:
        file.write_text(config_text({name: values[name]}, OWN))
        assert read_config(file, OWN) == {name: values[name]}
    file.write_text(config_text({}, OWN))
    assert read_config(file, OWN) == {}
    assert all(
        f"\n# {key_of(each)} = " in file.read_text()
        for each in OWN.values()
        if each.name != "force"
    )


@given(text=st.text(st.characters(exclude_categories=["Cs"])), number=st.floats(1e-300, 1e300))
def test_any_text_and_number_survives(text, number, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    told = {"movable": text, "structures": [text, "a"], "fmax": number}
    file.write_text(config_text(told, OWN), encoding="utf-8", newline="")
    assert read_config(file, OWN) == told


def test_values_may_be_those_of_toml(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        "noise = [0.2, 0.05]\nweights = {H = 0.5, O = 2}\nfmax = 1\nstructures = 'a.xyz'\n"
        "strain_mask = [1, 1, 0, 0, 0, 1]\nschedule = ['nearest:3', 'nearest:4']\ncell = false\n"
    )
    found = read_config(file, OWN)
    assert found["noise"] == "0.2,0.05"
    assert found["weights"] == "H=0.5,O=2"
    assert found["fmax"] == 1.0
    assert found["structures"] == ["a.xyz"]
    assert found["strain_mask"] == "1,1,0,0,0,1"
    assert found["schedule"] == "nearest:3,nearest:4"
    assert found["cell"] is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_step = 3", "there is no option 'max_step': did you mean 'max_steps'?"),
        ("qqqqqq = 3", "there is no option 'qqqqqq': 'losiko relax --help' lists all"),
        ("[relax]\nseed = 1", "there is no option 'relax'"),
        ("max_steps = 'many'", "max_steps must be a whole number, not 'many'"),
        ("max_steps = 2.5", "max_steps must be a whole number, not 2.5"),
        ("max_steps = true", "max_steps must be a whole number, not true"),
        ("cell = 1", "cell must be true or false, not 1"),
        ("fmax = '0.1'", "fmax must be a number, not '0.1'"),
        ("movable = true", "movable must be a text, not true"),
        ("movable = [[1]]", "movable must be a text"),
        ("structures = [1]", "structures must be a list of texts, not [1]"),
        ("output = 3", "output must be the name of a file, in quotes, not 3"),
        ("workers = 0", "workers must be 1 or more, not 0"),
        ("force = true", "'force' is for the command line alone"),
        ("seed = ", "cannot be read as TOML"),
        ("seed = 1\nseed = 2", "cannot be read as TOML"),
    ],
)
def test_slips_are_told_in_a_sentence(tmp_path, text, said):
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(InputError) as told:
        read_config(file, OWN)
    assert str(told.value).startswith(f"{file}: ")
    assert said in str(told.value)
    assert "\n" not in str(told.value)


@pytest.fixture
def losiko(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    database().save("db.losiko")
    ase.io.write("in.xyz", [rattled("H2O"), rattled("CH4")])
    return command


def positions(name):
    return [each.positions.tolist() for each in ase.io.read(name, ":")]


def test_a_saved_run_is_run_again(losiko):
    command = ("relax", "in.xyz", "-d", "db.losiko", "--targets", "nearest", "--max-steps", "3")
    more = ("--no-escape", "--noise", "0.01,1", "--repulsion", "-o", "one.extxyz")
    assert losiko(*command, *more, "--save-config", "run.toml") == 0
    read = tomllib.loads(Path("run.toml").read_text())
    assert read["max_steps"] == 3
    assert read["no_escape"] is True
    assert read["structures"] == ["in.xyz"]
    assert losiko("relax", "--config", "run.toml", "-o", "two.extxyz") == 0
    assert positions("one.extxyz") == positions("two.extxyz")
    # The command line wins, for arguments and options.
    assert (
        losiko(
            *(
                "relax",
                "in.xyz@0",
                "--config",
                "run.toml",
                "-o",
                "three.extxyz",
                "--max-steps",
                "1",
            ),
            *("--save-config", "other.toml"),
        )
        == 0
    )
    (frame,) = ase.io.read("three.extxyz", ":")
    other = tomllib.loads(Path("other.toml").read_text())
    assert other["max_steps"] == 1
    assert other == {**read, "max_steps": 1, "structures": ["in.xyz@0"], "output": "three.extxyz"}
    assert frame.positions.tolist() != positions("one.extxyz")[0]


def test_a_config_is_written_without_a_run(losiko):
    assert losiko("relax", "--optimizer", "fire", "--save-config", "run.toml") == 0
    assert losiko.out == ""
    assert "nothing is relaxed" in losiko.err
    assert tomllib.loads(Path("run.toml").read_text()) == {"optimizer": "fire"}
    before = Path("run.toml").read_text()
    assert losiko("relax", "--seed", "3", "--save-config", "run.toml") == 2
    assert "exists already" in losiko.err
    assert losiko("relax", "--fmax", "-1", "--save-config", "new.toml") == 2
    assert not Path("new.toml").exists()
    assert Path("run.toml").read_text() == before
    assert losiko("relax", "--seed", "3", "--save-config", "run.toml", "--force") == 0
    assert tomllib.loads(Path("run.toml").read_text()) == {"seed": 3}


def test_configs_that_cannot_be_read(losiko):
    for text, said in [("optimizer = 'fir'", "none of"), ("max_steps = 0", "an integer from 1 on")]:
        Path("run.toml").write_text(text)
        assert losiko("relax", "in.xyz", "--config", "run.toml", "-o", "out.xyz") == 2
        assert said in losiko.err
        assert len(losiko.err.splitlines()) == 1
    assert losiko("relax", "--config", "none.toml") == 2
    assert "none.toml: no such file" in losiko.err
