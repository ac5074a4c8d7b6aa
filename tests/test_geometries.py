"""Geometries of a database's structures: kept in its file, and by all that is made of it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from safetensors import safe_open
from safetensors.torch import save_file
from small_database import NAMES, rattled, soap

from losiko_torch import EnvironmentDatabase, InputError
from losiko_torch.cli.app import main
from losiko_torch.database.curate.select import chosen, farthest, minus, thinned, trimmed
from losiko_torch.database.curate.union import united
from losiko_torch.database.geometries import SHAPES, Geometries

SMALL = {"n_max": 3, "l_max": 2}
MOLECULES = [rattled(name, seed) for seed, name in enumerate(NAMES[:6])]
#: Water and methanol as version 0.1 wrote them.
BEFORE = Path(__file__).parent / "data" / "database_0_1.losiko"


def crystals():
    """A crystal, a molecule in a box that is not periodic, and a layer, described together."""
    layer = Atoms("C2", [[0, 0, 0], [0, 1.42, 0]], cell=[2.46, 4.26, 0], pbc=[True, True, False])
    boxed = Atoms("CO", [[0, 0, 0], [0, 0, 1.128]], cell=[9, 9, 9])
    return [bulk("C", "diamond", 3.57), boxed, layer]


def build(structures, **changes):
    return EnvironmentDatabase.build(structures, soap(**SMALL, **changes))


@pytest.fixture(scope="module")
def small():
    return build(MOLECULES)


@pytest.fixture(scope="module")
def periodic():
    return build(crystals(), periodic=True)


def contents(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def same(one, other):
    for name, (dtype, _) in SHAPES.items():
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.dtype == theirs.dtype == dtype
        assert ours.device.type == "cpu"
        assert torch.equal(ours, theirs)


def assert_holds(geometries, structures):
    """Geometries are those of the structures, rounded to float32; cells are of periodic ones."""
    assert len(geometries) == len(structures)
    for k, wanted in enumerate(structures):
        atoms = geometries.atoms(k)
        cell = wanted.cell.array if wanted.pbc.any() else np.zeros((3, 3))
        assert atoms.positions.dtype == np.float64
        np.testing.assert_array_equal(atoms.numbers, wanted.numbers)
        np.testing.assert_array_equal(atoms.positions, wanted.positions.astype(np.float32))
        np.testing.assert_array_equal(atoms.cell.array, cell.astype(np.float32))
        np.testing.assert_array_equal(atoms.pbc, wanted.pbc)


def test_a_build_keeps_the_structures_it_described():
    """Geometries are in the order of the records, without structures filtered out or skipped."""
    molecules = [atoms.copy() for atoms in MOLECULES]
    for place, atoms in enumerate(molecules):
        atoms.info["place"] = place
    molecules.insert(2, Atoms("He"))
    made = EnvironmentDatabase.build(iter(molecules), soap(**SMALL), where="place<4")
    assert_holds(made.geometries, MOLECULES[:4])
    formulas = [made.geometries.atoms(k).get_chemical_formula() for k in range(4)]
    assert formulas == [record["formula"] for record in made.structures]


def test_structures_are_found_by_number():
    geometries = Geometries.of(MOLECULES)
    assert len(geometries.atoms(-1)) == len(MOLECULES[-1])
    with pytest.raises(IndexError):
        geometries.atoms(len(MOLECULES))
    changed = geometries.atoms(0)
    changed.positions += 1
    assert_holds(geometries, MOLECULES)


def test_geometries_are_joined_and_chosen():
    every = [*crystals(), *MOLECULES]
    joined = Geometries.of(crystals()).joined(Geometries.of(MOLECULES))
    assert_holds(joined, every)
    assert_holds(joined.kept([7, 0, 2]), [every[k] for k in (7, 0, 2)])


@pytest.mark.parametrize("structures", [MOLECULES, crystals()])
def test_geometries_are_made_of_their_tensors(structures):
    geometries = Geometries.of(structures)
    same(Geometries.of_tensors(geometries.tensors()), geometries)
    assert "geometries/positions" in geometries.tensors()


@pytest.mark.parametrize("kind", ["small", "periodic"])
def test_a_file_gives_back_every_bit(kind, request, tmp_path):
    made, path = request.getfixturevalue(kind), tmp_path / "db.losiko"
    made.save(path)
    tensors, header = contents(path)
    assert header["version"] == "5"
    # Molecules have no cells.
    assert ("geometries/cells" in tensors) == ("geometries/pbc" in tensors) == (kind == "periodic")
    back = EnvironmentDatabase.load(path)
    same(back.geometries, made.geometries)
    same(EnvironmentDatabase.look(path).geometries, made.geometries)
    back.save(tmp_path / "again.losiko")
    assert (tmp_path / "again.losiko").read_bytes() == path.read_bytes()
    assert_holds(back.geometries, MOLECULES if kind == "small" else crystals())


def test_geometries_are_small_beside_descriptors(small, tmp_path):
    small.save(tmp_path / "with")
    replace(small, geometries=None).save(tmp_path / "without")
    added = (tmp_path / "with").stat().st_size - (tmp_path / "without").stat().st_size
    # 13 bytes an atom, 4 a structure, and up to some hundred bytes of the header.
    assert 0 < added < 13 * len(small) + 4 * len(MOLECULES) + 400


def test_geometries_stay_where_they_are(small):
    moved = small.to("meta")
    assert moved.device.type == "meta"
    assert moved.geometries is small.geometries
    assert moved.geometries.positions.device.type == "cpu"


def test_what_is_made_of_a_database_keeps_its_geometries(small):
    """Numbers of structures keep their meaning: every reference is an atom of its element."""
    other = build([molecule("CH4")])
    for made in (
        small.without([0, 3]),
        small.weighted([1.0, 2.0, 1.0, 1.0, 0.5, 1.0]),
        small.restricted([1, 8]),
        small.with_lists(),
        small.searched_whole(),
        thinned(small, 0.05),
        farthest(small, 3),
        minus(small, other, 0.05),
        chosen(small, "formula==CH4"),
    ):
        assert made.geometries is small.geometries
        assert_elements(made)


def assert_elements(made):
    for number, part in made.environments.items():
        for k, atom in zip(part.structure.tolist(), part.atom.tolist(), strict=True):
            assert made.geometries.atoms(k).numbers[atom] == number


def test_renumbered_structures_are_renumbered_together(small, tmp_path):
    made = trimmed(small.without([0, 3]))
    assert_holds(made.geometries, [MOLECULES[k] for k in (1, 2, 4, 5)])
    assert_elements(made)
    made.save(tmp_path / "db.losiko")
    same(EnvironmentDatabase.load(tmp_path / "db.losiko").geometries, made.geometries)
    assert trimmed(replace(small, geometries=None)).geometries is None


def test_a_union_has_the_geometries_of_all(small):
    parts = [build(MOLECULES[:2]), build(MOLECULES[2:5]), build(MOLECULES[5:])]
    made = united(parts)
    same(made.geometries, small.geometries)
    assert_elements(made)
    assert united([small]).geometries is small.geometries


def test_a_union_with_a_file_of_before_has_none():
    before = EnvironmentDatabase.load(BEFORE)
    assert before.geometries is None
    new = EnvironmentDatabase.build([molecule("H2O")], before.descriptor)
    assert new.geometries is not None
    for parts in ([before, new], [new, before], [before, before]):
        made = united(parts)
        assert made.geometries is None
        assert len(made.structures) == sum(len(part.structures) for part in parts)


def changed(name, value):
    def change(tensors):
        tensors[f"geometries/{name}"] = value(tensors[f"geometries/{name}"])

    return change


def poisoned(value):
    def change(tensor):
        tensor = tensor.clone()
        tensor.view(-1)[1] = value
        return tensor

    return change


def shorter(tensors):
    """Leave out the last structure."""
    count = int(tensors["geometries/counts"][-1])
    for name in ("numbers", "positions"):
        tensors[f"geometries/{name}"] = tensors[f"geometries/{name}"][:-count].clone()
    for name in ("counts", "cells", "pbc"):
        tensors[f"geometries/{name}"] = tensors[f"geometries/{name}"][:-1].clone()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.pop("geometries/positions"), "its geometries are incomplete"),
        (lambda t: t.pop("geometries/pbc"), "its geometries are incomplete"),
        (lambda t: t.update({"geometries/q": torch.ones(1)}), "its geometries are incomplete"),
        (changed("positions", lambda t: t.double()), "the positions of its geometries are of"),
        (changed("positions", lambda t: t[1:].clone()), "wrong type or shape"),
        (changed("positions", lambda t: t[:, :2].clone()), "wrong type or shape"),
        (changed("numbers", lambda t: t.int()), "the numbers of its geometries are of the wrong"),
        (changed("numbers", lambda t: t[0].clone()), "wrong type or shape"),
        (changed("counts", lambda t: t.long()), "the counts of its geometries are of the wrong"),
        (changed("counts", lambda t: t[0].clone()), "wrong type or shape"),
        (changed("cells", lambda t: t[:, 0].clone()), "the cells of its geometries are of the"),
        (changed("pbc", lambda t: t.byte()), "the pbc of its geometries are of the wrong"),
        (changed("counts", lambda t: t + 1), "counts of its geometries do not match their atoms"),
        (changed("counts", poisoned(-1)), "counts of its geometries do not match their atoms"),
        (changed("numbers", poisoned(0)), "its geometries have atoms of no element"),
        (changed("numbers", poisoned(200)), "its geometries have atoms of no element"),
        (changed("positions", poisoned(torch.nan)), "its geometries contain numbers not finite"),
        (changed("cells", poisoned(torch.inf)), "its geometries contain numbers not finite"),
        (shorter, "its geometries are of 2 structures, and it has 3"),
        (changed("numbers", poisoned(8)), "environments of C belong to no atom of its geometries"),
        (
            changed("counts", lambda t: torch.tensor([1, 1, 4], dtype=t.dtype)),
            "environments of C belong to no atom of its geometries",
        ),
    ],
)
def test_damaged_geometries_are_refused(periodic, tmp_path, change, sentence):
    path = tmp_path / "db.losiko"
    periodic.save(path)
    tensors, header = contents(path)
    change(tensors)
    save_file(tensors, path, metadata=header)
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        EnvironmentDatabase.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_geometries_of_another_database_are_not_written(small, tmp_path):
    path = tmp_path / "db.losiko"
    others = Geometries.of(MOLECULES[1:])
    for geometries in (others, others.joined(others.kept([0]))):
        with pytest.raises(InputError, match="geometries"):
            replace(small, geometries=geometries).save(path)
    assert not path.exists()


def test_info_tells_whether_geometries_are_kept(small, tmp_path, capsys):
    small.save(tmp_path / "db.losiko")
    for path, told in ((tmp_path / "db.losiko", "kept"), (BEFORE, "not kept")):
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["info", str(path)])
        assert re.search(rf"^geometries +{told} *$", capsys.readouterr().out, re.MULTILINE)
