"""What the program will do one day: known by name, so that it is refused and never ignored."""

from __future__ import annotations

from losiko_torch.errors import InputError


def refuse_later(run: object) -> None:
    """Raise ``InputError`` for options of ``relax`` that are not there yet."""
    if run is not None:
        raise refusal("'relax --run', keeping a record of the run,")


def refusal(what: str) -> InputError:
    return InputError(f"{what} comes in a later version")
