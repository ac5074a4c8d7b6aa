"""The configuration of a run: everything that determines its results.

It consists of the options and of digests of the input files, so that a file which was only copied
or touched is the same. Two runs are the same if their configurations are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from losiko_torch.database.builtin import builtin_name, cache_file
from losiko_torch.errors import InputError
from losiko_torch.io.read import split_source

#: Entry of a configuration for the version of the package.
VERSION = "losiko_torch"
#: Number of bytes read at once.
BLOCK = 2**20


def configuration(
    sources: Iterable[str],
    references: Iterable[str],
    database: Path | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the configuration of a run, in types that JSON preserves.

    Args:
        sources: Files of structures.
        references: Files of reference geometries.
        database: File of the database. None means the built-in database.
        options: Other options, by name.

    Raises:
        InputError: If a file cannot be read.
    """
    from losiko_torch.version import __version__

    builtin = builtin_name(database)
    named = {
        "structures": digests(sources),
        "reference": digests(references),
        "database": digests([str(database)]) if builtin is None else cache_file(builtin).stem,
        VERSION: __version__,
    }
    return json.loads(json.dumps({**named, **options}, default=str))


def check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ``InputError`` if the run in a folder has another configuration, with the differences.

    Args:
        path: The folder.
        before: Configuration of the run in it.
        now: Configuration that is wanted.
    """
    versions = [each.get(VERSION) for each in (before, now)]
    if versions[0] != versions[1]:
        raise InputError(
            f"{path}: the run in it was begun by losiko {versions[0]}, and this is losiko "
            f"{versions[1]}: go on with that version, or choose another folder"
        )
    differences = [
        _difference(name, before.get(name), now.get(name))
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if differences:
        raise InputError(
            f"{path}: the run in it is another one: {'; '.join(differences)}: choose another "
            "folder, or go on with what it was started with"
        )


def _difference(name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        if list(before) == list(now):
            changed = [file for file in now if before[file] != now[file]]
            return f"{name} has changed in {', '.join(changed)}"
        before, now = ", ".join(before) or None, ", ".join(now) or None
    return f"{name} was {before} and is {now}"


def digests(sources: Iterable[str]) -> dict[str, str]:
    """Return digests of files, or of all files in folders, by name.

    Raises:
        InputError: If a file cannot be read.
    """
    return {str(source): _digest(split_source(source)[0]) for source in sources}


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    inside = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    try:
        for file in inside:
            if path.is_dir():
                digest.update(f"{file.relative_to(path)}\n".encode())
            with file.open("rb") as opened:
                while block := opened.read(BLOCK):
                    digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return digest.hexdigest()
