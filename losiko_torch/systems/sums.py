"""Sums of numbered entries that are the same, bit by bit, in every run.

A GPU's ``index_add`` adds in the order in which its threads arrive. Here the entries of a number
lie together, as they come or after a stable sort, and are added one after the other. A gradient
of such a sum is a gather, and that of a gather such a sum. On a processor ``index_add`` adds in
the order of the entries, and is left to do so where it is faster.

>>> summed(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2, 2]), 3).tolist()
[1.0, 0.0, 5.0]
"""

from __future__ import annotations

import torch
from torch.autograd import forward_ad

from losiko_torch.systems.kept import kept

#: Entries that are added one after the other; more are added in pieces of so many first.
PIECE = 512


def adds_in_any_order(device: torch.device) -> bool:
    """Return whether a device's ``index_add`` adds in an order that changes from run to run."""
    return device.type != "cpu"


def summed(values: torch.Tensor, index: torch.Tensor, count: int, dim: int = 0) -> torch.Tensor:
    """Return the sums of entries along ``dim`` of each of ``count`` numbers, differentiable.

    Args:
        values: Entries, shape (n, ...).
        index: Number of each entry, shape (n,).
        count: Numbers.
        dim: Dimension of the entries.
    """
    # Whole numbers are exact in any order, and a program that is traced looks at no index.
    plain = not values.is_floating_point() or torch.compiler.is_compiling()
    if plain or not adds_in_any_order(values.device):
        if plain or dim != 0 or _followed(values) or not ascending(index):
            shape = list(values.shape)
            shape[dim] = count
            zeros = values.new_zeros(shape)
            add = zeros.index_add if _followed(values) else zeros.index_add_
            return add(dim, index, values)
        return _in_order(values, index, count)
    if dim != 0:
        return summed(values.movedim(dim, 0), index, count).movedim(0, dim)
    if _followed(values):
        return _Summed.apply(values, index, count)
    return _in_order(values, index, count)


def gathered(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return the rows (n, ...) of ``values`` with these numbers (n,), differentiable."""
    if _followed(values) and adds_in_any_order(values.device):
        return _Gathered.apply(values, index)
    # Its backward is index_add, much faster than that of indexing on a processor.
    return values.index_select(0, index)


def segment_sums(values: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """Return the sums of entries that lie together, from ``first`` (count + 1,) on."""
    return torch.segment_reduce(values, "sum", offsets=first, unsafe=True, initial=0)


def largest(values: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
    """Return the largest entry of each of ``count`` numbers, zero where all are less."""
    if _followed(values) or not ascending(index):
        # No order changes what is largest.
        return values.new_zeros(count).scatter_reduce_(0, index, values, "amax")
    first = first_of(index, count)
    return torch.segment_reduce(values, "max", offsets=first, unsafe=True, initial=0)


def ascending(index: torch.Tensor) -> bool:
    """Return whether entries of one number lie together, in the order of the numbers."""
    return kept(index, "ascending", lambda: bool((index[1:] >= index[:-1]).all()))


def first_of(index: torch.Tensor, count: int) -> torch.Tensor:
    """Return where the entries of each of ``count`` numbers begin, once in order, and their end."""

    def found() -> torch.Tensor:
        first = index.new_zeros(count + 1)
        torch.cumsum(torch.bincount(index, minlength=count), 0, out=first[1:])
        return first

    return kept(index, ("first", count), found)


def _followed(values: torch.Tensor) -> bool:
    """Return whether autograd follows what becomes of a tensor."""
    if torch.is_grad_enabled() and values.requires_grad:
        return True
    return forward_ad.unpack_dual(values).tangent is not None


def _in_order(values: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
    if not ascending(index):
        values = values[kept(index, "order", lambda: torch.argsort(index, stable=True))]
    first = first_of(index, count)
    if not adds_in_any_order(values.device):
        return segment_sums(values, first)
    pieces = kept(index, ("pieces", count), lambda: _pieces(first))
    if pieces is None:
        return segment_sums(values, first)
    starts, of_number = pieces
    return segment_sums(segment_sums(values, starts), of_number)


def _pieces(first: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the first entry of each piece, and the first piece of each number, with their ends.

    None where no number has more than ``PIECE`` entries.
    """
    sizes = first.diff()
    if not (sizes > PIECE).any():
        return None
    counts = (sizes + PIECE - 1) // PIECE
    of_number = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    number = torch.repeat_interleave(counts)
    within = torch.arange(len(number), device=first.device) - of_number[number]
    return torch.cat([first[number] + PIECE * within, first[-1:]]), of_number


class _Summed(torch.autograd.Function):
    """Sum whose gradient is a gather."""

    generate_vmap_rule = False

    @staticmethod
    def forward(values: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
        return _in_order(values, index, count)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        _, ctx.index, ctx.count = inputs

    @staticmethod
    def backward(ctx, grad: torch.Tensor):
        return gathered(grad, ctx.index), None, None

    @staticmethod
    def jvp(ctx, tangent: torch.Tensor, *_):
        return summed(tangent, ctx.index, ctx.count)


class _Gathered(torch.autograd.Function):
    """Gather whose gradient is a sum."""

    generate_vmap_rule = False

    @staticmethod
    def forward(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return values.index_select(0, index)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        values, ctx.index = inputs
        ctx.count = len(values)

    @staticmethod
    def backward(ctx, grad: torch.Tensor):
        return summed(grad, ctx.index, ctx.count), None

    @staticmethod
    def jvp(ctx, tangent: torch.Tensor, _):
        return gathered(tangent, ctx.index)
