"""The degree of the kernel: the paper's 2 (1 - (p.q)^d), its gradient, and its digits."""

import re

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.fd import calculate_numerical_forces
from small_database import database, rattled, soap
from test_calculator import relative_error

from losiko_torch import EnvironmentDatabase, InputError, LosikoCalculator, relax, score
from losiko_torch.cli import main
from losiko_torch.database.defaults import CRYSTALS, MOLECULES
from losiko_torch.loss.kernel import kernel_form
from losiko_torch.loss.settings import LossSettings
from losiko_torch.loss.targets.locally_linear import LocallyLinear
from losiko_torch.loss.targets.nearest import Nearest

DEGREES = [0.5, 1, 2, 4.5, 40]


@pytest.mark.parametrize("degree", DEGREES)
def test_nearest_is_the_papers_kernel(degree):
    """Distance 2 (1 - (p.z)^d) of full descriptors to the nearest reference of the same element."""
    names = ["C2H6", "CH3OH", "H2O"]
    made = EnvironmentDatabase.build([molecule(name) for name in names], soap(), components=None)
    rows = np.concatenate([soap().create(molecule(name)) for name in names])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    numbers = np.concatenate([molecule(name).numbers for name in names])
    atoms = rattled("CH3CH2OH")
    p = soap().create(atoms)
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    kernel = np.array(
        [
            (rows[numbers == number] @ own).max()
            for own, number in zip(p, atoms.numbers, strict=True)
        ]
    )
    (found,) = score(atoms, made, targets="nearest", degree=degree, dtype="float64")
    np.testing.assert_allclose(found.distances, 2 * (1 - kernel**degree), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("degree", DEGREES)
def test_slope_is_the_derivative(degree):
    distances = torch.linspace(0.001, 1.9, 50, dtype=torch.float64, requires_grad=True)
    direct = 2 * (1 - (1 - distances / 2) ** degree)
    (wanted,) = torch.autograd.grad(direct.sum(), distances)
    values, slope = kernel_form(distances.detach(), degree)
    torch.testing.assert_close(values, direct.detach(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(slope, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("degree", [0.5, 2, 40])
def test_what_resembles_nothing_is_not_pulled(degree):
    values, slope = kernel_form(torch.tensor([2.0, 2.5, 4.0, 1e6]), degree)
    assert values.tolist() == [2.0] * 4
    assert slope.tolist() == [0.0] * 4


def test_degree_one_is_the_distance_itself():
    distances = torch.tensor([0.0, 1e-9, 0.3, 2.5])
    values, slope = kernel_form(distances, 1)
    assert torch.equal(values, distances)
    assert slope.tolist() == [1.0] * 4


@pytest.mark.parametrize("degree", [0.5, 2, 40])
def test_small_distances_keep_their_digits_in_float32(degree):
    distances = torch.logspace(-12, -2, 60)
    single, _ = kernel_form(distances, degree)
    double, _ = kernel_form(distances.double(), degree)
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=0)
    assert float(kernel_form(torch.zeros(1), degree)[0]) == 0


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
@pytest.mark.parametrize("degree", [0.5, 3, 20])
def test_forces(targets, degree):
    atoms = rattled("CH3CH2OH")
    atoms.calc = LosikoCalculator(
        database(smooth_width=0.5), targets=targets, degree=degree, weights={"H": 0.5}
    )
    expected = calculate_numerical_forces(atoms, eps=1e-4)
    assert relative_error(atoms.get_forces(), expected) < 1e-6


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
def test_relaxation_lowers_the_loss_of_the_degree(targets):
    options = {"targets": targets, "degree": 4, "dtype": "float64"}
    (found,) = relax(rattled("CH3OH"), database(), **options)
    (judged,) = score(found.atoms, database(), **options)
    assert found.converged
    assert found.loss == pytest.approx(judged.loss, rel=1e-9)
    assert found.loss < 0.5 * found.start_loss


@pytest.mark.parametrize("degree", [0, -1, np.nan, np.inf, "two", True, None])
def test_other_degrees_are_refused(degree):
    with pytest.raises(InputError, match=re.escape(f"degree must be positive, not {degree!r}")):
        LossSettings(degree=degree)


def test_arguments_make_settings_of_the_loss():
    assert LossSettings() == LossSettings(None, None, None, 1.0, None)
    assert LossSettings().factors == {}
    assert LossSettings().target(MOLECULES) == LocallyLinear(64, 1e-3)
    assert LossSettings().target(CRYSTALS) == LocallyLinear(32, 0.3)
    assert LossSettings(n_neighbors=5).target(CRYSTALS) == LocallyLinear(5, 0.3)
    made = LossSettings("nearest", degree=2, weights={"O": 3})
    assert (made.degree, made.factors) == (2.0, {8: 3.0})
    assert made.target(CRYSTALS) == Nearest()


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    database().save("db.losiko")
    ase.io.write("in.extxyz", rattled("CH3OH"))

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([*arguments])
        return end.value.code

    line = ("in.extxyz", "-d", "db.losiko", "--degree")
    assert run("relax", *line, "3", "-o", "out.extxyz", "--dtype", "float64") == 0
    back = ase.io.read("out.extxyz")
    (wanted,) = score(back, database(), degree=3, dtype="float64")
    assert back.info["losiko_loss"] == pytest.approx(wanted.loss, rel=1e-6)
    capsys.readouterr()
    assert run("score", *line, "0") == 2
    assert "degree must be positive, not 0.0" in capsys.readouterr().err
    assert run("score", *line, "inf") == 2
    assert "degree must be positive, not inf" in capsys.readouterr().err
