"""Named choices of one kind: the modules of a sub-package, and what installed packages add."""

from __future__ import annotations

import pkgutil
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from losiko_torch.errors import InputError, first_line

#: Form of a choice's name.
NAME = r"[A-Za-z][\w. -]*"


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
    def problems(self) -> dict[str, str]:
        """Reasons why choices of other packages are left out, by name."""
        return {}

    @cached_property
    def choices(self) -> dict[str, Any]:
        """Choices by name, in order; a broken one of another package is left out with a warning."""
        found = {choice.name: choice for choice in self._own()}
        built_in = set(found)
        for entry in entry_points(group=self.package):
            name, choice, problem = self._loaded(entry)
            if problem is None and name in found:
                problem = f"{self.kind} '{name}' comes from two packages: remove one of them"
                if name not in built_in:
                    del found[name]
            if problem is None:
                found[name] = choice
            else:
                self.problems[name] = problem
                warnings.warn(f"{problem}; it is left out", stacklevel=2)
        first = {name: found.pop(name) for name in self.order}
        return first | dict(sorted(found.items()))

    def __getitem__(self, name: str) -> Any:
        """Return the choice of this name; ``InputError`` names all where there is none."""
        if name in self.choices:
            return self.choices[name]
        if name in self.problems:
            raise InputError(self.problems[name])
        raise InputError(f"{self.kind} '{name}' is none of {', '.join(self.choices)}")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.choices)

    def _own(self) -> Iterator[Any]:
        package = import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            choice = getattr(import_module(f"{self.package}.{module.name}"), self.attribute, None)
            if choice is not None:
                yield choice

    def _loaded(self, entry: Any) -> tuple[str, Any, str | None]:
        """Return the name and object of an entry point, or why it cannot be used."""
        name = str(getattr(entry, "name", "?"))
        package = getattr(getattr(entry, "dist", None), "name", "another package")
        try:
            choice = entry.load()
        except Exception as error:  # whatever another package trips over when it is imported
            problem = f"({type(error).__name__}: {first_line(error)})"
            return name, None, f"{self.kind} '{name}' of {package} cannot be loaded {problem}"
        own = getattr(choice, "name", None)
        if not isinstance(own, str) or not re.fullmatch(NAME, own):
            return name, None, f"{self.kind} '{name}' of {package} has no name such as 'my-own'"
        return own, choice, None
