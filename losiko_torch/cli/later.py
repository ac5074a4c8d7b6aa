"""What the program will do one day: known by name, so that it is refused and never ignored."""

from __future__ import annotations

from typing import Any

from losiko_torch.errors import InputError
from losiko_torch.relaxation import LATER_OPTIMIZERS, OPTIMIZERS

#: Lets a command that does nothing yet take any arguments.
PASS_ON: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}


def later_report() -> None:
    """Comes in a later version."""
    raise refusal("'losiko report'")


def later_map() -> None:
    """Comes in a later version."""
    raise refusal("'losiko map'")


def refuse_later(optimizer: str, cell: bool, run: object) -> None:
    """Raise ``InputError`` for options of ``relax`` that are not there yet, or never will be."""
    if cell:
        raise refusal("'relax --cell', relaxing the cell too,")
    if run is not None:
        raise refusal("'relax --run', keeping a record of the run,")
    if optimizer in LATER_OPTIMIZERS:
        raise refusal(f"optimizer '{optimizer}'", f": use {' or '.join(OPTIMIZERS)}")
    if optimizer not in OPTIMIZERS:
        raise InputError(f"optimizer '{optimizer}' is none of {', '.join(OPTIMIZERS)}")


def refusal(what: str, instead: str = "") -> InputError:
    return InputError(f"{what} comes in a later version{instead}")
