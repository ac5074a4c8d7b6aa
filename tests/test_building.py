"""Databases built part by part: the same as at once, flat in memory, and after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.collections import g2
from safetensors import safe_open
from small_database import NAMES, rattled, soap
from test_descriptor_interface import Learned

from losiko_torch import EnvironmentDatabase, InputError
from losiko_torch.cli.app import main
from losiko_torch.database import components
from losiko_torch.database import file as storage
from losiko_torch.database.building import order as layout
from losiko_torch.database.building import project as building
from losiko_torch.database.building.checkpoint import remove_parts
from losiko_torch.database.building.describe import describe
from losiko_torch.database.components import principal_components

SMALL = {"n_max": 3, "l_max": 2}


def molecules(count=60):
    return [rattled(NAMES[k % len(NAMES)], k) for k in range(count)]


@pytest.fixture
def in_parts(monkeypatch):
    """Sizes with which some tens of molecules make a few parts, and nothing is held."""
    monkeypatch.setattr(layout, "ATOMS_AT_ONCE", 30)
    monkeypatch.setattr(layout, "ATOMS_A_PART", 90)
    monkeypatch.setattr(building, "HELD", 0)


def assert_same(one, other):
    """Assert that two databases hold the same references in the same order, up to rounding."""
    assert one.structures == other.structures
    assert list(one.environments) == list(other.environments)
    for z, part in one.environments.items():
        twin = other.environments[z]
        assert torch.equal(part.structure, twin.structure)
        assert torch.equal(part.atom, twin.atom)
        first, second = part.vectors @ part.basis.T, twin.vectors @ twin.basis.T
        torch.testing.assert_close(first, second, rtol=0, atol=1e-5)
        torch.testing.assert_close(
            part.vectors @ part.vectors.T, twin.vectors @ twin.vectors.T, rtol=0, atol=5e-6
        )


def assert_equal(one, other):
    """Assert that two databases are equal, bit by bit."""
    assert one.structures == other.structures
    for z, part in one.environments.items():
        for name in storage.TENSORS:
            assert torch.equal(getattr(part, name), getattr(other.environments[z], name))


# What is built


def test_vectors_are_the_features_in_their_principal_components(monkeypatch):
    """Vectors are those of principal components of all features at once."""
    monkeypatch.setattr(components, "SAMPLE", 40)
    structures = molecules()
    made = EnvironmentDatabase.build(structures, soap(**SMALL), components=20)
    features = torch.cat([describe([atoms], soap(**SMALL)) for atoms in structures])
    numbers = np.concatenate([atoms.numbers for atoms in structures])
    for z, part in made.environments.items():
        own = features[torch.from_numpy(np.flatnonzero(numbers == z))]
        basis = principal_components(own, 20)
        lost = 1 - (own @ basis).square().sum(1)
        basis = principal_components(own, 20, components.joining_rows(lost))
        torch.testing.assert_close(
            part.vectors @ part.basis.T, own @ basis @ basis.T, rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("make", [lambda: soap(**SMALL), Learned])
def test_parts_of_any_size_give_the_same(in_parts, make):
    """Parts of any size agree, for SOAP restricted to a block's elements and for another module."""
    found = EnvironmentDatabase.build(molecules(), make(), components=20)
    assert len(layout.Layout.of(molecules()).parts()) > 4
    layout.ATOMS_AT_ONCE, layout.ATOMS_A_PART = 10_000, 100_000  # the fixture sets them back
    assert_same(found, EnvironmentDatabase.build(molecules(), make(), components=20))


def test_rare_environments_join_the_sample(in_parts, monkeypatch):
    """Environments that lose too much of their length are projected again with the others."""
    monkeypatch.setattr(components, "SAMPLE", 10)
    structures = [*[rattled("CH4", k, 0.02) for k in range(40)], g2["H2"]]
    structures += [rattled("CH4", 50 + k, 0.02) for k in range(40)]
    passes = []
    project = building._Projection.run

    def counted(self, *arguments):
        passes.append(list(self.bases))
        return project(self, *arguments)

    monkeypatch.setattr(building._Projection, "run", counted)
    made = EnvironmentDatabase.build(structures, soap(**SMALL), components=8)
    assert passes == [[1, 6], [1]]
    hydrogen = made.environments[1]
    rare = hydrogen.vectors[hydrogen.structure == 40]
    assert rare.square().sum(1).min() > 0.95


def test_features_are_not_all_there_at_once(in_parts, monkeypatch):
    """Features in memory are at most those of the sample, of a block, and of the held ones."""
    rows = []
    original = describe

    def counted(structures, descriptor):
        rows.append(sum(map(len, structures)))
        return original(structures, descriptor)

    monkeypatch.setattr(building, "describe", counted)
    EnvironmentDatabase.build(molecules(), soap(**SMALL))
    assert max(rows) < 30 + max(map(len, molecules()))
    described = sum(rows)
    monkeypatch.setattr(building, "HELD", 2**29)
    rows.clear()
    EnvironmentDatabase.build(molecules(), soap(**SMALL))
    assert sum(rows) < 0.6 * described


def test_progress_counts_every_structure_once(in_parts, monkeypatch):
    monkeypatch.setattr(components, "SAMPLE", 10)
    seen = []
    structures = [molecule("SiH4"), *molecules()]
    EnvironmentDatabase.build(structures, soap(**SMALL), components=4, progress=seen.append)
    assert sum(seen) == len(structures)
    assert len(seen) > 4


# Compact files


def test_large_elements_are_kept_in_fewer_components_and_float16(tmp_path, monkeypatch):
    monkeypatch.setattr(components, "MANY", 150)
    monkeypatch.setattr(components, "COMPONENTS_OF_MANY", 12)
    made = EnvironmentDatabase.build(molecules(), soap(**SMALL))
    hydrogen, oxygen = made.environments[1], made.environments[8]
    assert len(hydrogen) > 150 > len(oxygen)
    assert hydrogen.vectors.shape[1] == 12 < oxygen.vectors.shape[1]
    assert hydrogen.vectors.dtype == torch.float32
    replace(made, geometries=None).save(tmp_path / "db.losiko")
    with safe_open(tmp_path / "db.losiko", framework="pt") as file:
        assert file.metadata()["version"] == "3"
        assert file.get_tensor("H/vectors").dtype == torch.float16
        assert file.get_tensor("O/vectors").dtype == torch.float32
    back = EnvironmentDatabase.load(tmp_path / "db.losiko")
    assert_equal(back, made)
    # What is no longer large, or was never rounded, is not rounded by saving it.
    made.without(range(30)).save(tmp_path / "few.losiko")
    assert_equal(EnvironmentDatabase.load(tmp_path / "few.losiko"), made.without(range(30)))
    hydrogen.vectors.mul_(0.999)
    made.save(tmp_path / "changed.losiko")
    assert_equal(EnvironmentDatabase.load(tmp_path / "changed.losiko"), made)


def test_small_databases_need_no_new_version(tmp_path):
    made = EnvironmentDatabase.build(molecules(10), soap(**SMALL))
    replace(made, geometries=None).save(tmp_path / "db.losiko")
    with safe_open(tmp_path / "db.losiko", framework="pt") as file:
        assert file.metadata()["version"] == "2"


def test_a_long_list_of_structures_is_no_part_of_the_header(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LONGEST_HEADER", 100)
    structures = molecules(10)
    structures[3].info["name"] = "\u00e9"
    made = EnvironmentDatabase.build(structures, soap(**SMALL))
    made.save(tmp_path / "db.losiko")
    with safe_open(tmp_path / "db.losiko", framework="pt") as file:
        assert file.metadata()["structures"] == ""
    assert_equal(EnvironmentDatabase.load(tmp_path / "db.losiko"), made)


# Stopped and gone on with


class Stopped(Exception):
    pass


def stopping_after(count):
    """A callback that stops the build once so many structures are done."""
    done = []

    def progress(some):
        done.append(some)
        if sum(done) >= count:
            raise Stopped

    return progress


@pytest.mark.parametrize("sample", [10, 2048])
def test_a_stopped_build_goes_on_to_the_same_database(in_parts, tmp_path, monkeypatch, sample):
    """A build stopped anywhere ends in the same bits and describes no finished part again."""
    monkeypatch.setattr(components, "SAMPLE", sample)
    arguments = (molecules(), soap(**SMALL), 8)
    whole = EnvironmentDatabase.build(*arguments, parts=tmp_path / "whole")
    rows = []
    original = describe

    def counted(structures, descriptor):
        rows.append(len(structures))
        return original(structures, descriptor)

    monkeypatch.setattr(building, "describe", counted)
    parts = tmp_path / "parts"
    for count in (1, 20, 45):
        with pytest.raises(Stopped):
            EnvironmentDatabase.build(*arguments, parts=parts, progress=stopping_after(count))
    seen = []
    rows.clear()
    made = EnvironmentDatabase.build(*arguments, parts=parts, progress=seen.append)
    assert_equal(made, whole)
    assert sum(seen) == len(molecules())
    rows.clear()
    assert_equal(EnvironmentDatabase.build(*arguments, parts=parts), whole)
    assert sum(rows) == 1  # a structure, described for the number of features
    remove_parts(parts)
    assert not parts.exists()


def test_few_structures_leave_no_folder(tmp_path):
    EnvironmentDatabase.build(molecules(5), soap(**SMALL), parts=tmp_path / "parts")
    assert list(tmp_path.iterdir()) == []


def moved():
    structures = molecules()
    structures[7].positions[0, 0] += 1e-9
    return structures


def weighing():
    structures = molecules()
    structures[7].set_array("losiko_weight", np.ones(len(structures[7])))
    return structures


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"descriptor": soap(**SMALL, sigma=0.4)}, "descriptor.*sigma 0.3 there, 0.4 here"),
        ({"descriptor": Learned()}, "descriptor.*kind SOAP there, module here"),
        ({"components": 9}, "components.*H 8 there, 9 here"),
        ({"structures": molecules(59)}, "structures.*number 60 there, 59 here"),
        ({"structures": molecules()[::-1]}, "structures.*digest"),
        ({"structures": moved()}, "structures.*digest"),
        ({"structures": weighing()}, "structures.*digest"),
    ],
)
def test_parts_of_another_build_are_refused(in_parts, tmp_path, changed, sentence):
    arguments = {"structures": molecules(), "descriptor": soap(**SMALL), "components": 8}
    with pytest.raises(Stopped):
        EnvironmentDatabase.build(**arguments, parts=tmp_path, progress=stopping_after(20))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=sentence):
        EnvironmentDatabase.build(**{**arguments, **changed}, parts=tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_folder_of_something_else_is_refused_and_left_alone(in_parts, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        EnvironmentDatabase.build(molecules(), soap(**SMALL), parts=tmp_path)
    remove_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="cannot be used"):
        EnvironmentDatabase.build(molecules(), soap(**SMALL), parts=tmp_path / "thesis.txt")


@pytest.mark.parametrize("name", ["part-0-000001", "bases-0", "configuration"])
def test_damaged_parts_are_told(in_parts, tmp_path, name):
    with pytest.raises(Stopped):
        EnvironmentDatabase.build(
            molecules(), soap(**SMALL), parts=tmp_path, progress=stopping_after(40)
        )
    (damaged,) = tmp_path.glob(f"{name}.*")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(InputError, match=str(tmp_path)):
        EnvironmentDatabase.build(molecules(), soap(**SMALL), parts=tmp_path)


SLOWLY = """
import sys, time
from losiko_torch.cli.app import main
from losiko_torch.database.building import project as building
from losiko_torch.database.building import order as layout
from losiko_torch.database.building import checkpoint as parts
layout.ATOMS_AT_ONCE, layout.ATOMS_A_PART = 30, 90
keep = parts.Parts.keep
def slowly(self, *arguments):
    keep(self, *arguments)
    time.sleep(0.2)
parts.Parts.keep = slowly
main()
"""


def test_a_killed_command_goes_on(in_parts, tmp_path, capfd):
    """After SIGKILL at some moment the same command ends with the same file and no folder."""
    ase.io.write(tmp_path / "in.extxyz", molecules())
    arguments = ["build", str(tmp_path / "in.extxyz"), "--components", "8", "--n-max", "3"]
    output, parts = tmp_path / "db.losiko", tmp_path / "db.losiko.parts"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *arguments, "-o", str(output)], env=dict(os.environ)
    )
    limit = time.monotonic() + 60
    while len(list(parts.glob("part-*"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    assert json.loads((parts / "configuration.json").read_text())["structures"]["number"] == 60

    def command(path):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "-o", str(path)])
        assert ended.value.code == 0
        return capfd.readouterr().err

    assert f"going on with what {parts} holds" in command(output)
    assert not parts.exists()
    assert "going on" not in command(tmp_path / "whole.losiko")
    assert output.read_bytes() == (tmp_path / "whole.losiko").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("db.losiko", "in.extxyz", "whole.losiko")
    ]
