r"""Real solid harmonics r^l Y_lm(r) and their analytical gradient, nothing singular at r = 0.

With (x + iy)^m for the azimuth and a three-term recursion in l for the rest,

    W_lm = Pbar_lm(z, r^2) (x + iy)^m,      R_lm = sqrt(2) Re W_lm,   R_l,-m = sqrt(2) Im W_lm,

where Pbar is normalised so that the R_lm / r^l are orthonormal on the sphere (R_l0 = W_l0). The
gradient of a solid harmonic is a combination of those one degree lower,

    d/dz W_lm = sqrt((2l+1)(l^2-m^2)/(2l-1)) W_{l-1,m}
    (d/dx + i d/dy) and (d/dx - i d/dy) raise and lower m,

so the backward pass needs the forward's values and two small products (E. O. Steinborn and
K. Ruedenberg, Adv. Quantum Chem. 7, 1, 1973; the recursion in l is that of sphericart's paper,
Bigi et al., J. Chem. Phys. 159, 064802, 2023, normalised to stay in range up to l = 20).

>>> import torch
>>> R = solid_harmonics(torch.tensor([[0.0, 0.0, 2.0]], dtype=torch.float64), 2)
>>> [round(float(x), 4) for x in R[0]]          # order (0,0) (1,-1) (1,0) (1,1) (2,-2) ... (2,2)
[0.2821, 0.0, 0.9772, 0.0, 0.0, 0.0, 2.5231, 0.0, 0.0]
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch


def solid_harmonics(vectors: torch.Tensor, l_max: int) -> torch.Tensor:
    """r^l Y_lm for every degree up to ``l_max``.

    Args:
        vectors: Points, shape (E, 3), in any unit of length.
        l_max: Highest degree.

    Returns:
        Values ordered by l, then m = -l..l, shape (E, (l_max + 1)^2). Differentiable (forward,
        backward, and twice).
    """
    return _SolidHarmonics.apply(vectors, l_max)


class _SolidHarmonics(torch.autograd.Function):
    generate_vmap_rule = False

    @staticmethod
    def forward(vectors: torch.Tensor, l_max: int) -> torch.Tensor:
        return _values(vectors, l_max)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        vectors, ctx.l_max = inputs
        ctx.save_for_backward(vectors)
        ctx.save_for_forward(vectors)

    @staticmethod
    def backward(ctx, grad: torch.Tensor):
        (vectors,) = ctx.saved_tensors
        if ctx.l_max == 0:
            return torch.zeros_like(vectors), None
        # Calling the function itself keeps the gradient differentiable.
        lower = solid_harmonics(vectors, ctx.l_max - 1)
        matrices = _gradient_matrices(ctx.l_max, vectors.dtype, vectors.device)
        parts = [((grad @ matrix) * lower).sum(1) for matrix in matrices]
        return torch.stack(parts, 1), None

    @staticmethod
    def jvp(ctx, tangent: torch.Tensor, _):
        (vectors,) = ctx.saved_tensors
        if ctx.l_max == 0:
            return vectors.new_zeros((len(vectors), 1))
        lower = solid_harmonics(vectors, ctx.l_max - 1)
        matrices = _gradient_matrices(ctx.l_max, vectors.dtype, vectors.device)
        return sum(tangent[:, a : a + 1] * (lower @ matrices[a].T) for a in range(3))


def _values(vectors: torch.Tensor, l_max: int) -> torch.Tensor:
    x, y, z = vectors.unbind(1)
    r2 = (vectors * vectors).sum(1)
    # Pairs lie along the last, contiguous axis; rows are orders m.
    azimuth_re, azimuth_im = [torch.ones_like(x)], [torch.zeros_like(x)]
    for _ in range(l_max):
        re, im = azimuth_re[-1], azimuth_im[-1]
        azimuth_re.append(x * re - y * im)
        azimuth_im.append(x * im + y * re)
    cosine, sine = torch.stack(azimuth_re), torch.stack(azimuth_im)

    out = vectors.new_empty(((l_max + 1) ** 2, x.shape[0]))
    previous: torch.Tensor | None = None
    last: torch.Tensor | None = None
    diagonal = math.sqrt(0.25 / math.pi)
    for degree in range(l_max + 1):
        legendre = vectors.new_empty((degree + 1, x.shape[0]))
        if degree > 0:
            assert last is not None
            legendre[degree - 1] = math.sqrt(2 * degree + 1) * z * last[degree - 1]
        if degree > 1:
            assert last is not None
            assert previous is not None
            step, damp = _recursion(degree, vectors.dtype, vectors.device)
            m = slice(0, degree - 1)
            legendre[m] = step * (z * last[m] - damp * (r2 * previous[m]))
        if degree > 0:
            diagonal *= math.sqrt((2 * degree + 1) / (2 * degree))
        legendre[degree] = diagonal
        center = degree * degree + degree
        out[center] = legendre[0]
        if degree > 0:
            orders = math.sqrt(2) * legendre[1:]
            out[center + 1 : center + degree + 1] = orders * cosine[1 : degree + 1]
            out[center - degree : center] = (orders * sine[1 : degree + 1]).flip(0)
        previous, last = last, legendre
    return out.T.contiguous()


@lru_cache(maxsize=256)
def _recursion(degree: int, dtype: torch.dtype, device) -> tuple[torch.Tensor, torch.Tensor]:
    m = torch.arange(degree - 1, dtype=torch.float64)
    step = torch.sqrt((4 * degree**2 - 1) / (degree**2 - m**2))
    damp = torch.sqrt(((degree - 1) ** 2 - m**2) / (4 * (degree - 1) ** 2 - 1))
    return step[:, None].to(device, dtype), damp[:, None].to(device, dtype)


@lru_cache(maxsize=64)
def _gradient_matrices(l_max: int, dtype: torch.dtype, device) -> tuple[torch.Tensor, ...]:
    """Three matrices D_a, shape ((l_max+1)^2, l_max^2), with d R / d r_a = D_a R(lower)."""
    size = (l_max + 1) ** 2
    # Rows of real and imaginary parts of W_lm, as combinations of the R_lm, and back.
    gradient = torch.zeros(3, size, l_max**2, dtype=torch.float64)

    def add(axis: int, row: int, degree: int, m: int, part: str, factor: float) -> None:
        """Add ``factor`` times Re or Im of W_{degree, m} (m may be negative) to a row."""
        if abs(m) > degree:
            return
        # W_{l,-m} = (-1)^m conj(W_lm) in the phase that the lowering formula uses.
        if m < 0:
            factor *= (-1) ** m * (-1 if part == "im" else 1)
            m = -m
        if m == 0:
            if part == "re":
                gradient[axis, row, degree * degree + degree] += factor
            return
        column = degree * degree + degree + (m if part == "re" else -m)
        gradient[axis, row, column] += factor / math.sqrt(2)

    for degree in range(1, l_max + 1):
        below = degree - 1
        ratio = (2 * degree + 1) / (2 * degree - 1)
        for m in range(degree + 1):
            lower = math.sqrt(ratio * (degree + m) * (degree + m - 1)) / 2
            higher = math.sqrt(ratio * (degree - m) * (degree - m - 1)) / 2
            along = math.sqrt(ratio * (degree**2 - m**2))
            norm = 1.0 if m == 0 else math.sqrt(2)
            re_row = degree * degree + degree + m
            add(0, re_row, below, m - 1, "re", norm * lower)
            add(0, re_row, below, m + 1, "re", -norm * higher)
            add(1, re_row, below, m - 1, "im", -norm * lower)
            add(1, re_row, below, m + 1, "im", -norm * higher)
            add(2, re_row, below, m, "re", norm * along)
            if m > 0:
                im_row = degree * degree + degree - m
                add(0, im_row, below, m - 1, "im", norm * lower)
                add(0, im_row, below, m + 1, "im", -norm * higher)
                add(1, im_row, below, m - 1, "re", norm * lower)
                add(1, im_row, below, m + 1, "re", norm * higher)
                add(2, im_row, below, m, "im", norm * along)
    return tuple(matrix.to(device, dtype) for matrix in gradient)
