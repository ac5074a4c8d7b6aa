"""Views in notebooks: what is displayed, and where the programs that draw it go.

The programs (550 kB) go into a notebook once, with the first cell that shows a structure; the
pages of JupyterLab, VS Code and nbconvert are one for all cells. Colab's is one for each cell.
Outside of a kernel every piece of HTML stands on its own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from losiko_torch.shown.three_d import opening, programs, view

#: Whether this process has sent the programs, the cell that holds them, where that is known, and
#: the number of its run.
_sent: dict[str, Any] = {"programs": False, "cell": None, "run": 0}


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    return _kernel() is not None


def with_view(table: str, items: Sequence[Mapping[str, Any]], label: str, **options: Any) -> str:
    """Return a table and a view of some items, with the programs where they are not there yet."""
    if not items:
        return table
    needed = programs() if _needs_programs() else ""
    return f"<div>{table}{needed}{view(items, label, **options)}{opening()}</div>"


def display(html: str) -> None:
    """Display HTML below the cell of a notebook that is running."""
    from IPython.display import HTML
    from IPython.display import display as show

    show(HTML(html))


def _kernel() -> Any:
    """Return the shell of the kernel that this process is; None if it is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None


def _needs_programs() -> bool:
    """Return whether what is shown next must bring the programs; a cell that ran again must too."""
    shell = _kernel()
    if shell is None or "google.colab" in sys.modules:
        return True
    cell, run = _cell_of(shell), shell.execution_count
    again = cell is not None and cell == _sent["cell"] and run != _sent["run"]
    if _sent["programs"] and not again:
        return False
    _sent.update(programs=True, cell=cell, run=run)
    return True


def _cell_of(shell: Any) -> str | None:
    """Return the name of the cell that is running, which JupyterLab and VS Code tell."""
    try:
        return shell.get_parent()["metadata"].get("cellId")
    except (AttributeError, KeyError, TypeError):
        return None
