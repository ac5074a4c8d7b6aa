r"""The locally linear target of many atoms: distances, a small solve and a combination for each.

For an atom at p with references z_1..z_k, whose distances are d_k = |p - z_k|^2 from p and
D_kl = |z_k - z_l|^2 among themselves,

    (z_k - p).(z_l - p) = (d_k + d_l - D_kl) / 2,

so that D_kl is computed once as long as an atom keeps its references, and only d_k anew for each p.
With m the mean of the d_k and rho_k the ridges relative to it, the weights are w = x / sum x for

    A x = 1,     A_kl = (d_k + d_l - D_kl) / (2 m) + rho_k delta_kl,

and the loss |p - sum_k w_k z_k|^2 + m sum_k rho_k w_k^2 is m / sum x.
"""

from __future__ import annotations

import numpy as np
import torch

from losiko_kernels.cpu.lanes import compiled, load, muladd, spread, store, total
from losiko_kernels.cpu.products import padded
from losiko_kernels.cpu.threads import run
from losiko_kernels.cpu.vectors import apart

#: Mean distance below which an atom is on its references.
SMALLEST = 1e-12


def combine(
    p: torch.Tensor,
    references: torch.Tensor,
    indices: torch.Tensor,
    among: torch.Tensor,
    rows: torch.Tensor,
    ridges: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss (n,), its gradient by p (n, r), and the weights w (n, k).

    Args:
        p: Descriptors, shape (n, r).
        references: References, shape (N, r), of the dtype of p.
        indices: References of each atom, shape (n, k).
        among: D_kl of M atoms with up to K references each, shape (M, K, K).
        rows: Row of ``among`` of each atom, shape (n,).
        ridges: Ridges rho, shape (n, k), or a single one for all references, shape (1, 1).
    """
    n, k = indices.shape
    loss, gradient, weights = p.new_empty(n), torch.empty_like(p), p.new_empty((n, k))
    ridges = ridges.expand(-1, k).contiguous()
    given = (p.contiguous(), references, indices.contiguous(), among, rows, ridges)
    run(_combine, n, *given, loss, gradient, weights)
    return loss, gradient, weights


def distances_among(
    references: torch.Tensor,
    indices: torch.Tensor,
    changed: torch.Tensor,
    out: torch.Tensor,
    rows: torch.Tensor,
) -> None:
    """Write |z_k - z_l|^2 of the references in each row of ``indices`` (n, k) to ``out``.

    Args:
        references: References, shape (N, r).
        indices: References of each atom, shape (n, k).
        changed: Mask of the references whose distances from all others are written, shape (n, k).
        out: Distances among the references of M atoms, shape (M, K, K) with K at least k.
        rows: Row of ``out`` of each atom, shape (n,).
    """
    run(_among, len(indices), references, indices.contiguous(), changed, out, rows)


@compiled
def _apart_from_four(a, b0, b1, b2, b3, count, out):
    """|a - b|^2 of an array ``a`` and four others, all of length ``count``, into ``out``."""
    kind = a.dtype.type
    zero, minus = spread(kind(0)), spread(kind(-1))
    s0, s1, s2, s3 = zero, zero, zero, zero
    for k in range(0, count - 7, 8):
        here = load(a, k)
        d0, d1 = muladd(load(b0, k), minus, here), muladd(load(b1, k), minus, here)
        d2, d3 = muladd(load(b2, k), minus, here), muladd(load(b3, k), minus, here)
        s0, s1 = muladd(d0, d0, s0), muladd(d1, d1, s1)
        s2, s3 = muladd(d2, d2, s2), muladd(d3, d3, s3)
    t0, t1, t2, t3 = total(s0), total(s1), total(s2), total(s3)
    for k in range(count // 8 * 8, count):
        t0 += (a[k] - b0[k]) * (a[k] - b0[k])
        t1 += (a[k] - b1[k]) * (a[k] - b1[k])
        t2 += (a[k] - b2[k]) * (a[k] - b2[k])
        t3 += (a[k] - b3[k]) * (a[k] - b3[k])
    out[0], out[1], out[2], out[3] = t0, t1, t2, t3


@compiled
def _among(start, stop, references, indices, changed, out, rows):
    k, size = indices.shape[1], references.shape[1]
    others = np.empty(k + 3, np.int64)
    four = np.empty(4, references.dtype)
    for atom in range(start, stop):
        chosen = indices[atom]
        for first in range(k):
            if not changed[atom, first]:
                continue
            count = 0
            for second in range(k):
                # A pair of changed references is computed once, for the first of the two.
                if second >= first or not changed[atom, second]:
                    others[count] = second
                    count += 1
            # Four are computed at a time; the last four are filled up with ``first`` itself.
            others[count : count + 3] = first
            own = references[chosen[first]]
            for at in range(0, count, 4):
                _apart_from_four(
                    own,
                    references[chosen[others[at]]],
                    references[chosen[others[at + 1]]],
                    references[chosen[others[at + 2]]],
                    references[chosen[others[at + 3]]],
                    size,
                    four,
                )
                for j in range(4):
                    second = others[at + j]
                    out[rows[atom], first, second] = four[j]
                    out[rows[atom], second, first] = four[j]


@compiled
def _solve(matrix, right, k, stride):
    """Solve a symmetric system, by elimination in its upper triangle; ``right`` becomes x."""
    kind = matrix.dtype.type
    for pivot in range(k):
        row = pivot * stride
        inverse = kind(1) / matrix[row + pivot]
        for other in range(pivot + 1, k):
            factor = -matrix[row + other] * inverse
            along = spread(factor)
            for j in range(other // 8 * 8, stride, 8):
                at = other * stride + j
                store(muladd(along, load(matrix, row + j), load(matrix, at)), matrix, at)
            right[other] += factor * right[pivot]
    for pivot in range(k - 1, -1, -1):
        row = pivot * stride
        found = right[pivot]
        for j in range(pivot + 1, k):
            found -= matrix[row + j] * right[j]
        right[pivot] = found / matrix[row + pivot]


@compiled
def _combine(
    start, stop, p, references, indices, among, rows, ridges, loss, gradient, weights
):  # fmt: skip
    kind = p.dtype.type
    k, size = indices.shape[1], p.shape[1]
    stride = padded(k)
    matrix, right = np.zeros(k * stride, p.dtype), np.empty(stride, p.dtype)
    squared = np.zeros(stride, p.dtype)
    for atom in range(start, stop):
        here = p[atom]
        mean = kind(0)
        for j in range(k):
            squared[j] = apart(here, references[indices[atom, j]])
            mean += squared[j]
        # The comparison is written so that NaN comes through.
        mean = kind(SMALLEST) if mean < k * kind(SMALLEST) else mean / kind(k)
        half = kind(0.5) / mean
        ridge = ridges[atom if len(ridges) > 1 else 0]
        for i in range(k):
            others = among[rows[atom], i]
            for j in range(i, k):
                matrix[i * stride + j] = half * (squared[i] + squared[j] - others[j])
            matrix[i * stride + i] += ridge[i]
            right[i] = 1
        _solve(matrix, right, k, stride)
        whole = kind(0)
        for j in range(k):
            whole += right[j]
        loss[atom] = mean / whole
        for j in range(k):
            right[j] /= whole
            weights[atom, j] = right[j]
        # This sum is no part of a loop that writes: there the compiler would add eight at a time
        # only where arrays happen to lie far enough apart.
        penalty = kind(0)
        for j in range(k):
            penalty += ridge[j] * right[j] * right[j]
        out = gradient[atom]
        for j in range(size):
            out[j] = kind(2) * (kind(1) + penalty) * here[j]
        for j in range(k):
            factor = kind(-2) * (right[j] + penalty / kind(k))
            _add(factor, references[indices[atom, j]], out, size)


@compiled
def _add(factor, values, out, size):
    along = spread(factor)
    for k in range(0, size - 7, 8):
        store(muladd(along, load(values, k), load(out, k)), out, k)
    for k in range(size // 8 * 8, size):
        out[k] += factor * values[k]
