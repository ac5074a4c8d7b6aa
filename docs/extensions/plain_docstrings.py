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


def setup(app: Any) -> dict[str, bool]:
    """Escape docstrings before any other extension reads them."""
    app.connect("autodoc-process-docstring", _escape, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
