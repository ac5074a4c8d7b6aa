"""Plain HTML tables for notebooks, light and dark: text is escaped, and colours are inherited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from losiko_torch.shown.text import one_line

#: Style of all cells: notebooks put the text of tables to the right.
LEFT = ' style="text-align: left"'


def facts(title: str, named: Mapping[str, str]) -> str:
    """Return a title, and a table with a line for each fact."""
    rows = (f"<tr>{_cell('th', name)}{_cell('td', value)}</tr>" for name, value in named.items())
    return f"{_paragraph(title, strong=True)}<table>{''.join(rows)}</table>"


def listing(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a title, and a table with a line for each row, or the title alone without rows."""
    lines = ["".join(_cell("td", each) for each in row) for row in rows]
    if not lines:
        return _paragraph(title)
    head = "".join(_cell("th", each) for each in columns)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"{_paragraph(title)}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(kind: str, text: str) -> str:
    return f"<{kind}{LEFT}>{escape(one_line(text))}</{kind}>"


def _paragraph(text: str, strong: bool = False) -> str:
    inner = escape(one_line(text))
    return f"<p><strong>{inner}</strong></p>" if strong else f"<p>{inner}</p>"
