"""Options that are the same in several commands but for some words."""

from __future__ import annotations

from typing import Any

import typer

from losiko_torch.options import WHAT


def worst(meaning: str) -> Any:
    """Return the option of how many rows a table shows, of type ``int | None``."""
    return typer.Option(
        min=1,
        metavar="N",
        show_default="all of up to 20, else the 20 worst",
        help=meaning,
    )


def page(default: str) -> Any:
    """Return the option of where a page is written, of type ``Path | None``."""
    return typer.Option(
        "--output",
        "-o",
        metavar="PAGE.html",
        show_default=default,
        help="The page, one file that needs no network.",
        rich_help_panel=WHAT,
    )
