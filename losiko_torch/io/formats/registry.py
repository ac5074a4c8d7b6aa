"""Formats by the suffixes of their files, those of other packages among them."""

from __future__ import annotations

from pathlib import Path

from losiko_torch.errors import InputError
from losiko_torch.extras import needs
from losiko_torch.io.formats.interface import Format
from losiko_torch.registry import Registry

ORDER = ("extxyz", "db", "parquet", "traj", "json", "cif", "vasp", "pdb", "sdf")
FORMATS = Registry("format", "losiko_torch.io.formats", "FORMAT", ORDER)


def suffixes() -> tuple[str, ...]:
    """Return the suffixes of all formats, in their order."""
    return tuple(_by_suffix())


def format_of(path: Path) -> Format:
    """Return the format of a file, by its suffix or, where that is none, its name.

    Raises:
        InputError: If no format has the suffix, or the package that writes it is not installed.
    """
    chosen = _of_name(path)
    if chosen.package is not None:
        needs(chosen.package, f"{path}: a file of this kind")
    return chosen


def _of_name(path: Path) -> Format:
    found = _by_suffix()
    suffix = path.suffix.lower()
    if suffix in found:
        return found[suffix]
    for each in FORMATS.choices.values():
        if any(part in path.name for part in each.names):
            return each
    raise InputError(f"{path}: results are written to {', '.join(found)}: name it so")


def _by_suffix() -> dict[str, Format]:
    found: dict[str, Format] = {}
    for each in FORMATS.choices.values():
        for suffix in each.suffixes:
            if suffix in found:
                raise InputError(
                    f"the formats '{found[suffix].name}' and '{each.name}' both write {suffix}: "
                    "uninstall the package of one of them"
                )
            found[suffix] = each
    return found
