r"""Radial bases: the projection of an atom's Gaussian density onto radial functions.

An atom at interatomic distance r from the center contributes g_nl(r^2) r^l Y_lm(r) to the expansion
coefficient c_nlm. Writing the solid harmonic r^l Y_lm out leaves a g_nl that is smooth in r^2, so
no angle, no division and no special case at r = 0 appears. Both bases compute in float64 whatever
the precision of ``r2``, which ``basis(r2)`` returns.

``GaussianBasis`` (DScribe's ``gto``; Himanen et al., Comput. Phys. Commun. 247, 106949, 2020): with
eta = 1/(2 sigma^2), decay radii a_n = linspace(1, r_cut, n_max), alpha_nl = -ln(1e-3 / a_n^l)/a_n^2
and the Loewdin matrix beta_l = S_l^(-1/2) of the overlaps S,

    g_nl = sum_n' beta_nn'l pi^(3/2) eta^l (alpha_n'l+eta)^-(l+3/2)
           exp(-alpha_n'l eta/(alpha_n'l+eta) r^2)
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.linalg import sqrtm
from scipy.special import gamma
from torch import nn

from losiko_torch.errors import InputError

#: Value to which DScribe's radial functions and Gaussians decay at their cutoffs.
DECAY = 1e-3


def cutoff_padding(sigma: float) -> float:
    """Length in Angstrom beyond r_cut within which an atom's Gaussian counts, as in DScribe."""
    return sigma * math.sqrt(-2 * math.log(DECAY))


def loewdin(overlap: np.ndarray) -> np.ndarray:
    """S^(-1/2) of an overlap matrix S.

    Raises:
        InputError: If S is singular in double precision.
    """
    beta = sqrtm(np.linalg.inv(overlap))
    if np.iscomplexobj(beta) or not np.isfinite(beta).all():
        raise InputError(
            "the radial basis functions are linearly dependent in double precision: "
            "use a smaller n_max or a larger r_cut"
        )
    return beta


def gaussian_orbitals(r_cut: float, n_max: int, l_max: int) -> tuple[np.ndarray, np.ndarray]:
    """alpha (l_max + 1, n_max), 1/Angstrom^2, and beta (l_max + 1, n_max, n_max)."""
    decay_radii = np.linspace(1, r_cut, n_max)
    alphas, betas = [], []
    for degree in range(l_max + 1):
        alpha = -np.log(DECAY / decay_radii**degree) / decay_radii**2
        overlap = 0.5 * gamma(degree + 1.5) * np.add.outer(alpha, alpha) ** -(degree + 1.5)
        alphas.append(alpha)
        betas.append(loewdin(overlap))
    return np.array(alphas), np.array(betas)


class GaussianBasis(nn.Module):
    """Radial part of Gaussian-type orbitals: r^2, (E,), to g_nl, (l_max + 1, E, n_max)."""

    exponents: torch.Tensor
    mixing: torch.Tensor

    def __init__(self, r_cut: float, n_max: int, l_max: int, sigma: float, scale: float):
        """``scale`` (Angstrom) is the unit in which the solid harmonics take their lengths."""
        super().__init__()
        eta = 1 / (2 * sigma**2)
        exponents, mixing = [], []
        alphas, betas = gaussian_orbitals(r_cut, n_max, l_max)
        for degree, (alpha, beta) in enumerate(zip(alphas, betas, strict=True)):
            # The powers of eta and scale nearly cancel; apart they overflow float32 at l = 20.
            amplitude = (math.pi / (alpha + eta)) ** 1.5 * (eta * scale / (alpha + eta)) ** degree
            exponents.append(alpha * eta / (alpha + eta))
            mixing.append(beta.T * amplitude[:, None])
        self.register_buffer("exponents", torch.tensor(np.array(exponents)), persistent=False)
        self.register_buffer("mixing", torch.tensor(np.array(mixing)), persistent=False)

    def forward(self, r2: torch.Tensor) -> torch.Tensor:
        # The mixing has entries of up to 1e6 that nearly cancel. In single precision features would
        # lose all but three to five digits here, and only here.
        wide = r2.double()
        decays = torch.exp(-self.exponents.double()[:, None, :] * wide[None, :, None])
        return torch.bmm(decays, self.mixing.double()).to(r2.dtype)
