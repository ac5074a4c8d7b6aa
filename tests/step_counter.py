"""Counter of what a GPU would be asked for: operations launched, and times that the host waits.

Tensors are on the processor. An operation counts as launched if it works on numbers: views and
fresh memory do not. A compiled kernel counts once. The host waits where a result's size or value
has to be known to it: a number looked at, a mask that chooses, elements that are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import pytest
import stand_ins
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from losiko_torch.accelerators import kernels_for

#: Operations that give another view of memory, or memory without contents.
FREE = frozenset(
    (
        *("alias", "as_strided", "detach", "diagonal", "expand", "lift_fresh", "permute", "select"),
        *("slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unfold"),
        *("unsqueeze", "view", "_reshape_alias", "_unsafe_view"),
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
    )
)
#: Operations whose result has a size that follows from values, or is a value.
WAITS = frozenset(
    (
        *("_local_scalar_dense", "nonzero", "masked_select", "equal", "bincount", "is_nonzero"),
        *("_unique2", "unique_consecutive", "unique_dim", "repeat_interleave"),
    )
)
KERNELS = (
    *("expand_density", "expand_density_backward", "unit_power_spectrum"),
    *("power_spectrum_backward", "distance", "combine", *stand_ins.NAMES),
)


class Steps(TorchDispatchMode):
    """Counts of operations launched and of waits, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.launched: Counter[str] = Counter()
        self.waited: Counter[str] = Counter()
        self.inside = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.rstrip("_") or func.overloadpacket.__name__
        if not self.inside:
            if name not in FREE:
                self.launched[name] += 1
            masks = name in ("index", "index_put") and any(_is_mask(each) for each in args[1])
            if masks or (name in WAITS and not (kwargs or {}).get("output_size")):
                self.waited[f"{name} of a mask" if masks else name] += 1
        return func(*args, **(kwargs or {}))

    def launch(self, kernel: Callable) -> None:
        """Count a kernel's launch."""
        self.launched[kernel.__name__] += 1

    def kernel(self, name: str, run: Callable) -> Callable:
        """Return a kernel that counts as one operation."""
        return self._counting(self.launched, name, run)

    def looked_at(self, name: str, run: Callable) -> Callable:
        """Return a function that copies values to the host, which counts as a wait."""
        return self._counting(self.waited, name, run)

    def _counting(self, counts: Counter, name: str, run: Callable) -> Callable:
        """Return a function whose calls count as one each, with all that happens inside."""

        def note() -> None:
            counts[name] += 1

        return as_one(self, run, note)


def as_one(mode: Any, run: Callable, note: Callable[[], None] = lambda: None) -> Callable:
    """Return a function in whose calls a mode knows itself inside; ``note`` is called outside."""

    @wraps(run)
    def called(*args: Any, **kwargs: Any) -> Any:
        if not mode.inside:
            note()
        before, mode.inside = mode.inside, True
        try:
            return run(*args, **kwargs)
        finally:
            mode.inside = before

    return called


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype == torch.bool


@contextmanager
def wrapped_kernels(wrap: Callable[[str, Callable], Callable]) -> Iterator[pytest.MonkeyPatch]:
    """Put what a function makes of each kernel, by its name, in the kernel's place."""
    with pytest.MonkeyPatch.context() as patch:
        kernels = kernels_for(torch.device("cpu"))
        for name in filter(partial(hasattr, kernels), KERNELS):
            patch.setattr(kernels, name, wrap(name, getattr(kernels, name)))
        yield patch


@contextmanager
def counted_steps():
    """Yield the counts of what the body asks for."""
    steps = Steps()
    with wrapped_kernels(steps.kernel) as patch:
        for name in ("tolist", "numpy", "cpu", "item"):
            patch.setattr(torch.Tensor, name, steps.looked_at(name, getattr(torch.Tensor, name)))
        with steps:
            yield steps
