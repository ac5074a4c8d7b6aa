r"""The polynomial radial basis (DScribe's ``polynomial``), by quadrature over the radius.

With b_n(q) = sum_n' beta_nn' (r_cut - q)^(n'+2) made orthonormal on [0, r_cut] by the Loewdin
matrix beta = S^(-1/2), and an atom's Gaussian expanded in modified spherical Bessel functions i_l
(Bartok, Kondor and Csanyi, PRB 87, 184115, 2013), an atom at interatomic distance r contributes

    c_nlm = 4 pi Y_lm int_0^r_cut b_n(q) exp(-eta (q^2 + r^2)) i_l(2 eta q r) q^2 dq,

which 100 Gauss-Legendre points integrate, as in DScribe. Since i_l(x) = x^l h_l(x^2), h_l entire,
the solid harmonic r^l Y_lm comes out and leaves a function of r^2 with nothing singular at r = 0.
Moreover d h_l / d(x^2) = h_{l+1} / 2, so all derivatives are integrals of the same kind: with

    M_nlk(r^2) = 4 pi int b_n(q) (2 eta q)^l (2 eta^2 q^2)^k h_{l+k}(4 eta^2 q^2 r^2)
                 exp(-eta (q^2 + r^2)) q^2 dq,          dM_k / d(r^2) = -eta M_k + M_{k+1}.

DScribe 2.1.2 agrees to 3e-9 of the largest feature up to l_max = 9 and sigma = 0.7 (to 1e-10 if no
pair lies along z, where its Y_lm lose digits), and departs from these formulas elsewhere. It drops
the Y_lm whose norm factor is below 1e-9 (from l = 10 on: up to 4e-2, and rotation changes its
features by 1e-2); zeroes exp(-eta (q +- r)^2) beyond 5 A (1e-6 at sigma = 1, 1e-3 at 1.5); loses
i_l to cancellation for an atom closer than 0.1 A to a center, but not on it (8e-5 at 1e-4 A, all
digits at 1e-5 A); and with ``mu2`` gives neighbours the species weights of others. The Loewdin
matrix does not differ: both programs take it in double precision, in which the basis is right to
1e-5 at n_max = 8 and to 1e-2 at n_max = 10.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from losiko_torch.descriptors.soap.gaussian_basis import loewdin

#: Points of the radial quadrature, the number of DScribe's.
QUADRATURE_POINTS = 100

#: Numbers in the table of Bessel functions of a chunk of pairs; bounds the memory.
CHUNK_ENTRIES = 2**22


def orthonormal_polynomials(r_cut: float, n_max: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points q of the radial quadrature (Angstrom), their weights, and b_n(q), (points, n_max)."""
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE_POINTS)
    q = r_cut * (nodes + 1) / 2
    # The basis is so ill-conditioned for large n_max that the last digit of S matters: powers
    # of numpy's arrays would differ in it from these.
    overlap = [
        [
            2 * r_cut ** (7 + i + j) / ((5 + i + j) * (6 + i + j) * (7 + i + j))
            for j in range(1, n_max + 1)
        ]
        for i in range(1, n_max + 1)
    ]
    powers = (r_cut - q)[:, None] ** np.arange(3, n_max + 3)
    return q, weights * r_cut / 2, powers @ loewdin(np.array(overlap)).T


class PolynomialBasis(nn.Module):
    """Radial part of the polynomial basis: r^2, (E,), to g_nl, (l_max + 1, E, n_max)."""

    radii: torch.Tensor
    basis: torch.Tensor

    def __init__(self, r_cut: float, n_max: int, l_max: int, sigma: float, scale: float):
        """``scale`` (Angstrom) is the unit in which the solid harmonics take their lengths."""
        super().__init__()
        self.l_max, self.eta, self.scale = l_max, 1 / (2 * sigma**2), scale
        q, weights, basis = orthonormal_polynomials(r_cut, n_max)
        measure = 4 * math.pi * q**2 * weights
        self.register_buffer("radii", torch.tensor(q), persistent=False)
        self.register_buffer("basis", torch.tensor(measure[:, None] * basis), persistent=False)

    def forward(self, r2: torch.Tensor) -> torch.Tensor:
        # In single precision the nearly dependent basis functions would lose half their digits.
        values, _ = _Moments.apply(r2.double(), self, 0)
        return values.to(r2.dtype)

    def moments(self, r2: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor]:
        """M_nlk for k = ``order``, in units of ``scale``, and its slope by ``r2`` (Angstrom^2).

        Both have the shape (l_max + 1, E, n_max); their units are 1/Angstrom^2 to the power of k
        and k + 1.
        """
        degrees = self.l_max + 1
        values = r2.new_empty((degrees, len(r2), self.basis.shape[1]))
        slopes = torch.empty_like(values)
        at_once = max(1, CHUNK_ENTRIES // (QUADRATURE_POINTS * (degrees + order + 1)))
        raise_order = self.eta * self.radii.to(r2.dtype)[:, None] / self.scale
        this_order = self.basis.to(r2.dtype) * raise_order**order
        next_order = this_order * raise_order
        for start in range(0, len(r2), at_once):
            part = slice(start, start + at_once)
            table = self._table(r2[part], self.l_max + order + 1)
            values[:, part] = table[order:-1] @ this_order
            slopes[:, part] = table[order + 1 :] @ next_order
        return values, slopes.sub_(values, alpha=self.eta)

    def _table(self, r2: torch.Tensor, l_max: int) -> torch.Tensor:
        """(2 eta q scale)^l h_l(4 eta^2 q^2 r^2) exp(-eta (q^2 + r^2)), (l_max + 1, E, points)."""
        r, radii = r2.sqrt()[:, None], self.radii.to(r2.dtype)
        x = 2 * self.eta * r * radii
        growth = 2 * self.eta * self.scale * radii
        table = x.new_empty((l_max + 1, *x.shape))
        # exp(-x) i_0(x) and exp(-eta (q - r)^2) are in range for any x; exp(x) alone is not.
        table[0] = torch.where(x > 0, -torch.expm1(-2 * x) / (2 * x), 1.0)
        table[0] *= torch.exp(-self.eta * (r - radii) ** 2)
        ratios = bessel_ratios(x * x, l_max)
        for degree in range(l_max):
            table[degree + 1] = table[degree] * ratios[degree] * growth
        return table


def bessel_ratios(x2: torch.Tensor, count: int) -> list[torch.Tensor]:
    r"""h_{l+1}(x^2) / h_l(x^2) for l = 0..count-1, to 1e-12 for every x.

    The recursion h_{l-1} = (2l+1) h_l + x^2 h_{l+1} runs downward, which only adds positive numbers
    and damps any error of its start. The start is an expansion in 1/sqrt(nu^2 + x^2), nu = l + 1/2,
    found by iterating the Riccati equation of I_nu'/I_nu (the Debye expansion, DLMF 10.41(ii)).
    """
    top = max(count + 16, 36)
    nu = top + 0.5
    w = torch.sqrt(x2 + nu * nu)
    p = x2 / (w * w)
    tail = (0.5 - 0.625 * p - (0.5 - 2.25 * p + 1.875 * p * p) / w) / w
    ratio = 1 / (w + nu) + (tail - 0.5) / (w * w)
    ratios = []
    for degree in range(top, 0, -1):
        ratio = 1 / (x2 * ratio + (2 * degree + 1))
        if degree <= count:
            ratios.append(ratio)
    return ratios[::-1]


class _Moments(torch.autograd.Function):
    """Values and slopes by r^2; the slope is an output too, so that it can be differentiated."""

    generate_vmap_rule = False

    @staticmethod
    def forward(r2: torch.Tensor, basis: PolynomialBasis, order: int):
        return basis.moments(r2, order)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        r2, ctx.basis, ctx.order = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(r2, output[1])
        ctx.save_for_forward(r2, output[1])

    @staticmethod
    def backward(ctx, grad_values, grad_slopes):
        r2, slopes = ctx.saved_tensors
        grad = torch.zeros_like(r2)
        if grad_values is not None:
            grad = grad + (grad_values * slopes).sum((0, 2))
        if grad_slopes is not None:
            grad = grad + (grad_slopes * _curvature(ctx, r2, slopes)).sum((0, 2))
        return grad, None, None

    @staticmethod
    def jvp(ctx, tangent, _, __):
        r2, slopes = ctx.saved_tensors
        tangent = tangent[None, :, None]
        return tangent * slopes, tangent * _curvature(ctx, r2, slopes)


def _curvature(ctx, r2: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    """Derivative by r^2 of -eta M_k + M_{k+1}."""
    _, next_slopes = _Moments.apply(r2, ctx.basis, ctx.order + 1)
    return next_slopes - ctx.basis.eta * slopes
