"""Pages that show structures: a table beside a view, in one file that needs no network."""

from __future__ import annotations

import os
import sys
import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from losiko_torch.shown.text import one_line
from losiko_torch.shown.three_d import opening, part, programs, view

#: Variables of the environment of which a desktop, or who wants a browser, sets one.
DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
#: Beginning of the name of a page's folder.
FOLDER = "losiko_view_"


def page(
    title: str, table: str, items: Sequence[Mapping[str, Any]], label: str = "", **options: Any
) -> str:
    """Return a page with a table (HTML) beside a view of some items.

    Args:
        title: Title, as text.
        table: What ``losiko_torch.shown.table`` makes.
        items: What ``losiko_torch.shown.three_d.item`` returns.
        label, options: As for ``losiko_torch.shown.three_d.view``.
    """
    name = escape(one_line(title))
    shown = view(items, label or title, **options) if items else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="generator" content="losiko view">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:\">\n"
        f"<title>{name}</title>\n<style>{part('page.css')}</style>\n{programs()}\n</head>\n<body>\n<main>\n"
        f'<h1>{name}</h1>\n<div class="both">{shown}'
        f'<div class="told" tabindex="0" role="region" aria-label="Table">{table}</div></div>\n'
        f"</main>\n{opening()}\n</body>\n</html>\n"
    )


def open_page(html: str, look: bool = True) -> Path:
    """Write a page to a temporary file, open it in the browser, and return the file's path.

    Args:
        html: The page.
        look: Whether to open it; where there is no desktop it is only written.
    """
    path = Path(tempfile.mkdtemp(prefix=FOLDER)) / "structures.html"
    path.write_text(html, encoding="utf-8", errors="backslashreplace")
    if look:
        open_in_browser(path)
    return path


def open_in_browser(path: Path) -> None:
    """Open a file in the browser; without a desktop there is none but those of a terminal."""
    if sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in DESKTOP):
        webbrowser.open(path.resolve().as_uri())
