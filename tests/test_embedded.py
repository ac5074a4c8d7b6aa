"""The embedded database: sane molecules, and a cache that helps where it can and never harms."""

import json

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.data import atomic_numbers

from losiko_torch import EnvironmentDatabase, relax
from losiko_torch.database import embedded


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Three molecules and a small descriptor in place of the real ones, and an empty cache."""
    structures = [molecule("H2O"), molecule("CH4"), molecule("NH3")]
    archive = tmp_path / "tiny.npz"
    np.savez(
        archive,
        Z=np.concatenate([atoms.numbers for atoms in structures]).astype(np.uint8),
        R=np.concatenate([atoms.positions for atoms in structures]).astype(np.float32),
        offsets=np.cumsum([0, *map(len, structures)]),
        smiles=np.frombuffer(b"O\nC\nN", dtype=np.uint8),
        metadata=np.frombuffer(json.dumps({"title": "tiny"}).encode(), dtype=np.uint8),
    )
    monkeypatch.setattr(embedded, "_archive", lambda: archive)
    monkeypatch.setattr(
        embedded, "PARAMETERS", {"r_cut": 3.0, "n_max": 3, "l_max": 2, "sigma": 0.3}
    )
    monkeypatch.setenv("LOSIKO_CACHE", str(tmp_path / "cache"))
    embedded.default_database.cache_clear()
    yield tmp_path / "cache"
    embedded.default_database.cache_clear()


def fresh():
    """As at the start of another program."""
    embedded.default_database.cache_clear()
    return embedded.default_database()


def no_building(*arguments, **options):
    raise AssertionError("the cache was not used")


def equal(one, other):
    return (
        one.structures == other.structures
        and one.metadata == other.metadata
        and all(
            torch.equal(part.vectors, other.environments[z].vectors)
            for z, part in one.environments.items()
        )
    )


def test_the_molecules_are_many_and_sane():
    structures = list(embedded.embedded_structures())
    assert len(structures) >= 800
    assert all(atoms.info["smiles"] for atoms in structures)
    elements = set()
    for atoms in structures:
        elements |= set(atoms.get_chemical_symbols())
        distances = atoms.get_all_distances()[np.triu_indices(len(atoms), 1)]
        # The shortest bond of these elements is H-H (0.74 A).
        assert distances.min() > 0.7
        assert len(atoms) > 1
        assert not atoms.pbc.any()
        # No atom has come off: each has a neighbour within bonding distance.
        nearest = np.sort(atoms.get_all_distances(), axis=1)[:, 1]
        assert nearest.max() < 1.65
    assert elements == {"H", "C", "N", "O", "F"}


def test_the_first_part_is_a_database_of_all_elements():
    structures = embedded.embedded_structures()
    first = {symbol for _ in range(200) for symbol in next(structures).get_chemical_symbols()}
    assert first == {"H", "C", "N", "O", "F"}


def test_metadata_say_what_it_is():
    metadata = embedded.embedded_metadata()
    text = json.dumps(metadata).lower()
    for word in ("title", "licen"):
        assert word in text
    assert all(metadata.values())


def test_the_cache_is_written_once_and_used(tiny, monkeypatch):
    made = fresh()
    (path,) = tiny.iterdir()
    written = path.stat().st_mtime_ns
    monkeypatch.setattr(EnvironmentDatabase, "build", no_building)
    assert equal(fresh(), made)
    assert path.stat().st_mtime_ns == written
    assert embedded.default_database() is embedded.default_database()


def test_it_serves_where_no_database_is_given(tiny):
    start = molecule("H2O")
    start.positions[0] += 0.1
    (result,) = relax(start, targets="nearest")
    assert result.loss < 0.1 * result.start_loss


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_cache_is_made_again(tiny, damage, monkeypatch):
    made = fresh()
    (path,) = tiny.iterdir()
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    assert equal(fresh(), made)
    assert list(tiny.iterdir()) == [path]
    monkeypatch.setattr(EnvironmentDatabase, "build", no_building)
    assert equal(fresh(), made)


def test_a_cache_that_cannot_be_written_is_no_error(tiny, monkeypatch):
    made = fresh()
    file = tiny.parent / "file"
    file.write_text("not a folder")
    for folder in (file, file / "below", file / "far" / "below"):
        monkeypatch.setenv("LOSIKO_CACHE", str(folder))
        assert equal(fresh(), made)
    assert file.read_text() == "not a folder"


def test_something_odd_in_place_of_the_cache_is_no_error(tiny):
    made = fresh()
    (path,) = tiny.iterdir()
    path.unlink()
    path.mkdir()
    assert equal(fresh(), made)


def test_whatever_changes_the_descriptors_changes_the_name(tiny, monkeypatch):
    names = {embedded._fingerprint()}
    monkeypatch.setitem(embedded.PARAMETERS, "sigma", 0.31)
    names.add(embedded._fingerprint())
    monkeypatch.setattr(embedded, "ELEMENTS", ("H", "C", "N", "O"))
    names.add(embedded._fingerprint())
    monkeypatch.setattr(embedded, "COMPONENTS", 100)
    names.add(embedded._fingerprint())
    monkeypatch.setattr(embedded.storage, "VERSION", embedded.storage.VERSION + 1)
    names.add(embedded._fingerprint())
    archive = embedded._archive()
    archive.write_bytes(archive.read_bytes() + b"\0")
    names.add(embedded._fingerprint())
    assert len(names) == 6


def test_elements_are_those_of_the_descriptor(tiny):
    made = fresh()
    assert made.descriptor.species == tuple(atomic_numbers[s] for s in embedded.ELEMENTS)
    assert made.metadata == {"title": "tiny"}
    assert [record["smiles"] for record in made.structures] == ["O", "C", "N"]
