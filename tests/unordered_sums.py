"""Finder of operations whose result on a GPU changes in its last bits from run to run.

They are those of torch's own list (``torch.use_deterministic_algorithms``) that add numbers of
floating point where several threads may meet: the order in which they arrive is not fixed. Sums of
whole numbers and largest ones are exact in any order, and an entry that one thread alone adds to is
too, so that these are not counted. Backward passes are seen as the operations that they launch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

#: Operations that add to entries which an index names: places of the index, in their arguments.
BY_INDEX = {"index_add": 2, "index_reduce": 2, "scatter_add": 2, "scatter_reduce": 2, "put": 1}
BY_INDEX |= {"index_copy": 2, "scatter": 2}
#: Operations that may add in any order, whatever their arguments.
ALWAYS = frozenset(
    (
        *("embedding_dense_backward", "_embedding_bag", "histc", "prod_backward"),
        *("grid_sampler_2d_backward", "max_pool3d_with_indices_backward", "nll_loss2d_forward"),
    )
)
EXACT = ("amax", "amin")


class UnorderedSums(TorchDispatchMode):
    """Names of the operations found, in the order in which they were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.rstrip("_")
        if _unordered(name, args, kwargs or {}):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def _unordered(name: str, args: Any, kwargs: Any) -> bool:
    if name == "cumsum":
        return args[0].is_floating_point()
    if name == "bincount":
        return (args[1] if len(args) > 1 else kwargs.get("weights")) is not None
    if name in ALWAYS:
        return True
    if name in ("index_put", "_index_put_impl", "_unsafe_index_put"):
        return args[0].is_floating_point() and _meet(_places(args[0], args[1]))
    if name not in BY_INDEX or not args[0].is_floating_point():
        return False
    if name == "scatter_reduce" and args[4] in EXACT:
        return False
    if name == "scatter" and not isinstance(args[3], torch.Tensor):
        return False
    index = args[BY_INDEX[name]]
    if name.startswith("scatter"):
        own = torch.meshgrid(*(torch.arange(size) for size in index.shape), indexing="ij")
        index = _places(args[0], [index if k == args[1] else own[k] for k in range(index.ndim)])
    return _meet(index)


def _places(values: torch.Tensor, index: list[torch.Tensor | None]) -> torch.Tensor:
    """Return the numbers of the entries of ``values`` that an index names."""
    return torch.arange(values.numel()).reshape(values.shape)[tuple(_all(index))]


def _all(index: list[torch.Tensor | None]) -> list[torch.Tensor | slice]:
    return [slice(None) if each is None else each for each in index]


def _meet(places: torch.Tensor) -> bool:
    """Return whether an entry is named more than once."""
    return places.numel() != places.unique().numel()
