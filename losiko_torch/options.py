"""Declaration of an option: what a field of a settings record tells of itself, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

#: Panels of the command line's help.
HOW, WHAT, WHERE = "Method", "Input and output", "Computer"
MOVES, NOISE = "What moves", "Noise and stages"


@dataclass(frozen=True)
class Option:
    """Facts about an option beside its name, type and default.

    Attributes:
        help: Sentence for the command line's help.
        check: Function from the option's name and a value to the value as it is kept; it raises
            ``InputError`` for a value that makes no sense. None takes any value.
        panel: Panel of the command line's help.
        metavar: Form of the value on the command line. None shows the choices.
        choices: Names to choose from, iterated over as late as the help is made: packages that
            bring choices of their own import this one.
        shown: Default as the help shows it. None shows the default itself, "" shows none.
        flag: Name on the command line, where it is not that of the field.
        text: Type of the command line's value, and how it becomes the option's value. None leaves
            the option out of the command line.
        parse: Function from the command line's value to the option's value. None keeps it.
    """

    help: str
    check: Callable[[str, Any], Any] | None = None
    panel: str = HOW
    metavar: str | None = None
    choices: Iterable[str] = ()
    shown: str | None = None
    flag: str | None = None
    text: Any = None
    parse: Callable[[Any], Any] | None = None


def option(default: Any, help: str, **facts: Any) -> Any:
    """Field of a settings record with a default and the facts of an ``Option``."""
    return field(default=default, metadata={"option": Option(help, **facts)})


def options_of(record: Any) -> dict[str, Option]:
    """Options of a settings record or class, by the names of its fields."""
    return {each.name: each.metadata["option"] for each in fields(record)}


def check_options(record: Any) -> None:
    """Check the values of a frozen settings record, and keep what the checks return."""
    for each in fields(record):
        check, value = each.metadata["option"].check, getattr(record, each.name)
        # None leaves an option out where it is the default; elsewhere it is a value like others.
        left_out = value is None and each.default is None
        if check is not None and not left_out:
            object.__setattr__(record, each.name, check(each.name, value))
