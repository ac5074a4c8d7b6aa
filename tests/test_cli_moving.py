"""``losiko relax`` with selections, strains, stages, noise and several starts."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from test_cli import Program, distorted

from losiko_torch import SOAP, EnvironmentDatabase, Stage, read_structures, relax, within


@pytest.fixture
def losiko(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Program(tmp_path, capsys)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("databases")
    small = {"r_cut": 3.0, "n_max": 4, "l_max": 3, "sigma": 0.3}
    molecules = [molecule(name) for name in ("CH3OH", "CH4", "H2O", "CH3OCH3", "C2H6")]
    organic = EnvironmentDatabase.build(molecules, SOAP(species=["H", "C", "O"], **small))
    soap = SOAP(species=["Si"], periodic=True, smooth_width=0.5, **small)
    silicon = EnvironmentDatabase.build(bulk("Si", "diamond", a=5.43), soap)
    for name, database in (("organic", organic), ("silicon", silicon)):
        database.save(folder / f"{name}.losiko")
    return {name: folder / f"{name}.losiko" for name in ("organic", "silicon")}


def strained():
    atoms = bulk("Si", "diamond", a=5.5, cubic=True)
    atoms.set_cell(atoms.cell.array @ [[1, 0.02, 0], [0.02, 0.99, 0], [0, 0, 1.01]], True)
    atoms.rattle(0.05, seed=1)
    return atoms


def relaxed(losiko, paths, name, structures, *options):
    ase.io.write("in.extxyz", structures)
    line = ("relax", "in.extxyz", "-d", paths[name], "-o", "out.extxyz", "--dtype", "float64")
    assert losiko(*line, *options) == 0, losiko.err
    return ase.io.read("out.extxyz", index=":")


def test_the_same_as_from_python(losiko, paths):
    structures = [distorted("CH3OH"), distorted("CH3OCH3")]
    options = ("--movable", "within 1.6 of O", "--schedule", "nearest:4,locally-linear/3:5")
    options += ("--noise", "0.01,0.8,2", "--n-starts", "2", "--start-noise", "0.2", "--seed", "9")
    back = relaxed(losiko, paths, "organic", structures, *options)
    expected = relax(
        list(read_structures("in.extxyz")),
        EnvironmentDatabase.load(paths["organic"]),
        movable=within(1.6, of="O"),
        schedule=[Stage("nearest", max_steps=4), Stage(n_neighbors=3, max_steps=5)],
        noise=(0.01, 0.8, 2),
        n_starts=2,
        start_noise=0.2,
        seed=9,
        dtype="float64",
    )
    for atoms, result, start in zip(back, expected, structures, strict=True):
        np.testing.assert_allclose(atoms.positions, result.atoms.positions, atol=1e-6)
        far = ~within(1.6, of="O")(start)
        np.testing.assert_allclose(atoms.positions[far], start.positions[far], atol=1e-7)


def test_strains(losiko, paths):
    start = strained()
    options = ("--cell", "--targets", "nearest", "--fmax", "0.001")
    (plane,) = relaxed(losiko, paths, "silicon", start, *options, "--strain-mask", "1,1,0,0,0,1")
    np.testing.assert_allclose(plane.cell.array[2], start.cell.array[2], atol=1e-6)
    (same,) = relaxed(
        losiko, paths, "silicon", start, *options, "--strain-mask", "110001", "--force"
    )
    np.testing.assert_array_equal(same.cell.array, plane.cell.array)
    (volume,) = relaxed(losiko, paths, "silicon", start, *options, "--constant-volume", "--force")
    assert volume.get_volume() == pytest.approx(start.get_volume(), rel=1e-6)
    (scaled,) = relaxed(losiko, paths, "silicon", start, *options, "--hydrostatic-strain", "-f")
    ratio = scaled.cell.array[start.cell.array != 0] / start.cell.array[start.cell.array != 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)


def test_a_box_around_a_molecule(losiko, paths):
    boxed = distorted("CH3OH")
    boxed.center(vacuum=4)
    boxed.pbc = True
    ase.io.write("in.extxyz", boxed)
    line = ("relax", "in.extxyz", "-d", paths["organic"], "-o", "out.extxyz")
    assert losiko(*line) == 1
    assert "it is periodic but the descriptor is not" in losiko.out
    assert losiko(*line, "--force", "--no-pbc") == 0
    result = ase.io.read("out.extxyz")
    assert not result.pbc.any()
    np.testing.assert_allclose(result.cell.array, boxed.cell.array)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--movable", "near O"), "selection 'near O' is not of the form"),
        (("--movable", "within 2 of Q"), "'Q' names no atoms and no element"),
        (("--strain-mask", "1,1,0"), "needs cell=True (--cell)"),
        (("--cell", "--strain-mask", "1,1,0"), "strain_mask must be six numbers"),
        (("--cell", "--strain-mask", "a,b"), "'a,b' is no list of numbers"),
        (("--constant-volume",), "needs cell=True (--cell)"),
        (("--schedule", "nearest"), "stage 'nearest' is not of the form"),
        (("--noise", "0.2"), "noise is (s0^2 in A^2, alpha)"),
        (("--noise", "0.2,x"), "is no list of numbers"),
        (("--noise", "0.2,-1"), "alpha must be positive"),
        (("--n-starts", "0"), "n_starts must be an integer from 1 on, not 0"),
        (("--start-noise", "0"), "start_noise must be positive"),
        (("--seed", "-1"), "seed must be an integer from 0 on, not -1"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(losiko, paths, options, sentence):
    (losiko.folder / "in.xyz").write_text("not read\n")
    line = ("relax", "in.xyz", "-d", paths["organic"], "-o", "out.xyz", *options)
    assert sentence in losiko.refuses(*line)


def test_a_selection_that_a_structure_cannot_have_fails_it_alone(losiko, paths):
    ase.io.write("in.extxyz", [distorted("CH3OH"), distorted("H2O")])
    line = ("relax", "in.extxyz", "-d", paths["organic"], "-o", "out.extxyz")
    assert losiko(*line, "--movable", "within 3 of 5") == 1
    assert (
        "in.extxyz@1: the atoms that may move are those near atom 5, which it does not have"
        in losiko.out
    )


def test_a_saddle_is_left_unless_told_otherwise(losiko, paths):
    linear = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.96, 0, 0]])
    (bent,) = relaxed(losiko, paths, "organic", [linear])
    assert bent.get_angle(1, 0, 2) < 115
    assert bent.info["losiko_reliable"]
    ase.io.write("in.extxyz", [linear])
    line = ("relax", "in.extxyz", "-d", paths["organic"], "-o", "same.extxyz", "--no-escape")
    assert losiko(*line) == 0
    (straight,) = ase.io.read("same.extxyz", index=":")
    assert straight.get_angle(1, 0, 2) > 179
    assert "saddle" in straight.info["losiko_doubt"]
    assert losiko(*line, "--strict", "--force") == 1
