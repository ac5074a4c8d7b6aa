"""Settings of the documentation, which ``make docs`` builds into docs_output/."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent), str(HERE.parent / "kernels")]

from losiko_torch.version import __version__  # noqa: E402

project = "LOSIKO-torch"
author = "The LOSIKO-torch developers"
release = version = __version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    # Of docs/extensions.
    "accessible",
    "gathered",
    "mathml",
    "plain_docstrings",
    "references",
]
# Every name in a signature leads to its description; those of other packages stay text, since their
# inventories are on other machines.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(ase|collections|numpy|pathlib|torch)\..*"),
    ("py:class", r"Atoms|IMolecule|IStructure|Mol|Path|nn\.Module"),
]
# Options of commands keep their two hyphens.
smartquotes = False
toc_object_entries = False
exclude_patterns = ["extensions/**", "static/**"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}

# Notebooks are shown with the output that is kept in them.
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "image/png", 5)]
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 4

autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
# Furo's own choice for dark pages underlines names of modules as if they were links.
pygments_dark_style = "a11y-high-contrast-dark"
html_math_renderer = "mathml"
html_title = f"LOSIKO-torch {release}"
html_static_path = ["static"]
html_css_files = ["quiet.css"]
html_js_files = ["keyboard.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": False}
