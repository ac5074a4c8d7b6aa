"""A map of environments as a page: a point has its name, and picks its atom in its structure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from losiko_torch.errors import InputError
from losiko_torch.extras import is_there, needs
from losiko_torch.io.atomic import replacing
from losiko_torch.report import map_drawing as shared
from losiko_torch.report.environment_map import ElementMap, EnvironmentMap
from losiko_torch.report.wording import plural
from losiko_torch.shown.three_d import as_json, item, programs

#: Most structures that the page lists as not on the map.
LISTED = 20
#: Most atoms of all structures that can be shown in three dimensions, of the database's, too.
ALL_ATOMS = 150_000


def writer_for(path: str | Path) -> Callable[..., None]:
    """Return ``write_html`` or ``map_drawing.write_png``, by the suffix of a file.

    Raises:
        InputError: If the suffix is another one, or if what draws it is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".png":
        needs("matplotlib", "a map as a picture")
        return shared.write_png
    if suffix != ".html":
        raise InputError(f"{path}: a map is a page or a picture: name it .html or .png")
    _needs_plotly()
    return write_html


def write_html(
    drawn: EnvironmentMap, path: str | Path, overwrite: bool = False, title: str = shared.TITLE
) -> None:
    """Draw a map as one HTML page that needs no network.

    A point picks its atom in its structure, which is shown in three dimensions, and an atom there
    its point.

    Raises:
        InputError: If plotly is not installed, and as in ``losiko_torch.io.atomic.replacement``.
    """
    _needs_plotly()
    from plotly.offline import get_plotlyjs

    _, _, limit, farthest = shared.layout(drawn)
    missing = [f"{drawn.structures[k]}: {reason}" for k, reason in drawn.failures.items()]
    if len(missing) > LISTED:
        missing[LISTED:] = [f"and {plural(len(missing) - LISTED, 'more structure')}"]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.from_string(_part("map.html")).render(
        title=title,
        legend=shared.legend(drawn, limit),
        missing=f"Not on the map: {'; '.join(missing)}." if missing else "",
        data=Markup(as_json(_data(drawn, limit, farthest))),
        css=_part("map.css"),
        script=_part("map.js"),
        programs=Markup(programs()),
        plotly=Markup(get_plotlyjs()),
    )
    with replacing(path, overwrite) as file:
        file.write(page)


def _part(name: str) -> Markup:
    """Read a part of the page: text, style or program, which needs no escaping."""
    return Markup(files("losiko_torch.report").joinpath("parts", name).read_text("utf-8"))


def _needs_plotly() -> None:
    if not is_there("plotly"):
        raise InputError(
            "a map as a page needs plotly: pip install 'losiko-torch[map]', or write a .png"
        )


def _data(drawn: EnvironmentMap, limit: int, farthest: float) -> dict[str, Any]:
    """Return what the page's scripts draw."""
    samples = [shared.sample(element, limit) for element in drawn.elements]
    used = {
        int(number)
        for element, chosen in zip(drawn.elements, samples, strict=True)
        for number in element.references.structure[chosen]
    }
    placed = [k for k in range(len(drawn.atoms)) if k not in drawn.failures]
    structures = _within((k, drawn.atoms[k], drawn.structures[k]) for k in placed)
    geometries = drawn.geometries
    references = (
        {}
        if geometries is None
        else _within((k, geometries.atoms(k), drawn.references[k]) for k in sorted(used))
    )
    return {
        "elements": [
            _element(element, chosen)
            for element, chosen in zip(drawn.elements, samples, strict=True)
        ],
        "names": {
            "structures": drawn.structures,
            "references": {k: drawn.references[k] for k in sorted(used)},
        },
        "items": {"structures": structures, "references": references},
        "farthest": farthest,
    }


def _element(element: ElementMap, chosen: np.ndarray) -> dict[str, Any]:
    """Return a panel: its titles, the references drawn, and the atoms, the near ones first."""
    order = np.argsort(element.separation, kind="stable")
    place = np.full(len(element.references.xy), -1)
    place[chosen] = np.arange(len(chosen))
    return {
        "symbol": element.symbol,
        "title": shared.counts(element),
        "axes": [shared.axis(element, k) for k in range(2)],
        "references": _points(element.references, chosen),
        "atoms": _points(element.atoms, order)
        | {
            "separation": [float(f"{each:.4g}") for each in element.separation[order]],
            "nearest": place[element.nearest[order].astype(int)].tolist(),
        },
    }


def _points(points: Any, chosen: np.ndarray) -> dict[str, list]:
    xy = points.xy[chosen].astype(np.float32).astype(float).round(5)
    return {
        "x": xy[:, 0].tolist(),
        "y": xy[:, 1].tolist(),
        "structure": points.structure[chosen].astype(int).tolist(),
        "atom": points.atom[chosen].astype(int).tolist(),
    }


def _within(named: Iterable[tuple[int, Any, str]]) -> dict[int, dict[str, Any]]:
    """Return structures for a view, by number, until their atoms are more than ``ALL_ATOMS``."""
    some = list(named)
    sums = accumulate(len(atoms) for _, atoms, _ in some)
    return {
        number: item(atoms, name)
        for (number, atoms, name), total in zip(some, sums, strict=True)
        if total <= ALL_ATOMS
    }
