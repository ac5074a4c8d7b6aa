"""Comparison of geometries: laws of the differences, matches of two files, and the command."""

import csv
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.collections import g2
from hypothesis import given, settings
from hypothesis import strategies as st

from losiko_torch import StructureError, rmsd
from losiko_torch.systems.comparison import difference, matched
from losiko_torch.systems.names import SOURCE

NAMES = ("CH3CH2OH", "C6H6", "NH3", "CO2", "H2O")


def turned(atoms, seed):
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    moved = atoms.copy()
    moved.positions = atoms.positions @ turn + rng.normal(size=3)
    return moved


def shaken(atoms, width, seed=0):
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(0, width, atoms.positions.shape)
    return moved


@settings(deadline=None, max_examples=25)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 1000), width=st.floats(0, 0.05))
def test_a_molecule_may_be_turned_and_shifted(name, seed, width):
    first = g2[name]
    second = shaken(first, width, seed)
    plain, far = difference(first, second), difference(first, turned(second, seed))
    assert plain.rmsd == pytest.approx(rmsd(second, first), abs=1e-9)
    assert far.rmsd == pytest.approx(plain.rmsd, abs=1e-7)
    assert far.bond_max == pytest.approx(plain.bond_max, abs=1e-7)
    assert far.rmsd <= far.largest <= far.rmsd * np.sqrt(len(first)) + 1e-12
    assert far.bond_mean <= far.bond_max <= 2 * np.sqrt(3) * 6 * width + 1e-9
    assert far.made == far.broken == ()
    assert np.isnan([far.volume, far.lengths, far.angles]).all()


@settings(deadline=None, max_examples=25)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 1000))
def test_like_atoms_may_be_exchanged(name, seed):
    first = g2[name]
    order = np.random.default_rng(seed).permutation(len(first))
    second = turned(first[order], seed)
    found = difference(first, second, permute=True)
    assert found.rmsd == pytest.approx(0, abs=1e-6)
    assert found.bond_max == pytest.approx(0, abs=1e-6)
    by_index = shaken(first, 0.02, seed)
    exchanged = difference(first, by_index, permute=True).rmsd
    assert exchanged <= difference(first, by_index).rmsd + 1e-9


def test_bonds_made_and_broken_are_named():
    first = molecule("H2O")
    second = first.copy()
    second.positions[1] += [0, 3, 0]
    found = difference(first, second)
    assert found.broken == ("O0-H1",)
    assert found.made == ()
    assert difference(second, first).made == ("O0-H1",)
    assert found.largest > 1
    apart = difference(Atoms("He2", [[0, 0, 0], [0, 0, 9]]), Atoms("He2", [[0, 0, 0], [0, 0, 8]]))
    assert np.isnan(apart.bond_mean)
    assert apart.largest == pytest.approx(0.5)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), scale=st.floats(0.97, 1.03))
def test_crystals_are_compared_with_the_nearest_images(seed, scale):
    rng = np.random.default_rng(seed)
    first = shaken(bulk("Si", cubic=True), 0.03, seed)
    second = first.copy()
    second.set_cell(first.cell.array * scale, scale_atoms=True)
    second.positions += rng.normal(0, 5, 3)
    second.positions += rng.integers(-2, 3, (8, 3)) @ second.cell.array
    found = difference(first, second)
    assert found.rmsd == pytest.approx(0, abs=1e-8)
    assert found.volume == pytest.approx(scale**3 - 1, abs=1e-9)
    assert found.lengths == pytest.approx(abs(scale - 1) * first.cell.lengths()[0], abs=1e-9)
    assert found.angles == pytest.approx(0, abs=1e-6)
    assert found.made == found.broken == ()
    assert found.bond_max == pytest.approx(abs(scale - 1) * 2.35, abs=0.02)
    order = rng.permutation(8)
    near = shaken(first, 0.01, seed + 1)[order]
    assert difference(first, near, permute=True).rmsd < 0.05


def test_bonds_across_the_boundary_are_followed():
    first = Atoms("C2", [[0.2, 0, 0], [9.0, 0, 0]], cell=[10, 10, 10], pbc=True)
    second = first.copy()
    second.positions[1, 0] = -0.9
    found = difference(first, second)
    assert found.bond_max == pytest.approx(0.1)
    assert found.broken == ()
    second.positions[1, 0] = 7.5
    assert difference(first, second).broken == ("C0-C1@-1,0,0",)


def test_slabs_have_no_volume():
    first = fcc111("Al", (2, 2, 2), vacuum=5)
    second = shaken(first, 0.02)
    found = difference(first, second)
    assert 0 < found.rmsd < 0.1
    assert np.isnan(found.volume)
    assert found.lengths == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (molecule("H2O"), molecule("CH4"), "they have other atoms: H2O and CH4"),
        (molecule("H2O"), molecule("H2O")[[1, 0, 2]], "in another order.*--permute"),
        (bulk("Si"), Atoms("Si2", [[0, 0, 0], [1.4, 1.4, 1.4]]), "periodic in different"),
        (molecule("H2O"), Atoms(), "the second one: it has no atoms"),
    ],
)
def test_structures_that_cannot_be_compared(first, second, said):
    with pytest.raises(StructureError, match=said):
        difference(first, second)


def named(*names, key="name"):
    return [Atoms("H", info={key: name}) for name in names]


def test_names_match_before_the_order_does():
    pairs, key = matched(named("a", "b", "c"), named("c", "d", "a"))
    assert key == "name"
    told = [tuple(each and each.info["name"] for each in pair) for pair in pairs]
    assert told == [("a", "a"), ("b", None), ("c", "c"), (None, "d")]
    for ours, theirs in [
        (named("a", "a"), named("a", "b")),
        (named("a", "b"), named("c", "d")),
        ([Atoms("H"), Atoms("H")], named("a", "b")),
    ]:
        pairs, key = matched(ours, theirs)
        assert key == "order"
        assert pairs == list(zip(ours, theirs, strict=True))
    pairs, key = matched(named("a"), [])
    assert key == "order"
    assert pairs[0][1] is None
    pairs, key = matched(named("x@0", "x@1", key=SOURCE), named("x@1", key=SOURCE))
    assert key == SOURCE
    assert [pair[1] is None for pair in pairs] == [True, False]


@pytest.fixture
def losiko(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    ones = [g2[name].copy() for name in NAMES]
    for name, atoms in zip(NAMES, ones, strict=True):
        atoms.info["name"] = name
    ase.io.write("a.xyz", ones)
    ase.io.write("b.xyz", [shaken(each, 0.01) for each in reversed(ones)])
    return command


def test_the_command(losiko):
    assert losiko("compare", "a.xyz", "b.xyz", "-o", "out.csv") == 0
    assert "5 of 5 pairs compared, matched by their name" in losiko.out
    assert "permutations of like atoms: not done" in losiko.out
    with open("out.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["structure"] for row in rows] == list(NAMES)
    assert all(0 < float(row["rmsd"]) < 0.05 and not row["problem"] for row in rows)
    assert losiko("compare", "a.xyz", "b.xyz", "-o", "out.csv") == 2
    assert losiko("compare", "a.xyz", "b.xyz", "-o", "out.csv", "--force", "--permute") == 0
    assert "permutations of like atoms: done" in losiko.out
    assert losiko("compare", "a.xyz", "b.xyz", "-o", "out.json", "--worst", "2") == 0
    assert "2 of 5 structures, the worst first" in losiko.out
    assert json.loads(Path("out.json").read_text())[0]["volume_change"] is None
    pq = pytest.importorskip("pyarrow.parquet")
    assert losiko("compare", "a.xyz", "b.xyz", "-o", "out.parquet") == 0
    table = pq.read_table("out.parquet")
    assert table["rmsd"].to_pylist() == pytest.approx([float(row["rmsd"]) for row in rows])


def test_what_cannot_be_compared_is_listed(losiko):
    assert losiko("compare", "a.xyz", "b.xyz@1:") == 1
    assert "it is in A alone" in losiko.out
    ase.io.write("c.xyz", [molecule("CH4")])
    assert losiko("compare", "a.xyz@0", "c.xyz") == 1
    assert "they have other atoms" in losiko.out
    assert "matched by their order" in losiko.out


def test_crystals_show_their_cells(losiko):
    ase.io.write("a.extxyz", bulk("Si"))
    ase.io.write("b.extxyz", bulk("Si", a=5.5))
    assert losiko("compare", "a.extxyz", "b.extxyz") == 0
    assert "volume" in losiko.out
    assert f"{100 * ((5.5 / 5.43) ** 3 - 1):+.2f}" in losiko.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a.xyz",), "two files are compared"),
        (("a.xyz", "b.xyz", "-o", "out.txt"), "tables are written to .csv, .json, .parquet"),
        (("a.xyz", "b.xyz", "-o", "a.xyz"), "tables are written to"),
        (("a.xyz", "none.xyz"), "no such file"),
    ],
)
def test_commands_that_cannot_be(losiko, arguments, said):
    assert losiko("compare", *arguments) == 2
    assert said in losiko.err
