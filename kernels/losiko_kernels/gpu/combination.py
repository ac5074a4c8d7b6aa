r"""The locally linear target of many atoms, without copies of their references in memory.

The formulas are those of ``losiko_kernels.cpu.combination``: for an atom at p with references z_k,
distances d_k = |p - z_k|^2, of mean m, D_kl = |z_k - z_l|^2, and ridges rho_k,

    A x = 1,     A_kl = (d_k + d_l - D_kl) / (2 m) + rho_k delta_kl,     w = x / sum x,

with the loss m / sum x. Kernels compute d and A, torch solves the systems, another kernel adds up
the gradient 2 (1 + s) p - 2 sum_k (w_k + s / k) z_k, s = sum_k rho_k w_k^2. References are gathered
where they are needed, a few components of some of them at a time: those of an element mostly stay
in the GPU's cache, whereas a copy for every atom would pass through its memory.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from losiko_kernels.gpu.launching import on_device, power_of_two

#: Bytes of the systems of equations solved at once.
BLOCK_BYTES = 2**30
#: Mean distance below which an atom is on its references.
SMALLEST = 1e-12
#: References gathered at a time, and components of them: a line of memory in single precision.
REFERENCES, COMPONENTS = 16, 32
#: Entries of a system that a program writes at once.
ENTRIES = 2048


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
    loss, gradient, weights = p.new_empty(n), p.new_empty(p.shape), p.new_empty((n, k))
    p, indices, ridges = p.contiguous(), indices.contiguous(), ridges.contiguous()
    at_once = max(1, BLOCK_BYTES // (k * k * p.element_size()))
    for begin in range(0, n, at_once):
        some = slice(begin, begin + at_once)
        own = ridges[some] if len(ridges) > 1 else ridges
        given = p[some], references, indices[some], among, rows[some], own
        loss[some], gradient[some], weights[some] = _combine(*given)
    return loss, gradient, weights


def _combine(
    p: torch.Tensor,
    references: torch.Tensor,
    indices: torch.Tensor,
    among: torch.Tensor,
    rows: torch.Tensor,
    ridges: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    n, k = indices.shape
    apart = squared_distances(p, references, indices, p.dtype)
    mean = apart.mean(1).clamp(min=SMALLEST)
    system, gradient = p.new_empty((n, k, k)), torch.empty_like(p)
    width = power_of_two(k)
    lines = max(1, ENTRIES // width)
    with on_device(p):
        system_kernel[(n, triton.cdiv(k, lines))](
            apart,
            mean,
            among,
            rows,
            ridges,
            system,
            k,
            among.shape[1],
            EACH=ridges.numel() > 1,
            LINES=lines,
            WIDTH=width,
        )
        # `solve` would raise for the whole batch if one matrix were singular.
        x = torch.linalg.solve_ex(system, torch.ones_like(apart)).result
        total = x.sum(1)
        weights = x / total[:, None]
        penalty = (ridges * weights.square()).sum(1)
        # The solution has LAPACK's layout in memory.
        shares = (weights + penalty[:, None] / k).contiguous()
        gradient_kernel[(n,)](
            p,
            references,
            indices,
            shares,
            penalty,
            gradient,
            k,
            p.shape[1],
            SOME=4 * REFERENCES,
            BLOCK=COMPONENTS,
        )
    return mean / total, gradient, weights


def nearest_of(
    queries: torch.Tensor, references: torch.Tensor, indices: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``k`` nearest of some candidates, by exact distance and then by index, in float64.

    Args:
        queries: Points, shape (n, r).
        references: References, shape (N, r), float32.
        indices: Candidates of each query, shape (n, m).
        k: Number of references wanted, at most m.

    Returns:
        Distances, float64, and indices, both shape (n, k).
    """
    indices = indices.sort(dim=1).values
    distances = squared_distances(queries.contiguous(), references, indices, torch.float64)
    distances, order = distances.sort(dim=1, stable=True)
    return distances[:, :k], indices.gather(1, order[:, :k])


def squared_distances(
    p: torch.Tensor, references: torch.Tensor, indices: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Distances |p - z|^2 (n, k) of points (n, r) from their references ``indices`` (n, k)."""
    n, k = indices.shape
    out = torch.empty((n, k), dtype=dtype, device=p.device)
    if n > 0:
        with on_device(p):
            apart_kernel[(n, triton.cdiv(k, REFERENCES))](
                p, references, indices, out, k, p.shape[1], SOME=REFERENCES, BLOCK=COMPONENTS
            )
    return out


@triton.jit
def apart_kernel(p, references, indices, out, count, size, SOME: tl.constexpr, BLOCK: tl.constexpr):
    """Distances of one point from SOME of its ``count`` references, of ``size`` components."""
    point = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * SOME + tl.arange(0, SOME)
    in_use = k < count
    starts = tl.load(indices + point * count + k, mask=in_use, other=0) * size
    component = tl.arange(0, BLOCK)
    sums = tl.zeros((SOME, BLOCK), out.dtype.element_ty)
    for begin in range(0, size, BLOCK):
        inside = begin + component < size
        own = tl.load(p + point * size + begin + component, mask=inside, other=0.0)
        places = references + starts[:, None] + (begin + component)[None, :]
        z = tl.load(places, mask=in_use[:, None] & inside[None, :], other=0.0)
        difference = z.to(sums.dtype) - own.to(sums.dtype)[None, :]
        # Entries beyond the references are no distances, and are not stored.
        sums += difference * difference
    tl.store(out + point * count + k, tl.sum(sums, 1), mask=in_use)


@triton.jit
def system_kernel(
    apart,
    mean,
    among,
    rows,
    ridges,
    system,
    count,
    largest,
    EACH: tl.constexpr,
    LINES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """LINES lines of the matrix A of one atom; ``largest`` is K, the width of ``among``."""
    atom = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * LINES + tl.arange(0, LINES)
    j = tl.arange(0, WIDTH)
    inside = (i < count)[:, None] & (j < count)[None, :]
    own = tl.load(apart + atom * count + i, mask=i < count, other=0.0)
    others = tl.load(apart + atom * count + j, mask=j < count, other=0.0)
    place = among + tl.load(rows + atom) * largest * largest
    between = tl.load(place + i[:, None] * largest + j[None, :], mask=inside, other=0.0)
    if EACH:
        ridge = tl.load(ridges + atom * count + j, mask=j < count, other=0.0)
    else:
        ridge = tl.load(ridges + 0 * j)
    # Scaling by the mean distance leaves the weights as they are and conditions the solve.
    entries = (own[:, None] + others[None, :] - between) / (2 * tl.load(mean + atom))
    entries += tl.where(i[:, None] == j[None, :], ridge[None, :], 0)
    tl.store(system + (atom * count + i[:, None]) * count + j[None, :], entries, mask=inside)


@triton.jit
def gradient_kernel(
    p,
    references,
    indices,
    shares,
    penalty,
    gradient,
    count,
    size,
    SOME: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """2 (1 + s) p minus twice the sum of the references times their ``shares``, of one atom."""
    atom = tl.program_id(0).to(tl.int64)
    component = tl.arange(0, BLOCK)
    own_share = 1 + tl.load(penalty + atom)
    for begin in range(0, size, BLOCK):
        inside = begin + component < size
        pull = tl.zeros((SOME, BLOCK), p.dtype.element_ty)
        for first in range(0, count, SOME):
            k = first + tl.arange(0, SOME)
            in_use = k < count
            starts = tl.load(indices + atom * count + k, mask=in_use, other=0) * size
            share = tl.load(shares + atom * count + k, mask=in_use, other=0.0)
            places = references + starts[:, None] + (begin + component)[None, :]
            z = tl.load(places, mask=in_use[:, None] & inside[None, :], other=0.0)
            pull += z * share[:, None]
        at = atom * size + begin + component
        own = tl.load(p + at, mask=inside, other=0.0)
        tl.store(gradient + at, 2 * (own_share * own - tl.sum(pull, 0)), mask=inside)
