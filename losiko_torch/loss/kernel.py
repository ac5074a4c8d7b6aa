r"""The similarity kernel: how a squared distance becomes an atom's share of the loss.

    L = sum_i c_i F_d(F_i) + terms,    F_d = 2 (1 - K^d),    K = max(0, 1 - F/2)

F_i is the squared distance that the target makes of atom i (see ``loss.targets``), c_i its weight
(see ``systems.atom_weights``) and d the degree of the kernel. For ``nearest`` K is p.z, so that K^d
is the paper's kernel and F_d its distance. Degree 1 is F itself. A larger degree sees smaller
differences: F_d starts as d F, and levels off at 2, where the atom resembles no reference and is
not pulled at all.
"""

from __future__ import annotations

import torch


def kernel_form(distances: torch.Tensor, degree: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return F_d and dF_d/dF for squared distances F = ``distances`` of any shape.

    Logarithms keep the digits of small distances in float32.
    """
    if degree == 1:
        return distances, torch.ones_like(distances)
    log_kernel = torch.log1p(-(distances / 2).clamp(max=1))
    slope = degree * torch.exp((degree - 1) * log_kernel)
    # Beyond F = 2 nothing changes; below degree 1 the slope has a pole there.
    slope = torch.where(distances < 2, slope, 0)
    return -2 * torch.expm1(degree * log_kernel), slope
