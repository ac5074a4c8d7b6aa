"""Options of the command line made of a settings record, and records made of their values.

>>> from losiko_torch.loss.settings import LossSettings
>>> @takes(LossSettings, names=("degree", "weights"))
... def show(settings: dict) -> None:
...     print(settings)
>>> show(degree=2.0, weights="H=0.5")
{'degree': 2.0, 'weights': {'H': 0.5}}
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Annotated, Any, TypeVar

import typer

from losiko_torch.loss.terms.registry import TERMS
from losiko_torch.options import Option, options_of

Function = TypeVar("Function", bound=Callable[..., Any])

#: Parameter of a command that takes the values of a record's options.
SETTINGS = "settings"
#: Panel of the help for terms of the loss.
TERMS_PANEL = "Terms added to the loss"


def takes(record: type, names: Iterable[str] | None = None) -> Callable[[Function], Function]:
    """Decorate a command so that it has a record's options beside its own parameters.

    The command is called with ``settings``, the keyword arguments of the record by name: those
    options that were given, in the record's form.

    Args:
        record: Settings record, a dataclass of ``losiko_torch.options.option`` fields.
        names: Names of the options. None means all, and terms of the loss if the record has them.
    """
    declared = options_of(record)
    chosen = [name for name in declared if names is None or name in names]
    parameters = [_parameter(name, declared[name]) for name in chosen if declared[name].text]

    def decorated(command: Function) -> Function:
        own = inspect.signature(command, eval_str=True).parameters
        taken = {*own, *(each.name for each in parameters)}
        terms = {} if "terms" not in chosen else _term_options(taken)
        added = [_parameter(name, terms[name].option, TERMS_PANEL) for name in terms]

        @wraps(command)
        def called(**values: Any) -> Any:
            names = [each.name for each in parameters]
            made = {name: _value(declared[name], values.pop(name, None)) for name in names}
            settings = {name: value for name, value in made.items() if value is not None}
            asked = {name: values.pop(name, None) for name in terms}
            wanted = [terms[name].parse(value) for name, value in asked.items() if _is_given(value)]
            if found := [term for term in wanted if term is not None]:
                settings["terms"] = found
            return command(**values, settings=settings)

        kept = [each for name, each in own.items() if name != SETTINGS]
        every = (*kept, *parameters, *added)
        both = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in every]
        called.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in both}
        return called  # type: ignore[return-value]

    return decorated


def _parameter(name: str, declared: Option, panel: str | None = None) -> inspect.Parameter:
    """Return an option of the command line as a parameter of a function."""
    flag = f"--{(declared.flag or name).replace('_', '-')}"
    facts: dict[str, Any] = {"help": declared.help, "rich_help_panel": panel or declared.panel}
    if declared.text is bool:
        kind: Any = Annotated[bool, typer.Option(flag, **facts)]
        default: Any = False
    else:
        shown = declared.shown if declared.shown is not None else False
        metavar = declared.metavar or "|".join(declared.choices) or None
        option = typer.Option(flag, metavar=metavar, show_default=shown, **facts)
        kind, default = Annotated[declared.text | None, option], None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _value(declared: Option, given: Any) -> Any:
    """Return the value of an option in the record's form; None where it was not given."""
    if not _is_given(given):
        return None
    return given if declared.parse is None else declared.parse(given)


def _is_given(value: Any) -> bool:
    return value is not None and value is not False


def _term_options(taken: Iterable[str]) -> dict[str, Any]:
    """Return the terms with an option, by parameters' names; ``taken`` names are left out."""
    found: dict[str, Any] = {}
    for name, term in TERMS.choices.items():
        parameter = name.replace("-", "_")
        if not (isinstance(getattr(term, "option", None), Option) and hasattr(term, "parse")):
            continue
        if parameter in taken or not parameter.isidentifier():
            warnings.warn(f"term '{name}' cannot be an option of that name", stacklevel=2)
            continue
        found[parameter] = term
    return found
