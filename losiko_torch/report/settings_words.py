"""The settings of a run in words: what each option is for, and which differ from the default."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any

from losiko_torch.loss.settings import identity_of
from losiko_torch.relaxation.settings import Settings
from losiko_torch.report.wording import plural

#: Entries of a configuration that ``facts`` tell, and no options.
FILES = ("structures", "reference", "database", "losiko_torch")
#: Meaning of options that are no settings of a relaxation.
OTHERS = {
    "reference_weights": "Key of the references' weights in the info of their structures.",
    "no_pbc": "Take structures for molecules, whatever periodicity their files give them.",
}


@dataclass(frozen=True)
class Setting:
    """Option of a run.

    Attributes:
        name: Name for readers, "max steps".
        value: Its value as text.
        meaning: Sentence on what the option is for; empty if it is not known.
        usual: Whether the value is the default.
    """

    name: str
    value: str
    meaning: str
    usual: bool


def settings_of(record: dict[str, Any]) -> list[Setting]:
    """Return the options of a run's record, those that are not the default first."""
    known = {each.name: each for each in fields(Settings)}
    found = []
    for name, value in record["configuration"].items():
        if name in FILES:
            continue
        default, meaning, shown = None, OTHERS.get(name, ""), None
        if name in known:
            option = known[name].metadata["option"]
            default, meaning, shown = _as_kept(known[name].default), option.help, option.shown
        usual = value is None or value == default or (name in OTHERS and value is False)
        text = shown if usual and shown else as_words(value)
        found.append(Setting(name.replace("_", " "), text, meaning, usual))
    return sorted(found, key=lambda each: each.usual)


def as_words(value: Any) -> str:
    """Return an option's value as text: "yes", "nearest, 30", "stiffness 0.1"."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        value = dict(value)
        name = value.pop("name", None)
        if name is not None:
            rest = as_words({key: each for key, each in value.items() if each is not None})
            return f"{name} ({rest})" if rest else str(name)
        named = (f"{name.replace('_', ' ')} {as_words(each)}" for name, each in value.items())
        return ", ".join(named)
    if isinstance(value, list):
        return "; ".join(map(as_words, value)) or "none"
    return str(value)


def in_short(record: dict[str, Any], total: int) -> str:
    """Return a sentence on what a run did: which structures, against what, and for how long."""
    files = ", ".join(record["structures"])
    database = record["database"]
    against = "the built-in database" if database is None else f"the database {database}"
    said = f"{plural(total, 'structure')} of {files}, relaxed against {against}"
    if record["seconds"]:
        said += f" in {_duration(record['seconds'])}"
    return f"{said} by losiko {record['version']}."


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _as_kept(default: Any) -> Any:
    """Return a default as a record in JSON has it."""
    if default is MISSING:
        return None
    return list(default) if isinstance(default, tuple) else identity_of(default)
