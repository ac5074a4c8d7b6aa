"""The built-in database: sane molecules, and a cache that helps where it can and never harms."""

import json
import os
import pickle
from collections import defaultdict

import numpy as np
import pytest
import small_learned
import torch
from ase.build import molecule
from ase.data import covalent_radii

from losiko_torch import SOAP, EnvironmentDatabase, InputError, relax
from losiko_torch.database import builtin
from losiko_torch.database.building.survey import distances_of
from losiko_torch.database.known import rounded, write_known
from losiko_torch.learned.stored import write
from losiko_torch.systems.geometry import bond_errors, rmsd


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A few molecules and small networks in place of the real ones, and an empty cache."""
    archive = tmp_path / "data" / "organic.npz"
    archive.parent.mkdir()
    small_archive(archive, small_learned.molecules())
    monkeypatch.setattr(builtin, "_folder", lambda: archive.parent)
    monkeypatch.setenv("LOSIKO_CACHE", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    forget()


def small_archive(path, structures):
    """Write what a built-in database ships: structures, networks, and what is known of them."""
    np.savez(
        path,
        Z=np.concatenate([atoms.numbers for atoms in structures]).astype(np.uint8),
        R=np.concatenate([atoms.positions for atoms in structures]).astype(np.float32),
        offsets=np.cumsum([0, *map(len, structures)]),
        smiles=np.frombuffer("\n".join(small_learned.NAMES).encode(), dtype=np.uint8),
        metadata=np.frombuffer(json.dumps({"title": "tiny"}).encode(), dtype=np.uint8),
    )
    model = small_learned.of_molecules().learned
    write(model, path.with_name(f"{path.stem}_learned.safetensors"))
    kept = builtin.builtin_structures(path)
    database = EnvironmentDatabase.build(kept, rounded(model.descriptor))
    write_known(database, path.with_name(f"{path.stem}_known.safetensors"))


def forget():
    """Forget the built-in databases, as another program does not know them at its start."""
    builtin.builtin_database.cache_clear()
    builtin._all_described.cache_clear()


def fresh():
    """The built-in database as another program gets it at its start, described."""
    forget()
    made = builtin.default_database()
    assert all(len(part.vectors) == len(part) for part in made.environments.values())
    return made


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
    assert elements == set(builtin.builtin_metadata()["elements"])


def test_the_file_is_small():
    assert builtin._archive().stat().st_size < 3_000_000


@pytest.mark.parametrize("start", [0, 200, 1000, 3000])
def test_any_part_has_all_elements(start):
    part = list(builtin.builtin_structures())[start : start + 200]
    elements = set(builtin.builtin_metadata()["elements"])
    assert {symbol for atoms in part for symbol in atoms.symbols} == elements


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
    forget()
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
    monkeypatch.setattr(builtin, "COMPONENTS", 100)
    names.add(builtin._fingerprint())
    monkeypatch.setattr(builtin.storage, "VERSION", builtin.storage.VERSION + 1)
    names.add(builtin._fingerprint())
    for suffix in (".npz", "_known.safetensors", "_learned.safetensors"):
        path = builtin._data("organic", suffix)
        path.write_bytes(path.read_bytes() + b"\0")
        names.add(builtin._fingerprint())
    assert len(names) == 6


def test_distances_and_survey_are_those_of_the_structures(tiny):
    made = fresh()
    closest, survey = distances_of(builtin.builtin_structures())
    assert made.closest == closest
    assert made.survey == survey
    assert made.metadata == {"title": "tiny"}
    assert [record["smiles"] for record in made.structures] == small_learned.NAMES


def test_learned_targets_relax_before_anything_is_described(tiny, monkeypatch):
    forget()
    monkeypatch.setattr(EnvironmentDatabase, "build", no_building)
    (result,) = relax(small_learned.molecule("CH3OH", 1))
    assert result.loss < result.start_loss
    assert result.expected_error is not None
    assert not tiny.exists()
    database = builtin.default_database()
    assert not any(part.is_described for part in database.environments.values())
    assert len(database) == sum(len(atoms) for atoms in small_learned.molecules())
    assert "MixedSoap" in repr(database)


def test_matches_describe_the_references_once_and_say_so(tiny, caplog):
    forget()
    (result,) = relax(small_learned.molecule("CH3OH", 1))
    assert caplog.messages == []
    matches = result.matches
    assert (matches.distance[:, 0] < 1).all()
    (told,) = caplog.messages
    assert told.startswith("describing the references of the built-in database 'organic'")
    forget()
    (again,) = relax(small_learned.molecule("CH3OH", 1))
    np.testing.assert_array_equal(again.matches.distance, matches.distance)
    assert len(caplog.messages) == 1


def test_described_on_demand_is_what_is_built(tiny):
    on_demand = fresh()
    built = EnvironmentDatabase.build(builtin.builtin_structures(), on_demand.descriptor)
    for number, part in built.environments.items():
        other = on_demand.environments[number]
        assert torch.equal(other.structure, part.structure)
        assert torch.equal(other.atom, part.atom)
        assert torch.equal(other.vectors, part.vectors)
    start = small_learned.molecule("CH3CHO", 2)
    for targets in ("nearest", "locally-linear"):
        one, other = (relax(start, each, targets=targets)[0] for each in (on_demand, built))
        np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)


def test_copies_files_and_other_processes_hold_the_references(tiny, tmp_path):
    forget()
    database = builtin.default_database()
    copy = pickle.loads(pickle.dumps(database))
    assert torch.equal(copy.environments[6].vectors, database.environments[6].vectors)
    database.save(tmp_path / "own.losiko")
    loaded = EnvironmentDatabase.load(tmp_path / "own.losiko")
    assert torch.equal(loaded.environments[1].vectors, database.environments[1].vectors)
    start = small_learned.molecule("CH3CHO", 2)
    one, other = relax(start, database)[0], relax(start, loaded)[0]
    np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)


def test_others_are_had_by_name(tiny):
    small_archive(builtin._folder() / "second.npz", small_learned.molecules())
    assert builtin.builtin_names() == ["organic", "second"]
    start = small_learned.molecule("CH3OH", 1)
    one, other = relax(start)[0], relax(start, "second")[0]
    np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)
    with pytest.raises(InputError, match=r"no built-in database 'secnd'.*mean 'second'\?\)"):
        relax(start, "secnd")
    assert builtin.builtin_name(None) == "organic"
    assert builtin.builtin_name("second") == "second"
    assert builtin.builtin_name("second.losiko") is None


def test_qm9_is_built_in_with_its_source_and_what_is_set_apart():
    structures = list(builtin.builtin_structures(name="qm9"))
    metadata = builtin.builtin_metadata(name="qm9")
    assert builtin.builtin_names() == ["organic", "qm9"]
    assert metadata["level_of_theory"].startswith("B3LYP/6-31G(2df,p)")
    assert metadata["licence"] == "CC0"
    assert metadata["n_molecules"] == len(structures) >= 3000
    assert metadata["n_atoms"] == sum(map(len, structures))
    assert {symbol for atoms in structures for symbol in atoms.symbols} == {*metadata["elements"]}
    with np.load(builtin._archive("qm9")) as archive:
        apart = set(archive["set_apart"].tolist())
    assert len(apart) > 4000
    assert apart.isdisjoint(atoms.info["id"] for atoms in structures)
    others = {atoms.info["id"] for atoms in structures}
    assert len(others) == len(structures)


@pytest.mark.skipif("LOSIKO_DATA" not in os.environ, reason="LOSIKO_DATA is not set")
def test_built_in_qm9_holds_qm9s_geometries_and_what_is_reported_is_set_apart():
    cases = pytest.importorskip("cases.molecules")
    qm9 = cases.QM9()
    place = dict(zip(qm9.ids.tolist(), range(len(qm9.ids)), strict=True))
    for atoms in list(builtin.builtin_structures(name="qm9"))[::50]:
        original = qm9.molecule(place[atoms.info["id"]])
        np.testing.assert_array_equal(atoms.numbers, original.numbers)
        np.testing.assert_allclose(atoms.positions, original.positions, atol=1e-4)
    with np.load(builtin._archive("qm9")) as archive:
        apart = set(archive["set_apart"].tolist())
    for told in (qm9.choosing(1000), qm9.reporting(200), qm9.reporting(1000)):
        assert {atoms.info["id"] for atoms in told} <= apart


def test_qm9_relaxes_a_molecule_nearer_to_dft_than_organic_does():
    # B3LYP/6-31G(2df,p) has 0.9620 A and 103.7 degrees for water, GFN2-xTB 107.
    start = molecule("H2O")
    start.rattle(0.08, seed=1)
    by_name = {name: relax(start, name)[0] for name in ("qm9", "organic")}
    angles = {name: one.atoms.get_angle(1, 0, 2) for name, one in by_name.items()}
    assert abs(angles["qm9"] - 103.7) < 2 < abs(angles["organic"] - 103.7)
