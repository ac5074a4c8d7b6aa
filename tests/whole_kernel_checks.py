"""Relaxations by all of a GPU's kernels together, against plain torch; ``test_kernels`` runs this.

    TRITON_INTERPRET=1 pytest tests/whole_kernel_checks.py    # without a GPU
    pytest tests/whole_kernel_checks.py                       # with one

Interpreted, they take seconds a step, and are few, in single precision.
"""

import os

import numpy as np
import pytest
import stand_ins
import torch
from ase.build import molecule
from losiko_kernels import gpu

from losiko_torch import accelerators, relax
from losiko_torch.known_problems import solves
from losiko_torch.relaxation import stages
from losiko_torch.systems import neighbors, sums, verlet_list

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
NAMES, STEPS = (["H2O", "H2"], 3) if DEVICE == "cpu" else (["H2O", "HCN", "CH3OH", "C5H5N"], 30)
#: Kernels of which a step is made.
STEP = (
    *("pair_geometry", "expand_density", "mix", "unit_power_spectrum", "inner_layers"),
    *("power_spectrum_backward", "expand_density_backward", "gradient_of_atoms"),
    *("measure", "lbfgs_step", "conclude"),
)
#: Largest differences of positions (Angstrom) and losses.
LIMIT = {"float32": 1e-4} if DEVICE == "cpu" else {"float32": 1e-4, "float64": 1e-8}


@pytest.fixture
def called(monkeypatch):
    """Go the way of a GPU with its kernels; the names of those that were called."""
    names = []

    def counted(name):
        run = getattr(gpu, name)
        return lambda *given, **options: names.append(name) or run(*given, **options)

    monkeypatch.setattr(accelerators, "_kernels", lambda device: gpu)
    for name in STEP:
        monkeypatch.setattr(gpu, name, counted(name))
    if DEVICE == "cpu":
        stand_ins.let_go_by(monkeypatch, gpu)
        for module in (stages, verlet_list):
            monkeypatch.setattr(module, "avoids_waits", lambda device: True)
        for module in (neighbors, sums):
            monkeypatch.setattr(module, "adds_in_any_order", lambda device: True)
    return names


def shaken():
    structures = [molecule(name) for name in NAMES]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.1, seed=seed)
    return structures


@pytest.mark.parametrize("dtype", LIMIT)
def test_relaxations(dtype, called, monkeypatch):
    options = {"dtype": dtype, "max_steps": STEPS, "batch_atoms": 10}
    found = relax(shaken(), **options, device=DEVICE)
    assert set(called) == set(STEP)
    monkeypatch.undo()
    monkeypatch.setattr(accelerators, "_kernels", lambda device: None)
    expected = relax(shaken(), **options)
    for one, other in zip(found, expected, strict=True):
        assert (one.n_steps, one.reason, one.doubt) == (other.n_steps, other.reason, other.doubt)
        assert one.loss == pytest.approx(other.loss, abs=LIMIT[dtype])
        for ours, plain in (
            (one.atoms.positions, other.atoms.positions),
            (one.distances, other.distances),
            (one.expected_error, other.expected_error),
        ):
            np.testing.assert_allclose(ours, plain, atol=LIMIT[dtype])


def test_known_problems_are_solved():
    assert solves(gpu, DEVICE)


@pytest.mark.parametrize("name", STEP)
def test_a_kernel_that_gives_wrong_numbers_is_noticed(name, monkeypatch):
    right = getattr(gpu, name)
    # Some write over what they are given.
    written = {"inner_layers": lambda given: given[2], "conclude": lambda given: given[1]["last"]}

    def wrong(*given, **options):
        found = right(*given, **options)
        spoilt = written[name](given) if name in written else found
        while not isinstance(spoilt, torch.Tensor):
            spoilt = spoilt["trial"] if isinstance(spoilt, dict) else spoilt[0]
        spoilt *= 1.01
        return found

    monkeypatch.setattr(gpu, name, wrong)
    assert not solves(gpu, DEVICE)
