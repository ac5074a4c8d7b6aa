"""Named choices of one kind: the modules of a sub-package, and what installed packages add."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from losiko_torch.errors import InputError


@dataclass(frozen=True)
class Registry:
    """Choices by name, found when they are first asked for.

    A module of ``package`` offers a choice by its attribute ``attribute``, an object with a
    ``name``: a class of optimizers, made without arguments; a class of targets with ``make`` (see
    ``losiko_torch.loss.targets.nearest``); a class of terms with ``option`` and ``parse`` (see
    ``losiko_torch.loss.terms.density``); a ``Format``. Another distribution offers one by an entry
    point of the group ``package``, which loads such an object. So a new choice is one new file, and
    none of this package where it comes from outside.

    Attributes:
        kind: Word for a choice in error messages, such as "optimizer".
        package: Dotted name of the sub-package, and of the group of entry points.
        attribute: Name of the module attribute that holds the choice.
        order: Names that come first where choices are listed.
    """

    kind: str
    package: str
    attribute: str
    order: tuple[str, ...] = ()

    @cached_property
    def choices(self) -> dict[str, Any]:
        """Choices by name, in order."""
        found: dict[str, Any] = {}
        for choice in self._found():
            if choice.name in found:
                raise InputError(
                    f"{self.kind} '{choice.name}' comes from two packages: remove one of them"
                )
            found[choice.name] = choice
        first = {name: found.pop(name) for name in self.order}
        return first | dict(sorted(found.items()))

    def __getitem__(self, name: str) -> Any:
        """Return the choice of this name; ``InputError`` names all where there is none."""
        if name not in self.choices:
            raise InputError(f"{self.kind} '{name}' is none of {', '.join(self.choices)}")
        return self.choices[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.choices)

    def _found(self) -> Iterator[Any]:
        package = import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            choice = getattr(import_module(f"{self.package}.{module.name}"), self.attribute, None)
            if choice is not None:
                yield choice
        for entry in entry_points(group=self.package):
            yield entry.load()
