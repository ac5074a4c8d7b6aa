"""Formulas as MathML, which browsers draw themselves: pages request nothing for them."""

import re
from html import escape
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

#: What people write, and docutils knows by another name or not at all.
OTHER_NAMES = {
    r"^(?=[_^])": "{}",
    r"^\\\\": r"\\",
    r"\\(Big|big)(?![a-zA-Z])": r"\\\1l",
    r"\\dots(?![a-zA-Z])": r"\\ldots",
}


def mathml(tex: str, block: bool = False) -> str:
    """Return a formula as MathML; ``ValueError`` for one that cannot be read."""
    tex = tex.strip()
    for name, other in OTHER_NAMES.items():
        tex = re.sub(name, other, tex)
    try:
        return tex2mathml(tex, as_block=block)
    except (MathError, AttributeError, IndexError) as error:
        raise ValueError(f"a formula cannot be read: {tex} ({error})") from error


def _drawn(node: Any, block: bool) -> str:
    try:
        return mathml(node.astext(), block)
    except ValueError as error:
        logging.getLogger(__name__).warning(str(error), location=node)
        return f"<code>{escape(node.astext())}</code>"


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_drawn(node, False))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{_drawn(node, True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Offer the renderer to Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
