"""Unknown keyword arguments: an error that names the nearest known one.

>>> @names_unknown
... def relax(structures, *, targets=None, fmax=0.02): ...
>>> relax([], target="nearest")
Traceback (most recent call last):
    ...
losiko_torch.errors.UnknownOption: relax has no option 'target': did you mean 'targets'?
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import cache, wraps
from types import SimpleNamespace
from typing import Any, TypeVar, get_args, get_type_hints

from losiko_torch.errors import UnknownOption

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])

#: Likeness of two names, 0 to 1, from which one is taken for a slip of the other.
ALIKE = 0.5


def names_unknown(function: AnyCallable) -> AnyCallable:
    """Return a function that raises ``UnknownOption`` for keyword arguments it does not know.

    A decorator for functions, for methods and, as it is the call of them, for classes. Options
    behind ``**options: Unpack[SomeTypedDict]`` are known too.
    """
    if isinstance(function, type):
        made: Any = function
        made.__init__ = _checked(made.__init__, made.__name__)
        return made
    return _checked(function, function.__name__)


def check_names(owner: str, given: Any, known: Any) -> None:
    """Raise ``UnknownOption`` for the first name given to ``owner`` that is not known."""
    for name in given:
        if name in known:
            continue
        like = nearest_name(name, known)
        hint = f"did you mean '{like}'?" if like else f"it has {', '.join(sorted(known))}"
        raise UnknownOption(f"{owner} has no option '{name}': {hint}")


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that another one is likely a slip of; None if it is like none."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, ALIKE)), None)


def _checked(function: Any, owner: str) -> Any:
    parameters = inspect.signature(function).parameters.values()
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    named = {each.name for each in parameters if each.kind in kinds} - {"self", "cls"}
    rest = [each.name for each in parameters if each.kind == inspect.Parameter.VAR_KEYWORD]

    @cache
    def known() -> set[str]:
        # This hint alone, and as late as here: others name what is imported for type checkers only.
        alone = SimpleNamespace(__annotations__={n: function.__annotations__[n] for n in rest})
        hints = get_type_hints(alone, function.__globals__)
        return named.union(*(get_args(hints[name])[0].__annotations__ for name in rest))

    @wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        if not options.keys() <= named:
            check_names(owner, options, known())
        return function(*args, **options)

    return checked
