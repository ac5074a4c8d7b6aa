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
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Annotated, Any, TypeVar

import typer

from losiko_torch.loss.terms.interface import Term
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
    terms = {} if "terms" not in chosen else _term_options()
    parameters = [_parameter(name, declared[name]) for name in chosen if declared[name].text]
    parameters += [_parameter(name, each, TERMS_PANEL) for name, each in terms.items()]

    def decorated(command: Function) -> Function:
        own = inspect.signature(command, eval_str=True).parameters

        @wraps(command)
        def called(**values: Any) -> Any:
            given = {each.name: values.pop(each.name, None) for each in parameters}
            made = {name: _value(declared[name], given[name]) for name in chosen if name in given}
            settings = {name: value for name, value in made.items() if value is not None}
            added = _terms({name: given[name] for name in terms})
            if added:
                settings["terms"] = added
            return command(**values, settings=settings)

        kept = [each for name, each in own.items() if name != SETTINGS]
        both = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*kept, *parameters)]
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
    if given is None or given is False:
        return None
    return given if declared.parse is None else declared.parse(given)


def _term_options() -> dict[str, Option]:
    return {
        name: term.option
        for name, term in TERMS.choices.items()
        if getattr(term, "option", None) is not None
    }


def _terms(given: Mapping[str, Any]) -> list[Term]:
    """Return the terms for the values given."""
    found = [
        TERMS[name].parse(value)
        for name, value in given.items()
        if value is not None and value is not False
    ]
    return [term for term in found if term is not None]
