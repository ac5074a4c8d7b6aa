"""Help of the command line, without what it does not need.

Typer's module that draws help imports rich's Markdown and its parser, a sixth of the time that
``losiko --help`` takes; the help here is no Markdown. Whoever draws Markdown with Typer in the same
process still gets it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _Markdown:
    """rich's Markdown, imported when one is made."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return importlib.import_module("rich.markdown").Markdown(*args, **kwargs)


def import_help() -> None:
    """Import Typer's help; rich's Markdown only where it is used."""
    if "rich.markdown" in sys.modules or "typer.rich_utils" in sys.modules:
        return
    stand_in: Any = ModuleType("rich.markdown")
    stand_in.Markdown = _Markdown
    sys.modules["rich.markdown"] = stand_in
    try:
        importlib.import_module("typer.rich_utils")
    finally:
        del sys.modules["rich.markdown"]
