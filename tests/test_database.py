"""Databases: what goes in, what is kept of it, and files that survive or say why not."""

import json
import pickle
import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from safetensors import safe_open
from safetensors.torch import save_file
from small_database import NAMES, database, rattled, soap

from losiko_torch import SOAP, EnvironmentDatabase, InputError, StructureError, relax
from losiko_torch.database.building import order as layout
from losiko_torch.database.components import joining_rows, principal_components
from losiko_torch.database.defaults import CRYSTALS, MOLECULES
from losiko_torch.database.file import TENSORS


def features(atoms, descriptor=None):
    values = (descriptor or soap()).create(atoms)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


# What goes in


def test_every_environment_knows_where_it_came_from():
    """Vectors are those of the very atom they name, though structures are filtered and skipped."""
    molecules = [rattled(name, seed) for seed, name in enumerate(NAMES[:12])]
    for place, atoms in enumerate(molecules):
        atoms.info["place"] = place
    molecules[2].info["place"] = 99
    molecules.insert(5, molecule("SiH4"))
    molecules[5].info["place"] = 0
    made = EnvironmentDatabase.build(iter(molecules), soap(), where="place<50")
    kept = [atoms for k, atoms in enumerate(molecules) if k not in (2, 5)]
    assert [record["formula"] for record in made.structures] == [
        atoms.get_chemical_formula() for atoms in kept
    ]
    assert len(made) == sum(map(len, kept))
    for number, part in made.environments.items():
        assert len(part) == sum(int((atoms.numbers == number).sum()) for atoms in kept)
        assert len({*zip(part.structure.tolist(), part.atom.tolist(), strict=True)}) == len(part)
        vectors = (part.vectors @ part.basis.T).numpy()
        for row, structure, atom in zip(vectors, part.structure, part.atom, strict=True):
            assert kept[structure].numbers[atom] == number
            np.testing.assert_allclose(row, features(kept[structure])[atom], atol=2e-6)
    assert len(made.skipped) == 1
    assert re.search("structure 5: .*does not know Si", made.skipped[0])


def test_flushing_often_changes_nothing(monkeypatch):
    molecules = [rattled(name) for name in NAMES[:10]]
    wanted = EnvironmentDatabase.build(molecules, soap(), components=None)
    monkeypatch.setattr(layout, "ATOMS_AT_ONCE", 7)
    made = EnvironmentDatabase.build(molecules, soap(), components=None)
    assert made.structures == wanted.structures
    for number, part in wanted.environments.items():
        other = made.environments[number]
        assert torch.equal(part.structure, other.structure)
        assert torch.equal(part.atom, other.atom)
        torch.testing.assert_close(
            other.vectors @ other.basis.T, part.vectors @ part.basis.T, rtol=0, atol=1e-6
        )


def test_filters_must_all_hold():
    molecules = [molecule("H2O", info=None), *[molecule("CH4") for _ in range(4)]]
    for place, atoms in enumerate(molecules):
        atoms.info = {"energy": place, "kind": "odd" if place % 2 else "even"}
    made = EnvironmentDatabase.build(molecules, soap(), where=["energy>=1", "kind==odd"])
    assert len(made.structures) == 2
    with pytest.raises(InputError, match="5 did not pass the filters"):
        EnvironmentDatabase.build(molecules, soap(), where="energy>10")


def test_records_and_metadata_are_kept():
    atoms = molecule("H2O")
    atoms.info = {"smiles": "O", "id": np.int64(7), "other": object()}
    made = EnvironmentDatabase.build(atoms, soap(), metadata={"title": "one"})
    assert made.structures == [{"formula": "H2O", "smiles": "O", "id": 7}]
    assert made.metadata == {"title": "one"}


def test_records_hold_what_is_short():
    """Records keep numbers, truth values and short texts, not the results of a relaxation."""
    atoms = molecule("H2O")
    short = {"energy": np.float32(0.5), "stable": np.bool_(True), "n": 3, "name": "x" * 200}
    atoms.info = {
        **short,
        "formula": "not counted",
        "losiko_source": "in.xyz@4",
        "source": "a book",
        "losiko_loss": 0.1,
        "long": "x" * 201,
        "stress": np.zeros(6),
        "list": [1],
        5: "no text",
    }
    made = EnvironmentDatabase.build(atoms, soap())
    assert made.structures == [
        {"formula": "H2O", **short, "energy": 0.5, "source": "in.xyz@4"},
    ]
    assert [type(value) for value in made.structures[0].values()] == [
        *(str, float, bool, int, str, str)
    ]


def test_progress_counts_every_structure():
    seen = []
    molecules = [molecule("H2O"), molecule("SiH4"), molecule("CH4")]
    EnvironmentDatabase.build(molecules, soap(), progress=seen.append)
    assert sum(seen) == 3


def test_unusable_input_is_refused():
    for call, sentence in [
        (lambda: EnvironmentDatabase.build([], soap()), "none was given"),
        (lambda: EnvironmentDatabase.build([molecule("SiH4")], soap()), "does not know Si"),
        (lambda: EnvironmentDatabase.build([bulk("C")], soap()), "periodic"),
        (lambda: EnvironmentDatabase.build(["H2O"], soap()), "structure 0 is of type str"),
        (lambda: EnvironmentDatabase.build(molecule("H2O"), soap(average="inner")), "average"),
        (lambda: EnvironmentDatabase.build(molecule("H2O"), soap(), where="a~b"), "a~b"),
        (
            lambda: EnvironmentDatabase.build(molecule("H2O"), soap(), components=0),
            "an integer from 1 on",
        ),
    ]:
        with pytest.raises(InputError, match=sentence):
            call()
    with pytest.raises(StructureError, match=r"no environment of N \(it has H, O\)"):
        EnvironmentDatabase.build(molecule("H2O"), soap()).references_of(7)


# Components


def unit(n, n_features, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scale = 0.9 ** torch.arange(n_features)
    vectors = torch.randn(n, n_features, generator=generator) * scale
    return vectors / vectors.norm(dim=1, keepdim=True)


def left_over(vectors, basis):
    return (vectors - vectors @ basis @ basis.T).norm(dim=1)


@pytest.mark.parametrize(("n", "count"), [(20, None), (20, 512), (100, 30), (600, 50), (70, 500)])
def test_components_are_orthonormal(n, count, monkeypatch):
    monkeypatch.setattr("losiko_torch.database.components.SAMPLE", 300)
    basis = principal_components(unit(n, 60), count)
    eye = torch.eye(basis.shape[1])
    torch.testing.assert_close(basis.T @ basis, eye, rtol=0, atol=2e-6)
    assert basis.shape[1] <= min(n, 60, count or n)


def test_a_rare_reference_that_the_sample_misses_is_not_lost(monkeypatch):
    monkeypatch.setattr("losiko_torch.database.components.SAMPLE", 30)
    common = torch.nn.functional.pad(unit(100, 40), (0, 1))
    rare = torch.eye(41)[-1:]
    vectors = torch.cat([common[:50], rare, common[50:]])
    assert left_over(vectors, principal_components(vectors, 20))[50] > 0.99
    lost = 1 - (vectors @ principal_components(vectors, 20)).square().sum(1)
    basis = principal_components(vectors, 20, joining_rows(lost))
    assert left_over(vectors, basis)[50] < 0.01
    assert basis.shape == (41, 20)


def test_fewer_references_than_components_are_spanned_exactly():
    vectors = torch.cat([unit(30, 200), unit(30, 200)])
    basis = principal_components(vectors, 60)
    assert basis.shape[1] == 30
    assert left_over(vectors, basis).max() < 2e-6


def test_more_components_leave_less():
    vectors = unit(400, 80)
    errors = [
        float(left_over(vectors, principal_components(vectors, c)).mean()) for c in (5, 20, 50)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    singular = torch.linalg.svd(vectors.double())[1]
    rest = left_over(vectors, principal_components(vectors, 20)).double().square().sum()
    torch.testing.assert_close(rest, singular[20:].square().sum(), rtol=1e-4, atol=0)


def test_components_are_the_same_every_time():
    vectors = unit(500, 60)
    assert torch.equal(principal_components(vectors, 40), principal_components(vectors, 40))


# Files


@pytest.fixture
def small():
    return EnvironmentDatabase.build(
        [molecule("H2O"), molecule("CH4")], soap(n_max=3, l_max=2), metadata={"title": "two"}
    )


@pytest.fixture
def saved(small, tmp_path):
    path = tmp_path / "db.losiko"
    small.save(path)
    return path


def contents(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def test_a_file_gives_back_every_bit(tmp_path):
    made = database()
    made.save(tmp_path / "db.losiko")
    back = EnvironmentDatabase.load(tmp_path / "db.losiko")
    assert back.structures == made.structures
    assert back.metadata == made.metadata
    assert back.descriptor.parameters_dict() == made.descriptor.parameters_dict()
    assert list(back.environments) == list(made.environments)
    for number, part in made.environments.items():
        for name in TENSORS:
            one, other = getattr(part, name), getattr(back.environments[number], name)
            assert one.dtype == other.dtype
            assert torch.equal(one, other)


def test_every_descriptor_survives(tmp_path):
    changes = {
        "rbf": "polynomial",
        "weighting": {"function": "poly", "r0": 4.0, "c": 1.0, "m": 1.0},
        "compression": {"mode": "mu2", "species_weighting": {"H": 1, "C": 2, "N": 3, "O": 4}},
        "periodic": True,
        "smooth_width": 0.5,
    }
    made = EnvironmentDatabase.build(
        molecule("H2O"), type(soap())(**{**soap().parameters_dict(), **changes})
    )
    made.save(tmp_path / "db.losiko")
    back = EnvironmentDatabase.load(tmp_path / "db.losiko")
    assert back.descriptor.parameters_dict() == made.descriptor.parameters_dict()
    np.testing.assert_array_equal(
        features(molecule("H2O"), back.descriptor), features(molecule("H2O"), made.descriptor)
    )


def test_files_of_the_first_version_are_soap(small, saved):
    """Files of version 1 name no kind of descriptor."""
    tensors, header = contents(saved)
    del header["kind"]
    save_file(tensors, saved, metadata={**header, "version": "1"})
    back = EnvironmentDatabase.load(saved)
    assert back.descriptor.parameters_dict() == small.descriptor.parameters_dict()
    assert torch.equal(back.environments[1].vectors, small.environments[1].vectors)


def test_cut_files_are_refused(saved):
    whole = saved.read_bytes()
    for size in (0, 1, 7, 8, 9, 100, 1000, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:size])
        with pytest.raises(InputError, match=re.escape(str(saved))):
            EnvironmentDatabase.load(saved)


def test_damaged_bytes_never_raise_anything_else(saved):
    whole = saved.read_bytes()
    header = int.from_bytes(whole[:8], "little") + 8
    generator = np.random.default_rng(0)
    messages = []
    for trial in range(400):
        place = int(generator.integers(header if trial % 4 else len(whole)))
        damaged = bytearray(whole)
        damaged[place] = int(generator.integers(256)) if trial % 2 else ord("0") + trial % 10
        saved.write_bytes(damaged)
        try:
            EnvironmentDatabase.load(saved)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(str(saved) in message for message in messages)


def no_change(tensors, header):
    pass


def changed(name, value):
    def change(tensors, header):
        tensors[name] = value(tensors[name])

    return change


def header_entry(name, value):
    def change(tensors, header):
        header[name] = value

    return change


def poisoned(tensor):
    tensor = tensor.clone()
    tensor[0, 0] = torch.nan
    return tensor


def descriptor_entry(name, value):
    def change(tensors, header):
        header["descriptor"] = json.dumps({**json.loads(header["descriptor"]), name: value})

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t, h: h.clear(), "not a LOSIKO database"),
        (header_entry("format", "something else"), "not a LOSIKO database"),
        (header_entry("version", "6"), "newer than this program"),
        (header_entry("version", "two"), "damaged"),
        (header_entry("kind", "LMBTR"), "its descriptor 'LMBTR' is none that this program knows"),
        (header_entry("kind", "ACSF"), "damaged"),
        (header_entry("kind", "module"), "fingerprint of its descriptor is missing"),
        (header_entry("structures", "{"), "damaged"),
        (header_entry("structures", "7"), "damaged"),
        (header_entry("structures", "[]"), "belong to no structure"),
        (header_entry("metadata", "[]"), "damaged"),
        (lambda t, h: h.pop("descriptor"), "descriptor"),
        (descriptor_entry("l_max", 4), "do not match the descriptor"),
        (descriptor_entry("species", ["H", "O"]), "do not match the descriptor"),
        (descriptor_entry("species", ["Q"]), "'Q' is no chemical symbol"),
        (descriptor_entry("colour", 4), "colour"),
        (descriptor_entry("weighting", 4), "damaged|weighting"),
        (descriptor_entry("average", "inner"), "averages"),
        (lambda t, h: t.pop("H/atom"), "environments of H are incomplete"),
        (lambda t, h: t.update({"Q/atom": t["H/atom"].clone()}), "Q"),
        (lambda t, h: t.update({"junk": t["H/atom"].clone()}), "junk"),
        (lambda t, h: t.clear(), "no environments"),
        (changed("O/vectors", poisoned), "O contain numbers not finite"),
        (changed("O/basis", poisoned), "O contain numbers not finite"),
        (changed("H/structure", lambda t: t + 2), "H belong to no structure"),
        (changed("H/structure", lambda t: t - 1), "H belong to no structure"),
        (changed("H/structure", lambda t: t[:2].clone()), "H differ in number"),
        (changed("H/structure", lambda t: t.float()), "wrong type"),
        (changed("H/vectors", lambda t: t.double()), "wrong type"),
        (changed("H/vectors", lambda t: t[0].clone()), "H do not match the descriptor"),
        (changed("H/vectors", lambda t: t[:, :1].clone()), "H do not match the descriptor"),
    ],
)
def test_wrong_contents_are_refused(saved, change, sentence):
    tensors, header = contents(saved)
    change(tensors, header)
    save_file(tensors, saved, metadata=header)
    with pytest.raises(InputError, match=sentence) as caught:
        EnvironmentDatabase.load(saved)
    assert str(saved) in str(caught.value)


def test_other_files_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match="no such database"):
            EnvironmentDatabase.load(path)
    path = tmp_path / "text"
    path.write_text("H 0 0 0\n")
    with pytest.raises(InputError, match="not a LOSIKO database"):
        EnvironmentDatabase.load(path)


def test_an_existing_file_is_kept_unless_told_otherwise(small, saved):
    before = saved.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        database().save(saved)
    assert saved.read_bytes() == before
    database().save(saved, overwrite=True)
    assert len(EnvironmentDatabase.load(saved)) == len(database())


def test_a_failed_save_leaves_the_old_file_and_no_litter(small, saved, monkeypatch):
    before = saved.read_bytes()

    def half(tensors, name, metadata):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("losiko_torch.database.file.save_file", half)
    with pytest.raises(InputError, match="No space left"):
        small.save(saved, overwrite=True)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_what_cannot_be_written_is_told(small, tmp_path):
    with pytest.raises(InputError, match="No such file or directory"):
        small.save(tmp_path / "no" / "folder.losiko")
    small.metadata["what"] = object()
    with pytest.raises(InputError, match="metadata cannot be written as JSON"):
        small.save(tmp_path / "db.losiko")
    assert list(tmp_path.iterdir()) == []


def test_loading_unpickles_nothing(saved, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    EnvironmentDatabase.load(saved)


def test_moving_to_where_it_is_copies_nothing():
    made = database()
    assert made.to("cpu") is made
    assert made.to(torch.device("cpu")) is made


def test_atoms_of_no_element_are_skipped():
    ghost = Atoms(numbers=[200, 1], positions=[[0, 0, 0], [0, 0, 1]])
    made = EnvironmentDatabase.build([ghost, molecule("H2O")], soap())
    assert "atomic number 200" in made.skipped[0]


def test_without_some_structures_is_as_if_they_had_never_been_there():
    molecules = [rattled(name, seed) for seed, name in enumerate(NAMES[:8])]
    whole = EnvironmentDatabase.build(molecules, soap())
    part = whole.without([1, 5])
    rest = EnvironmentDatabase.build(
        [m for k, m in enumerate(molecules) if k not in (1, 5)], soap()
    )
    assert len(part) == len(rest)
    for number, environments_of in rest.environments.items():
        ours = part.environments[number]
        assert set(ours.structure.tolist()).isdisjoint({1, 5})
        expected = environments_of.vectors @ environments_of.basis.T
        assert torch.allclose(ours.vectors @ ours.basis.T, expected, atol=2e-6)
    with pytest.raises(InputError, match="no environment is left"):
        whole.without(range(8))


def test_same_database_is_the_same_file(tmp_path):
    made = EnvironmentDatabase.build([molecule("H2O")], soap(), metadata={"title": "\u00e9\n\x1f"})
    files = [tmp_path / f"{k}.losiko" for k in range(4)]
    for file in files:
        made.save(file)
    assert len({file.read_bytes() for file in files}) == 1
    assert EnvironmentDatabase.load(files[0]).metadata == made.metadata


def test_defaults_are_those_of_what_most_structures_are():
    soap = SOAP(species=["H", "Si"], r_cut=3.0, n_max=2, l_max=1, sigma=0.4, periodic=True)
    crystals = [bulk("Si", a=a) for a in (5.4, 5.5)]
    assert EnvironmentDatabase.build([molecule("SiH4")], soap).defaults == MOLECULES
    assert EnvironmentDatabase.build([molecule("SiH4"), *crystals], soap).defaults == CRYSTALS
    assert EnvironmentDatabase.build([molecule("SiH4"), crystals[0]], soap).defaults == MOLECULES
    liar = molecule("SiH4")
    liar.info["periodic"] = True
    made = EnvironmentDatabase.build(liar, soap)
    assert made.defaults == MOLECULES
    assert "periodic" not in made.structures[0]


def test_a_database_serves_alike_before_and_after_it_was_in_a_file(tmp_path):
    # Bit by bit: a run may begin where its database is made, and go on where it is read.
    made = database()
    made.save(tmp_path / "same.losiko")
    loaded = EnvironmentDatabase.load(tmp_path / "same.losiko")
    some = [rattled(name, k) for k, name in enumerate(("CH3CH2OH", "C6H6", "CH3CONH2"))]
    for one, other in zip(relax(some, made), relax(some, loaded), strict=True):
        np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)
