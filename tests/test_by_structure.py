"""Choice of the kernels that give each structure a program of its own."""

import pytest
import torch

from losiko_torch.systems import by_structure
from losiko_torch.systems.by_structure import MOST_ROWS, kernel_for


@pytest.fixture
def with_kernels(monkeypatch):
    def named(device, name):
        return lambda **rows: (name, rows)

    monkeypatch.setattr(by_structure, "gpu_kernel", named)


def test_a_kernel_is_told_of_the_rows(with_kernels):
    kernel = kernel_for("measure", torch.tensor([0, 0, 2, 2, 2]), 4)
    name, rows = kernel()
    assert name == "measure"
    assert rows["first"].tolist() == [0, 2, 2, 5, 5]
    assert rows["largest"] == 3


@pytest.mark.parametrize(("rows", "serves"), [(MOST_ROWS, True), (MOST_ROWS + 1, False)])
def test_large_structures_are_left_to_plain_torch(with_kernels, rows, serves):
    system = torch.tensor([0] * 3 + [1] * rows)
    assert (kernel_for("measure", system, 2) is not None) == serves


def test_rows_that_lie_apart_are_left_to_plain_torch(with_kernels):
    """Those of atoms and of cells that move, for instance."""
    assert kernel_for("measure", torch.tensor([0, 0, 1, 0, 1]), 2) is None


def test_nothing_is_left_to_plain_torch(with_kernels):
    assert kernel_for("measure", torch.empty(0, dtype=torch.long), 0) is None


def test_processors_have_none():
    assert kernel_for("measure", torch.tensor([0, 0, 1]), 2) is None
