"""Learned targets of a database as the commands show them: what they were fitted to, how well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import InputError
from losiko_torch.learned.model import LearnedModel
from losiko_torch.report.wording import plural

TITLE = "learned targets"


def learned_facts(database: EnvironmentDatabase) -> Iterator[tuple[str, str]]:
    """Yield rows of a title and a text; rows without a title go on with the one before."""
    try:
        model = database.learned
    except InputError as problem:
        yield TITLE, str(problem)
        return
    if model is None:
        unknown = database.geometries is None
        yield TITLE, f"none: {'no structures are kept' if unknown else 'losiko fit adds them'}"
        return
    for number, text in enumerate(_sentences(model)):
        yield "" if number else TITLE, text


def _sentences(model: LearnedModel) -> Iterator[str]:
    info = model.info
    members = plural(model.members, "member")
    if "structures" in info and "steps" in info:
        yield (
            f"fitted to {plural(info['structures'], 'structure')} in "
            f"{plural(info['steps'], 'step')}, {info.get('held_out', 0):,} held out; {members}"
        )
    else:  # a model that was made otherwise
        yield members
    if "error" in info:
        before = f" ({info['error_before']:.3g} before)" if "error_before" in info else ""
        yield (
            f"squared error of the pull on structures held out, relative to no pull: "
            f"{info['error']:.3g}{before}"
        )
    yield _expected(info.get("calibration"))
    rare = ", ".join(f"{symbol} ({count:,})" for symbol, count in info.get("rare", {}).items())
    if rare:
        yield f"rare elements (atoms): {rare}"


def _expected(calibration: dict[str, Any] | None) -> str:
    """Text of the table that turns signals into the error to expect."""
    if not calibration:
        return "expected error of an atom: unknown, as too few atoms were held out"
    errors = calibration["errors"]
    return f"expected error of an atom: {errors[0]:.2g} A at best, {errors[-1]:.2g} A at worst"
