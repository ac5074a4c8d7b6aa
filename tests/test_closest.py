"""Shortest interatomic distances of pairs of elements: found, united, and kept in files."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from safetensors import safe_open
from safetensors.torch import save_file
from small_database import NAMES, rattled, soap

from losiko_torch import SOAP, EnvironmentDatabase, InputError
from losiko_torch.database.building import survey as survey_file
from losiko_torch.database.building.closest import united_closest
from losiko_torch.database.building.survey import FARTHEST, distances_of


def shortest_of(structures):
    return distances_of(structures)[0]


def plain(structures):
    """Shortest interatomic distances, Angstrom, from all pairs one by one."""
    found = {}
    for atoms in structures:
        apart = atoms.get_all_distances()
        for i in range(len(atoms)):
            for j in range(i):
                pair = tuple(sorted((int(atoms.numbers[i]), int(atoms.numbers[j]))))
                if apart[i, j] <= FARTHEST:
                    found[pair] = min(apart[i, j], found.get(pair, np.inf))
    return found


@pytest.mark.parametrize("at_once", [1, 30, 512])
def test_they_are_those_of_all_pairs(at_once, monkeypatch):
    monkeypatch.setattr(survey_file, "ATOMS_AT_ONCE", at_once)
    structures = [rattled(name, seed) for seed, name in enumerate(NAMES)]
    found, wanted = shortest_of(structures), plain(structures)
    assert list(found) == sorted(wanted)
    for pair, length in found.items():
        assert length == pytest.approx(wanted[pair], rel=1e-14)


def test_images_count_and_distant_atoms_do_not():
    silicon, salt = bulk("Si", a=5.43), bulk("NaCl", "rocksalt", a=5.64)
    found = shortest_of([silicon, salt])
    assert list(found) == [(11, 11), (11, 17), (14, 14), (17, 17)]
    assert found[14, 14] == pytest.approx(5.43 * np.sqrt(3) / 4)
    assert found[11, 11] == pytest.approx(5.64 / np.sqrt(2))
    assert found[11, 17] == pytest.approx(5.64 / 2)
    alone = Atoms("He", cell=[4.0, 9, 9], pbc=[True, False, False])
    assert shortest_of([alone]) == {(2, 2): 4.0}
    far = Atoms("HeNe", [[0, 0, 0], [0, 0, 5.1]])
    assert shortest_of([far, Atoms("Ar")]) == {}


def test_a_union_has_the_smaller_ones():
    one, other = {(1, 1): 1.5, (1, 8): 0.96}, {(1, 8): 0.95, (1, 6): 1.1}
    assert united_closest([one, other]) == {(1, 1): 1.5, (1, 6): 1.1, (1, 8): 0.95}
    assert united_closest([one, None, other]) is None


def test_a_database_keeps_them(tmp_path):
    small = soap(n_max=3, l_max=2)
    made = EnvironmentDatabase.build([molecule("CH3OH"), molecule("SiH4")], small)
    assert made.closest == shortest_of([molecule("CH3OH")])
    made.save(tmp_path / "one.losiko")
    with safe_open(tmp_path / "one.losiko", framework="pt") as file:
        told = json.loads(file.metadata()["closest"])
    assert list(told) == ["C-H", "C-O", "H-H", "H-O"]
    assert told["H-O"] == made.closest[1, 8]
    assert EnvironmentDatabase.load(tmp_path / "one.losiko").closest == made.closest
    for other in (
        made.thinned(0.1),
        made.farthest(1),
        made.restricted([1, 8]),
        made.weighted([2.0]),
        made.to("cpu"),
    ):
        assert other.closest == made.closest
    water = EnvironmentDatabase.build(molecule("H2O"), small)
    assert made.union(water).closest == shortest_of([molecule("CH3OH"), molecule("H2O")])
    assert made.minus(water, 0.1).closest == made.closest


def test_an_atom_alone_has_none(tmp_path):
    alone = SOAP(species=["He"], r_cut=3.0, n_max=2, l_max=1)
    made = EnvironmentDatabase.build(Atoms("He"), alone)
    assert made.closest == {}
    made.save(tmp_path / "db.losiko")
    assert EnvironmentDatabase.load(tmp_path / "db.losiko").closest == {}


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"C": 1.0}', '{"C-Q": 1.0}', '{"C-H": -1.0}', '{"C-H": NaN}', '{"C-H": "1"}'],
)
def test_damaged_ones_are_refused(tmp_path, text):
    path = tmp_path / "db.losiko"
    EnvironmentDatabase.build(molecule("H2O"), soap(n_max=3, l_max=2)).save(path)
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        tensors, header = {name: file.get_tensor(name) for name in names}, file.metadata()
    save_file(tensors, path, metadata={**header, "closest": text})
    with pytest.raises(InputError, match="damaged") as caught:
        EnvironmentDatabase.load(path)
    assert str(path) in str(caught.value)
