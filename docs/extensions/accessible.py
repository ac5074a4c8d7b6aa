"""Mends what Sphinx and the theme write for eyes alone, so that all can read and use the pages."""

import re
from typing import Any

#: A signature of several lines, which Sphinx makes a list of definitions without terms.
SIGNATURE = re.compile(
    r'<span class="sig-paren">\(</span>(.*?)<span class="sig-paren">\)', re.DOTALL
)
#: A cell of a table's head in which nothing stands: it heads nothing.
EMPTY_HEAD = re.compile(r"<th(| [^>]*)>\s*(?:<p></p>)?\s*</th>")
CAPTION = '<p class="caption" role="heading"'


def mended(body: str) -> str:
    """Return the text of a page with signatures as lines and empty heads as plain cells."""

    def lines(match: re.Match[str]) -> str:
        text = match[0]
        for tag, new in (("dl", '<div class="sig-lines">'), ("dd", "<div>")):
            text = text.replace(f"<{tag}>", new).replace(f"</{tag}>", "</div>")
        return text

    return EMPTY_HEAD.sub(r"<td\1></td>", SIGNATURE.sub(lines, body))


def _mend(
    app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    if "body" in context:
        context["body"] = mended(context["body"])
    tree = context.get("furo_navigation_tree")
    if tree:
        context["furo_navigation_tree"] = tree.replace(CAPTION, f'{CAPTION} aria-level="2"')


def setup(app: Any) -> dict[str, bool]:
    """Mend pages after the theme has made its parts of them."""
    app.connect("html-page-context", _mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
