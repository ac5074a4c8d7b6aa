"""Radial functions of a descriptor as a table, kept for each set of parameters."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from losiko_kernels.radial_table import RadialTable, make_radial_table


def table_of(soap: Any, like: torch.Tensor) -> RadialTable | None:
    """Table of a descriptor's radial functions, in the precision and on the device of a tensor.

    None means that they are too narrow for a table.
    """
    kind: Any = type(soap.basis)
    return _table(kind, *soap.basis_arguments, like.dtype, like.device)


@lru_cache(maxsize=32)
def _table(
    basis_class: type,
    r_cut: float,
    n_max: int,
    l_max: int,
    sigma: float,
    cutoff: float,
    dtype: torch.dtype,
    device: torch.device,
) -> RadialTable | None:
    basis = basis_class(r_cut, n_max, l_max, sigma, cutoff)
    degrees = torch.arange(l_max + 1, dtype=torch.float64)
    factors = torch.sqrt(math.pi * torch.sqrt(8 / (2 * degrees + 1)))[:, None, None]

    def radial(r2: torch.Tensor) -> torch.Tensor:
        return basis(r2) * factors

    table = make_radial_table(radial, cutoff, dtype)
    return None if table is None else table.to(device)
