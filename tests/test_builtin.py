"""The built-in database: sane molecules, and a cache that helps where it can and never harms."""

import json
from collections import defaultdict

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.data import atomic_numbers, covalent_radii

from losiko_torch import SOAP, EnvironmentDatabase, relax
from losiko_torch.database import builtin
from losiko_torch.database.building.survey import distances_of
from losiko_torch.systems.geometry import bond_errors, rmsd


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
    monkeypatch.setattr(builtin, "_archive", lambda: archive)
    monkeypatch.setattr(builtin, "PARAMETERS", {"r_cut": 3.0, "n_max": 3, "l_max": 2, "sigma": 0.3})
    monkeypatch.setenv("LOSIKO_CACHE", str(tmp_path / "cache"))
    builtin.default_database.cache_clear()
    yield tmp_path / "cache"
    builtin.default_database.cache_clear()


def fresh():
    """The built-in database as another program gets it at its start."""
    builtin.default_database.cache_clear()
    return builtin.default_database()


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
    structures = list(builtin.builtin_structures())
    assert len(structures) >= 5000
    assert all(atoms.info["smiles"] for atoms in structures)
    elements = set()
    for atoms in structures:
        elements |= set(atoms.symbols)
        distances = atoms.get_all_distances()
        # The shortest bond of these elements is H-H (0.74 A).
        assert distances[np.triu_indices(len(atoms), 1)].min() > 0.7
        assert len(atoms) > 1
        assert not atoms.pbc.any()
        # No atom has come off: each has a neighbour within bonding distance.
        radii = covalent_radii[atoms.numbers]
        np.fill_diagonal(distances, np.inf)
        assert (distances / (radii[:, None] + radii)).min(axis=1).max() < 1.3
    assert elements == set(builtin.ELEMENTS)


def test_the_file_is_small():
    assert builtin._archive().stat().st_size < 3_000_000


@pytest.mark.parametrize("start", [0, 200, 1000, 3000])
def test_any_part_has_all_elements(start):
    part = list(builtin.builtin_structures())[start : start + 200]
    assert {symbol for atoms in part for symbol in atoms.symbols} == set(builtin.ELEMENTS)


def test_no_molecule_is_in_it_twice():
    seen = defaultdict(list)
    for atoms in builtin.builtin_structures():
        distances = np.sort(atoms.get_all_distances()[np.triu_indices(len(atoms), 1)])
        for other in seen[atoms.info["smiles"]]:
            assert np.sqrt(np.mean((distances - other) ** 2)) > 0.01
        seen[atoms.info["smiles"]].append(distances)


#: SMILES of a molecule of each kind that an earlier database did not have.
KINDS = {
    "thiol": "CCS",
    "thioether": "CCSC",
    "disulfide": "CSSC",
    "sulfoxide": "CS(C)=O",
    "sulfone": "CS(C)(=O)=O",
    "thioamide": "CC(N)=S",
    "thiophene": "c1ccsc1",
    "chloroalkane": "CCCCl",
    "two chlorines": "ClC(Cl)Cl",
    "acyl chloride": "CC(=O)Cl",
    "chlorobenzene": "Clc1ccccc1",
    "seven-membered ring": "C1CCCCCC1",
    "bridged ring": "C1CC2CCC1CC2",
}


@pytest.fixture(scope="module")
def without_the_kinds():
    """Hydrocarbons and molecules of S and Cl of the built-in database, but for those to relax."""

    def is_like(atoms):
        symbols = set(atoms.symbols)
        return symbols <= {"H", "C"} or (
            symbols & {"S", "Cl"} and symbols <= {"H", "C", "N", "O", "S", "Cl"}
        )

    like = [
        atoms
        for atoms in filter(is_like, builtin.builtin_structures())
        if atoms.info["smiles"] not in KINDS.values()
    ]
    soap = SOAP(species=["H", "C", "N", "O", "S", "Cl"], r_cut=3.0, n_max=4, l_max=4, sigma=0.3)
    return EnvironmentDatabase.build(like[:800:2], soap, components=100)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_molecule_relaxes_back_by_what_others_say_of_it(kind, without_the_kinds):
    (reference, *_) = (
        atoms for atoms in builtin.builtin_structures() if atoms.info["smiles"] == KINDS[kind]
    )
    distorted = reference.copy()
    distorted.rattle(0.1, seed=3)
    (result,) = relax(distorted, without_the_kinds)
    before, after = (bond_errors(a, reference).mean() for a in (distorted, result.atoms))
    assert after < 0.5 * before
    assert rmsd(result.atoms, reference) < rmsd(distorted, reference)


def test_metadata_say_what_it_is():
    metadata = builtin.builtin_metadata()
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
    assert builtin.default_database() is builtin.default_database()


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


def test_charges_and_positions_in_units_are_read(tmp_path):
    path = tmp_path / "charged.npz"
    positions = np.array([[0, 0, 0], [0, 0, 0.9573], [0.3, -1.25, 7.0001]])
    np.savez(
        path,
        Z=np.array([8, 1, 9], dtype=np.uint8),
        R=np.rint(positions / 1e-4).astype(np.int32),
        R_unit=np.array(1e-4),
        offsets=np.array([0, 2, 3]),
        smiles=np.frombuffer(b"[OH-]\n[F-]", dtype=np.uint8),
        charge=np.array([-1, 0], dtype=np.int8),
    )
    hydroxide, fluorine = builtin.builtin_structures(path)
    assert hydroxide.info == {"smiles": "[OH-]", "charge": -1}
    assert type(hydroxide.info["charge"]) is int
    assert fluorine.info == {"smiles": "[F-]"}  # no charge means none
    np.testing.assert_allclose(np.concatenate([hydroxide.positions, fluorine.positions]), positions)


def test_whatever_changes_the_descriptors_changes_the_name(tiny, monkeypatch):
    names = {builtin._fingerprint()}
    monkeypatch.setitem(builtin.PARAMETERS, "sigma", 0.31)
    names.add(builtin._fingerprint())
    monkeypatch.setattr(builtin, "ELEMENTS", ("H", "C", "N", "O"))
    names.add(builtin._fingerprint())
    monkeypatch.setattr(builtin, "COMPONENTS", 100)
    names.add(builtin._fingerprint())
    monkeypatch.setattr(builtin.storage, "VERSION", builtin.storage.VERSION + 1)
    names.add(builtin._fingerprint())
    archive = builtin._archive()
    archive.write_bytes(archive.read_bytes() + b"\0")
    names.add(builtin._fingerprint())
    assert len(names) == 6


def test_the_cached_one_tells_its_shortest_distances(tiny):
    fresh()
    assert fresh().closest == distances_of(builtin.builtin_structures())[0]


def test_elements_are_those_of_the_descriptor(tiny):
    made = fresh()
    assert made.descriptor.species == tuple(atomic_numbers[s] for s in builtin.ELEMENTS)
    assert made.metadata == {"title": "tiny"}
    assert [record["smiles"] for record in made.structures] == ["O", "C", "N"]
