r"""The locally linear target of many atoms, without copies of their references in memory.

The formulas are those of ``losiko_kernels.cpu.combination``: for an atom at p with references z_k,
distances d_k = |p - z_k|^2, of mean m, D_kl = |z_k - z_l|^2, and ridges rho_k,

    A x = 1,     A_kl = (d_k + d_l - D_kl) / (2 m) + rho_k delta_kl,     w = x / sum x,

with the loss m / sum x. A kernel computes d, one solves the systems in registers, and one adds up
the gradient 2 (1 + s) p - 2 sum_k (w_k + s / k) z_k, s = sum_k rho_k w_k^2. References are gathered
where they are needed, a few components of some of them at a time: those of an element mostly stay
in the GPU's cache, whereas a copy for every atom would pass through its memory.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from losiko_kernels.gpu.launching import launch, power_of_two
from losiko_kernels.gpu.rows import constant

#: References of an atom up to which a matrix stays in registers.
MOST_REGISTERS = 64
#: Bytes of larger systems of equations solved at once.
BLOCK_BYTES = 2**30
#: Mean distance below which an atom is on its references.
SMALLEST = 1e-12
#: References gathered at a time, and components of them: a line of memory in single precision.
REFERENCES, COMPONENTS = 16, 32


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
    p, indices, ridges = p.contiguous(), indices.contiguous(), ridges.contiguous()
    apart = squared_distances(p, references, indices, p.dtype)
    solved = solve if k <= MOST_REGISTERS else solve_by_torch
    loss, weights, penalty = solved(apart, among, rows, ridges)
    gradient = torch.empty_like(p)
    if n > 0:
        launch(
            gradient_kernel,
            (n,),
            p,
            references,
            indices,
            weights,
            penalty,
            gradient,
            k,
            p.shape[1],
            SOME=4 * REFERENCES,
            BLOCK=COMPONENTS,
        )
    return loss, gradient, weights


def solve(
    apart: torch.Tensor, among: torch.Tensor, rows: torch.Tensor, ridges: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss (n,), weights w (n, k) and sum_k rho_k w_k^2 (n,), for distances d, ``apart`` (n, k).

    A matrix stays in the registers of a program; it is positive definite, so that no pivot is
    sought. The other arguments are those of ``combine``.
    """
    n, k = apart.shape
    loss, weights, penalty = apart.new_empty(n), torch.empty_like(apart), apart.new_empty(n)
    if n > 0:
        launch(
            solve_kernel,
            (n,),
            apart,
            among,
            rows,
            ridges,
            loss,
            weights,
            penalty,
            k,
            among.shape[1],
            SMALLEST=SMALLEST,
            **solve_launch(k, apart.dtype),
            EACH=ridges.numel() > 1,
        )
    return loss, weights, penalty


def solve_launch(k: int, dtype: torch.dtype) -> dict[str, int]:
    """Width and options of a launch for matrices of ``k`` rows."""
    width = power_of_two(k)
    # 16 registers of a thread for the matrix, and as many for what takes its place.
    warps = max(1, min(width * width * dtype.itemsize // 4 // 512, 16))
    return {"WIDTH": width, "num_warps": warps, "num_stages": 1}


def solve_by_torch(
    apart: torch.Tensor, among: torch.Tensor, rows: torch.Tensor, ridges: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Do what ``solve`` does for matrices of any size, which pass through memory."""
    n, k = apart.shape
    loss, weights, penalty = apart.new_empty(n), torch.empty_like(apart), apart.new_empty(n)
    at_once = max(1, BLOCK_BYTES // (k * k * apart.element_size()))
    for begin in range(0, n, at_once):
        some = slice(begin, begin + at_once)
        own = ridges[some] if len(ridges) > 1 else ridges
        mean = apart[some].mean(1).clamp(min=SMALLEST)
        between = among[rows[some], :k, :k]
        # Scaling by the mean distance leaves the weights as they are and conditions the solve.
        system = apart[some, :, None] + apart[some, None, :] - between
        system = system / (2 * mean[:, None, None])
        system.diagonal(dim1=1, dim2=2).add_(own)
        # `solve` would raise for the whole batch if one matrix were singular.
        x = torch.linalg.solve_ex(system, torch.ones_like(apart[some])).result
        total = x.sum(1)
        weights[some] = x / total[:, None]
        penalty[some] = (own * weights[some].square()).sum(1)
        loss[some] = mean / total
    return loss, weights, penalty


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
        launch(
            apart_kernel,
            (n, triton.cdiv(k, REFERENCES)),
            p,
            references,
            indices,
            out,
            k,
            p.shape[1],
            SOME=REFERENCES,
            BLOCK=COMPONENTS,
        )
    return out


@triton.jit(do_not_specialize=["count"])
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
def solve_kernel(
    apart,
    among,
    rows,
    ridges,
    loss,
    weights,
    penalty,
    count,
    largest,
    SMALLEST: tl.constexpr,
    EACH: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Solve A x = 1 of one atom by elimination; ``largest`` is K, the width of ``among``."""
    atom = tl.program_id(0).to(tl.int64)
    i, j = tl.arange(0, WIDTH), tl.arange(0, WIDTH)
    own = tl.load(apart + atom * count + i, mask=i < count, other=0.0)
    others = tl.load(apart + atom * count + j, mask=j < count, other=0.0)
    if EACH:
        ridge = tl.load(ridges + atom * count + i, mask=i < count, other=0.0)
    else:
        ridge = tl.load(ridges + 0 * i)
    inside = (i < count)[:, None] & (j < count)[None, :]
    place = among + tl.load(rows + atom) * largest * largest
    between = tl.load(place + i[:, None] * largest + j[None, :], mask=inside, other=0.0)
    mean = tl.sum(own) / count
    mean = tl.where(mean < constant(SMALLEST, mean), constant(SMALLEST, mean), mean)
    # Scaling by the mean distance leaves the weights as they are and conditions the solution.
    system = (own[:, None] + others[None, :] - between) / (2 * mean)
    system += tl.where(i[:, None] == j[None, :], ridge[:, None], 0)
    system = tl.where(inside, system, tl.where(i[:, None] == j[None, :], 1, 0))
    x = tl.where(i < count, 1.0, 0.0).to(own.dtype)
    for step in range(count):
        row = tl.sum(tl.where(i[:, None] == step, system, 0), 0)
        column = tl.sum(tl.where(j[None, :] == step, system, 0), 1)
        pivot = tl.sum(tl.where(j == step, row, 0))
        row /= pivot
        value = tl.sum(tl.where(i == step, x, 0)) / pivot
        others_less = system - column[:, None] * row[None, :]
        system = tl.where(i[:, None] == step, row[None, :], others_less)
        x = tl.where(i == step, value, x - column * value)
    total = tl.sum(x)
    x /= total
    tl.store(weights + atom * count + i, x, mask=i < count)
    tl.store(penalty + atom, tl.sum(ridge * x * x))
    tl.store(loss + atom, mean / total)


@triton.jit
def gradient_kernel(
    p,
    references,
    indices,
    weights,
    penalty,
    gradient,
    count,
    size,
    SOME: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """2 (1 + s) p minus twice the sum of the references times w_k + s / k, of one atom."""
    atom = tl.program_id(0).to(tl.int64)
    component = tl.arange(0, BLOCK)
    ridge = tl.load(penalty + atom)
    own_share, more = 1 + ridge, ridge / count
    for begin in range(0, size, BLOCK):
        inside = begin + component < size
        pull = tl.zeros((SOME, BLOCK), p.dtype.element_ty)
        for first in range(0, count, SOME):
            k = first + tl.arange(0, SOME)
            in_use = k < count
            starts = tl.load(indices + atom * count + k, mask=in_use, other=0) * size
            share = tl.load(weights + atom * count + k, mask=in_use, other=0.0)
            share = tl.where(in_use, share + more, 0)
            places = references + starts[:, None] + (begin + component)[None, :]
            z = tl.load(places, mask=in_use[:, None] & inside[None, :], other=0.0)
            pull += z * share[:, None]
        at = atom * size + begin + component
        own = tl.load(p + at, mask=inside, other=0.0)
        tl.store(gradient + at, 2 * (own_share * own - tl.sum(pull, 0)), mask=inside)
