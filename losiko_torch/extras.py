"""Packages that not every installation has: what they are for, and the extra that brings them.

>>> needs("numpy", "a picture")  # is there
>>> is_there("no_such_package")
False
"""

from __future__ import annotations

from importlib.util import find_spec

from losiko_torch.errors import InputError

#: Extra of ``losiko-torch`` that brings a package, by the name that it is imported by.
EXTRAS = {
    "pyarrow": "runs",
    "plotly": "map",
    "matplotlib": "map",
    "rdkit": "files",
    "metatensor": "metatensor",
    "metatensor_torch": "metatensor",
}


def is_there(package: str) -> bool:
    """Return whether a package can be imported, by its name; it is not imported."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # taken out of sys.modules, or half there
        return False


def how_to_install(package: str) -> str:
    """Return the command that brings a package: "pip install 'losiko-torch[map]'"."""
    return f"pip install 'losiko-torch[{EXTRAS[package]}]'"


def needs(package: str, what: str) -> None:
    """Raise ``InputError`` where a package is not installed, with the command that brings it.

    Args:
        package: Name that the package is imported by, one of ``EXTRAS``.
        what: What needs it, the beginning of the sentence: "a picture".
    """
    if not is_there(package):
        raise InputError(f"{what} needs {package}: {how_to_install(package)}")
