"""Docstrings as they are written, for people: bars of |p - z| are no substitutions of Sphinx."""

import re
from typing import Any


def escaped(line: str) -> str:
    """Return a line with the marks that only reStructuredText knows taken for themselves."""
    parts = re.split(r"(``.*?``)", line)
    return "".join(
        part if part.startswith("``") else re.sub(r"([|*])", r"\\\1", part) for part in parts
    )


def _escape(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else escaped(line) for line in lines
    ]


def _several(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep fields of several names together: Sphinx takes all but the last for a type."""
    for k, line in enumerate(lines):
        if field := re.match(r":(?:ivar|param) \w+(?:, \w+)+:", line):
            lines[k] = field[0].replace(", ", ",") + line[field.end() :]


def setup(app: Any) -> dict[str, bool]:
    """Escape docstrings before any other extension reads them, napoleon among these."""
    app.connect("autodoc-process-docstring", _escape, priority=100)
    app.connect("autodoc-process-docstring", _several, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
