"""Timers around the package's functions: where a relaxation spends its time.

Each part is measured without the parts inside of it. The names of functions stand in one table. A
name that the package does not have (any more) is reported, and its time counts for its callers.
"""

from __future__ import annotations

import functools
import importlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import floor

#: Part, module, and the name in it.
TIMED = (
    (floor.PAIRS, "losiko_torch.systems.verlet_list", "VerletList.make"),
    (floor.PAIRS, "losiko_torch.systems.verlet_list", "VerletList.at"),
    (floor.PAIRS, "losiko_torch.systems.verlet_list", "VerletList.active"),
    (floor.PAIRS, "losiko_torch.systems.verlet_list", "VerletList.select"),
    (floor.PAIRS, "losiko_torch.descriptors.soap.seen_pairs", "find_pairs"),
    (floor.DENSITY, "losiko_torch.descriptors.soap.compiled", "CompiledSoap.__init__"),
    (floor.SPECTRUM, "losiko_torch.descriptors.soap.compiled", "CompiledSoap.features"),
    (floor.PROJECTION, "losiko_torch.loss.atom_loss", "AtomLoss.project"),
    (floor.PROJECTION, "losiko_torch.loss.atom_loss", "AtomLoss.by_features"),
    (floor.TARGET, "losiko_torch.loss.targets.locally_linear", "LocallyLinear.evaluate"),
    (floor.TARGET, "losiko_torch.descriptors.soap.compiled", "CompiledSoap.distances"),
    (floor.BACKWARD, "losiko_torch.descriptors.soap.compiled", "CompiledSoap.trace_back"),
    (floor.BACKWARD, "losiko_torch.descriptors.soap.compiled", "CompiledSoap.trace_back_distances"),
    (floor.SEARCH, "losiko_torch.loss.atom_loss", "AtomLoss.search"),
    (floor.SEARCH, "losiko_torch.loss.atom_loss", "AtomLoss.renew"),
    (floor.OPTIMIZER, "losiko_torch.optimizers.lbfgs", "LBFGS.step"),
)
#: Functions whose atoms are counted: their module, and the number of atoms from their result.
COUNTED: dict[str, tuple[str, Callable[[Any], int]]] = {
    "Environments.nearest": ("losiko_torch.database.element", lambda found: len(found[1])),
}
REST = "rest"


@dataclass
class Timers:
    """Seconds of each part, and atoms that functions of ``COUNTED`` worked for."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    atoms: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    missing: list[str] = field(default_factory=list)
    _inside: list[float] = field(default_factory=list)

    def timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its time is added to that of the part."""

        @functools.wraps(work)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            self._inside.append(0.0)
            try:
                return work(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                self.seconds[part] += took - self._inside.pop()
                if self._inside:
                    self._inside[-1] += took

        return wrapper

    def counted(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that the atoms it worked for are added up."""

        @functools.wraps(work)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = work(*args, **kwargs)
            self.atoms[name] += COUNTED[name][1](result)
            return result

        return wrapper


@contextmanager
def watching(parts: bool = True) -> Iterator[Timers]:
    """Time all that runs within the context; without ``parts`` only atoms are counted."""
    timers, before = Timers(), []
    wrappers = [
        (module, name, functools.partial(timers.timed, part)) for part, module, name in TIMED
    ]
    counters = [
        (module, name, functools.partial(timers.counted, name))
        for name, (module, _) in COUNTED.items()
    ]
    try:
        for module, name, wrap in (wrappers if parts else []) + counters:
            owner: Any = importlib.import_module(module)
            *path, last = name.split(".")
            for step in path:
                owner = getattr(owner, step, None)
            if last not in vars(owner or object):
                timers.missing.append(f"{module}.{name}")
                continue
            # vars, not getattr: a class method is an object around its function.
            kept = vars(owner)[last]
            before.append((owner, last, kept))
            inner = kept.__func__ if isinstance(kept, classmethod) else kept
            wrapped = wrap(inner)
            setattr(owner, last, classmethod(wrapped) if isinstance(kept, classmethod) else wrapped)
        yield timers
    finally:
        for owner, last, kept in reversed(before):
            setattr(owner, last, kept)
