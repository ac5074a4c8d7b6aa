"""One page that shows structures: a table and a view, all in one file that needs no network."""

from __future__ import annotations

import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from losiko_torch.shown.text import one_line
from losiko_torch.shown.three_d import opening, programs, view

#: Beginning of the name of a page's folder.
FOLDER = "losiko_view_"
STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1d2430; --quiet: #55606e; --line: #d5dae1; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14181e; --text: #e4e8ee; --quiet: #a3aebc; --line: #39424e; }
}
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
  margin: 0 auto; padding: 20px 24px 40px; max-width: 1300px; }
h1 { font-size: 1.35em; margin: 0 0 12px; overflow-wrap: anywhere; }
p { max-width: 80ch; overflow-wrap: anywhere; }
.both { display: flex; flex-direction: row-reverse; justify-content: flex-end; gap: 28px; }
.both .losiko-holder { flex: 1 1 560px; min-width: 0; position: sticky; top: 12px; align-self: start; }
.both .losiko-view { max-width: none; }
.both .losiko-stage { height: min(62vh, 560px); }
.both .losiko-stage.losiko-none { height: auto; }
.told { flex: 0 1 auto; min-width: 0; max-height: 86vh; overflow: auto; }
table { border-collapse: collapse; font-size: 0.93em; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 14px 4px 0; vertical-align: top; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
td:first-child { padding-left: 8px; }
th { color: var(--quiet); font-weight: 500; }
@media (max-width: 900px) {
  body { padding: 14px 12px 28px; }
  .both { display: block; }
  .both .losiko-holder { position: static; }
  .both .losiko-stage { height: 320px; }
  .told { max-height: none; margin-top: 20px; }
}
"""


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
        f"<title>{name}</title>\n<style>{STYLE}</style>\n{programs()}\n</head>\n<body>\n<main>\n"
        f'<h1>{name}</h1>\n<div class="both">{shown}'
        f'<div class="told" tabindex="0" role="region" aria-label="Table">{table}</div></div>\n'
        f"</main>\n{opening()}\n</body>\n</html>\n"
    )


def open_page(html: str) -> Path:
    """Write a page to a temporary file, show it in the browser, and return the file's path."""
    path = Path(tempfile.mkdtemp(prefix=FOLDER)) / "structures.html"
    path.write_text(html, encoding="utf-8", errors="backslashreplace")
    webbrowser.open(path.as_uri())
    return path
