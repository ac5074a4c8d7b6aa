"""References of signatures and docstrings: short names find what the pages describe.

Annotations that Python cannot evaluate, of packages that are imported for types alone, are shown as
they are written: ``Path``, ``RelaxOptions``. A name that ends one described object is linked to it.
"""

from typing import Any

from docutils import nodes
from sphinx.util.nodes import make_refnode


def _found(app: Any, env: Any, node: Any, content: nodes.Element) -> nodes.Element | None:
    name = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not name:
        return None
    objects = env.domains["py"].objects
    places = {
        (entry.docname, entry.node_id)
        for each, entry in objects.items()
        if each.startswith("losiko_torch.") and each.endswith(f".{name}")
    }
    if len(places) != 1:
        return None
    ((page, anchor),) = places
    return make_refnode(app.builder, node["refdoc"], page, anchor, content, name)


def _readable(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str, returned: str
) -> tuple[str, str] | None:
    """Write defaults that a dataclass makes anew as ``...``: Sphinx reads no ``<factory>``."""
    if not signature or "<factory>" not in signature:
        return None
    return signature.replace("<factory>", "..."), returned


def setup(app: Any) -> dict[str, bool]:
    app.connect("missing-reference", _found)
    app.connect("autodoc-process-signature", _readable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
