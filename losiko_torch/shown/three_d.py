"""Structures in three dimensions: data and programs that a page or a notebook draws them with.

``item`` turns a structure into what JSON has, ``view`` places some of them in HTML, and
``programs`` is what a page needs once, so that nothing is fetched from a network: 3Dmol.js and
``web/view.js``. A program of a page's own calls ``losikoView.open(element, items, options)``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from scipy.spatial.transform import Rotation

from losiko_torch.shown.text import one_line

#: Most atoms of a structure that is drawn.
ATOMS = 20_000
#: Thousandths of an Angstrom: the unit of positions in the data.
UNIT = 1000
#: Angles about x and y (degrees) by which crystals and molecules are turned, lest cell vectors, or
#: atoms on both sides of a mirror, hide each other.
TILT, TIP = (15.0, -25.0), (24.0, 10.0)
#: Share of a cell by which an atom may lie outside before it is moved to the other side.
EDGE = 1e-3


def item(
    atoms: Atoms,
    name: str,
    *,
    start: Atoms | None = None,
    values: Iterable[tuple[str, str, Sequence[float] | np.ndarray]] = (),
    note: str = "",
) -> dict[str, Any]:
    """Return a structure for a view, in types that JSON has.

    Atoms of periodic structures are wrapped into the cell. One that cannot be drawn has a sentence
    instead ("why").

    Args:
        atoms: The structure.
        name: Its name, shown below it.
        start: Where its atoms came from, in the same order, drawn faintly.
        values: Numbers of the atoms by which they can be coloured: title, unit, numbers.
        note: Sentence that follows the name.
    """
    told: dict[str, Any] = {
        "name": one_line(name),
        "symbols": "".join(atoms.get_chemical_symbols()),
    }
    if note:
        told["note"] = one_line(note)
    if why := _not_drawn(atoms):
        return {**told, "why": why}
    periodic = bool(atoms.pbc.any())
    inside = atoms.copy()
    if periodic:
        inside.wrap(eps=EDGE)
        told |= {"cell": _rounded(atoms.cell.array, 4), "pbc": [int(each) for each in atoms.pbc]}
    told |= {"xyz": _thousandths(inside.positions), "turn": _turn(inside.positions, periodic)}
    if start is not None and len(start) == len(atoms) and not _not_drawn(start):
        told["start"] = {"xyz": _thousandths(_start(start, inside))}
        if periodic and not np.allclose(start.cell.array, atoms.cell.array):
            told["start"]["cell"] = _rounded(start.cell.array, 4)
    known = [
        {"title": title, "unit": unit, "of": _numbers(numbers)}
        for title, unit, numbers in values
        if len(numbers) == len(atoms) and np.isfinite(np.asarray(numbers, dtype=float)).any()
    ]
    return {**told, "values": known} if known else told


def view(items: Sequence[Mapping[str, Any]], label: str = "", **options: Any) -> str:
    """Return the HTML of a view of some items, which ``programs`` open.

    Args:
        items: What ``item`` returns, at least one.
        label: What the structures are, for those who cannot see them.
        options: Further ones of ``losikoView.open``, such as ``frames=True`` for the steps of one
            path, between which the view stays as it was turned.
    """
    data = as_json({"items": list(items), "options": {"label": one_line(label), **options}})
    return (
        '<div class="losiko-holder"><div class="losiko-place"></div>'
        f'<script type="application/json">{data}</script></div>'
    )


def opening() -> str:
    """Return the script that opens the views of a page; a page without ``programs`` has none."""
    return "<script>window.losikoView && losikoView.openAll()</script>"


@cache
def programs() -> str:
    """Return style and scripts that views need, once a page: 3Dmol.js, and what opens views."""
    radii = {chemical_symbols[n]: round(float(covalent_radii[n]), 2) for n in range(1, 97)}
    # Where a page has a loader of modules, the library would only be known to that.
    library = (
        f"(function () {{ var define, module, exports;\n{_part('3Dmol-min.js')}\n}}).call(window)"
    )
    return (
        f"<style>{_part('view.css')}</style>"
        f"<script>window.$3Dmol || {library};</script>"
        f"<script>{_part('view.js')}\nlosikoView.setRadii({as_json(radii)});</script>"
    )


def as_json(data: Any) -> str:
    """Return data as JSON that can stand in a script of a page."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return files("losiko_torch").joinpath("web", name).read_text("utf-8")


def _not_drawn(atoms: Atoms) -> str:
    if not len(atoms):
        return "It has no atoms."
    if len(atoms) > ATOMS:
        return f"It has {len(atoms):,} atoms; at most {ATOMS:,} are drawn."
    if not np.isfinite(atoms.positions).all():
        return "Some of its positions are no numbers."
    if not np.isfinite(atoms.cell.array).all() or (
        atoms.pbc.any() and np.linalg.matrix_rank(atoms.cell.array[atoms.pbc]) < atoms.pbc.sum()
    ):
        return "Its cell is flat, or no cell."
    return ""


def _start(start: Atoms, end: Atoms) -> np.ndarray:
    """Return the positions (n, 3) of the images of a start's atoms nearest to where they ended."""
    if not end.pbc.any():
        return start.positions
    cell, before = end.cell.complete(), start.cell.complete()
    moved = before.scaled_positions(start.positions) - cell.scaled_positions(end.positions)
    moved -= np.where(end.pbc, np.round(moved), 0)
    return before.cartesian_positions(cell.scaled_positions(end.positions) + moved)


def _turn(positions: np.ndarray, periodic: bool) -> list[float]:
    """Find the rotation, as a quaternion, that lets a view along the third axis show most."""
    if periodic:
        return _rounded(Rotation.from_euler("xy", TILT, degrees=True).as_quat(), 4)
    _, _, axes = np.linalg.svd(positions - positions.mean(0), full_matrices=False)
    if len(axes) < 3:
        first = axes[0] if np.any(positions != positions[0]) else np.array([1.0, 0, 0])
        second = np.cross(first, np.eye(3)[np.argmin(np.abs(first))])
        second /= np.linalg.norm(second)
        axes = np.array([first, second, np.cross(first, second)])
    # A mirror image would be another molecule.
    axes = axes * np.array([[1], [1], [np.sign(np.linalg.det(axes))]])
    turn = Rotation.from_euler("xy", TIP, degrees=True) * Rotation.from_matrix(axes)
    return _rounded(turn.as_quat(), 4)


def _thousandths(positions: np.ndarray) -> list[int]:
    return np.round(UNIT * positions).astype(int).ravel().tolist()


def _rounded(array: np.ndarray, digits: int) -> list[float]:
    return np.round(array, digits).ravel().tolist()


def _numbers(values: Sequence[float] | np.ndarray) -> list[float | None]:
    numbers = np.asarray(values, dtype=float)
    return [float(f"{each:.4g}") if np.isfinite(each) else None for each in numbers]
