"""What the program will do one day: known by name, so that it is refused and never ignored."""

from __future__ import annotations

from typing import Any

from losiko_torch.errors import InputError

#: Lets a command that does nothing yet take any arguments.
PASS_ON: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}


def later_report() -> None:
    """Comes in a later version."""
    raise refusal("'losiko report'")


def refusal(what: str) -> InputError:
    return InputError(f"{what} comes in a later version")
