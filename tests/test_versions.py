"""Files of other versions: those of before, and those that keep what targets fitted."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ase.build import molecule
from safetensors import safe_open
from safetensors.torch import save_file
from small_database import soap

from losiko_torch import EnvironmentDatabase, InputError, relax
from losiko_torch.database.curate.select import chosen, farthest, minus, thinned, trimmed
from losiko_torch.database.curate.union import united
from losiko_torch.database.element import Environments

#: Water and methanol as version 0.1 wrote them, described by SOAP with n_max 3 and l_max 2.
BEFORE = Path(__file__).parent / "data" / "database_0_1.losiko"
#: Losses that version 0.1 ended with from the starts below, in float64.
LOSSES = {
    "nearest": [0.0012098171471948158, 7.451944660969463e-05],
    "locally-linear": [0.0007564217757601761, 0.00028990923494387824],
}
DROPPED = "fitted targets dropped: fit again"


def test_a_database_of_before_is_written_again_as_it_is(tmp_path):
    made = EnvironmentDatabase.load(BEFORE)
    assert repr(made) == "EnvironmentDatabase(2 structures: 6 H, 1 C, 2 O; SOAP with 135 features)"
    assert made.closest is None
    assert not made.is_fitted
    made.save(tmp_path / "again.losiko")
    assert (tmp_path / "again.losiko").read_bytes() == BEFORE.read_bytes()


@pytest.mark.parametrize("targets", LOSSES)
def test_a_database_of_before_relaxes_as_before(targets):
    starts = [molecule("CH3OH"), molecule("H2O")]
    for seed, atoms in enumerate(starts, start=1):
        atoms.rattle(0.05, seed=seed)
    results = relax(starts, EnvironmentDatabase.load(BEFORE), targets=targets, dtype="float64")
    # Other processors round differently, by up to 1e-11 of a loss.
    assert [result.loss for result in results] == pytest.approx(LOSSES[targets], rel=1e-9)


@pytest.fixture
def plain():
    return EnvironmentDatabase.build([molecule("CH3OH"), molecule("H2O")], soap(n_max=3, l_max=2))


@pytest.fixture
def fitted(plain):
    """A database to whose elements networks were fitted; hydrogen and oxygen share a tensor."""
    shared = torch.linspace(0, 1, 5, dtype=torch.float64)
    own = {
        1: {"w": shared, "layer/bias": torch.ones(3)},
        6: {},
        8: {"w": shared, "counts": torch.tensor([[1, 2]]), "half": torch.ones(2).half()},
    }
    environments = {z: replace(part, fitted=own[z]) for z, part in plain.environments.items()}
    return replace(plain, environments=environments, fitted={"kind": "network", "width": 5})


def same_fitted(one, other):
    assert one.fitted == other.fitted
    assert list(one.environments) == list(other.environments)
    for z, part in one.environments.items():
        theirs = other.environments[z].fitted
        assert part.fitted.keys() == theirs.keys()
        for name, tensor in part.fitted.items():
            assert tensor.dtype == theirs[name].dtype
            assert torch.equal(tensor, theirs[name])


def version_of(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()["version"]


def test_what_was_fitted_comes_back_from_a_file(plain, fitted, tmp_path):
    plain, fitted = (replace(each, geometries=None) for each in (plain, fitted))
    plain.save(tmp_path / "plain.losiko")
    assert version_of(tmp_path / "plain.losiko") == "2"
    for name, made in (("both", fitted), ("whole", replace(plain, fitted={"a": 1}))):
        path = tmp_path / name
        made.save(path)
        assert version_of(path) == "4"
        back = EnvironmentDatabase.load(path)
        same_fitted(back, made)
        back.save(tmp_path / "again", overwrite=True)
        assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_environments_are_made_of_their_tensors(fitted):
    for part in fitted.environments.values():
        again = Environments.of_tensors(part.tensors())
        assert again.tensors().keys() == part.tensors().keys()
        assert all(each is part.tensors()[name] for name, each in again.tensors().items())
    assert "fitted/layer/bias" in fitted.environments[1].tensors()


def test_what_was_fitted_stays_with_its_references(fitted):
    same_fitted(fitted.weighted([2.0, 1.0]), fitted)
    same_fitted(fitted.without([1]), fitted)
    same_fitted(trimmed(fitted), fitted)
    same_fitted(fitted.searched_whole().with_lists(), fitted)
    part = fitted.environments[1]
    assert part.kept(torch.arange(2)).fitted is part.fitted
    moved = part.to("meta")
    assert moved.vectors.device.type == moved.fitted["w"].device.type == "meta"
    assert moved.fitted.keys() == part.fitted.keys()
    few = fitted.restricted([1, 8])
    assert few.fitted == fitted.fitted
    assert few.environments[1].fitted["w"] is part.fitted["w"]


def test_other_references_have_nothing_fitted(plain, fitted):
    other = EnvironmentDatabase.build(molecule("CH4"), soap(n_max=3, l_max=2))
    for change in (
        lambda one: thinned(one, 0.01),
        lambda one: farthest(one, 2),
        lambda one: minus(one, other, 0.01),
        lambda one: chosen(one, "formula==H2O"),
        lambda one: united([one, other]),
        lambda one: united([other, one]),
    ):
        made = change(fitted)
        assert not made.is_fitted
        assert made.metadata["curation"][-1] == DROPPED
        assert len(made.metadata["curation"]) == 2
        assert DROPPED not in change(plain).metadata["curation"]
    assert fitted.is_fitted


@pytest.mark.parametrize(
    ("name", "tensor", "sentence"),
    [
        ("w", torch.tensor([1.0, torch.nan]), "'fitted/w' of H contains numbers not finite"),
        ("w", torch.tensor([torch.inf]).half(), "'fitted/w' of H contains numbers not finite"),
        ("w", torch.tensor([True]), "'fitted/w' of H is of the wrong type"),
        ("w", torch.ones(2, dtype=torch.uint8), "'fitted/w' of H is of the wrong type"),
    ],
)
def test_damaged_fitted_tensors_are_refused(fitted, tmp_path, name, tensor, sentence):
    path = tmp_path / "db.losiko"
    fitted.save(path)
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        tensors, header = {each: file.get_tensor(each) for each in names}, file.metadata()
    save_file({**tensors, f"H/fitted/{name}": tensor}, path, metadata=header)
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        EnvironmentDatabase.load(path)
    assert str(path) in str(caught.value)
    part = replace(fitted.environments[1], fitted={name: tensor})
    made = replace(fitted, environments={**fitted.environments, 1: part})
    with pytest.raises(InputError, match=re.escape(sentence)):
        made.save(tmp_path / "other.losiko")
    assert not (tmp_path / "other.losiko").exists()


def test_complex_fitted_tensors_are_refused(fitted, tmp_path):
    """Files are made byte by byte: safetensors writes complex numbers in later versions alone."""
    path = tmp_path / "db.losiko"
    fitted.save(path)
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    assert header["H/fitted/w"]["dtype"] == "F64"
    header["H/fitted/w"] |= {"dtype": "C64", "shape": [5]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[begin:])
    # Versions of safetensors that know no complex numbers refuse the header.
    sentence = "'fitted/w' of H is of the wrong type|not a LOSIKO database, or a damaged one"
    with pytest.raises(InputError, match=sentence) as caught:
        EnvironmentDatabase.load(path)
    assert str(path) in str(caught.value)
    part = replace(fitted.environments[1], fitted={"w": torch.ones(2, dtype=torch.complex64)})
    made = replace(fitted, environments={**fitted.environments, 1: part})
    with pytest.raises(InputError, match="'fitted/w' of H is of the wrong type"):
        made.save(tmp_path / "other.losiko")
    assert not (tmp_path / "other.losiko").exists()


@pytest.mark.parametrize("text", ["[]", "7", "{", ""])
def test_a_damaged_fitted_entry_is_refused(fitted, tmp_path, text):
    path = tmp_path / "db.losiko"
    fitted.save(path)
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        tensors, header = {each: file.get_tensor(each) for each in names}, file.metadata()
    assert json.loads(header["fitted"]) == fitted.fitted
    save_file(tensors, path, metadata={**header, "fitted": text})
    with pytest.raises(InputError, match="damaged"):
        EnvironmentDatabase.load(path)


def test_what_cannot_be_written_as_json_is_refused(plain, tmp_path):
    with pytest.raises(InputError, match="fitted state cannot be written as JSON"):
        replace(plain, fitted={"net": object()}).save(tmp_path / "db.losiko")
