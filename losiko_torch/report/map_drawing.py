"""Drawing a map of environments: a picture, or a page on which every point has its name."""

from __future__ import annotations

import html
import importlib
import textwrap
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from losiko_torch.errors import InputError
from losiko_torch.extras import needs
from losiko_torch.io.atomic import replacement, replacing
from losiko_torch.report.environment_map import ElementMap, EnvironmentMap, Points
from losiko_torch.report.wording import plural

#: Most references drawn of an element, and of all together; more only hide each other.
DRAWN, DRAWN_IN_ALL = 5000, 50_000
#: Most structures that the page lists as not on the map.
LISTED = 20
#: Seed of the choice of references where there are more.
SEED = 0
#: Colours from near to far, by their name in both matplotlib and plotly.
COLORS = "plasma"
#: Smallest separation at the far end of the colours, so that near atoms look near.
FAR = 0.2
TITLE = "Atomic environments among those of a database"
SEPARATION = "separation from the nearest reference"
#: Draws points by SVG in a browser that lacks WebGL, which is faster.
WITHOUT_WEBGL = """
if (!document.createElement("canvas").getContext("webgl"))
  Plotly.restyle(document.getElementById("{plot_id}"), {type: "scatter"});
"""
#: Buttons of plotly on the page; its others would send the map to a server.
BUTTONS = [["toImage", "zoom2d", "pan2d", "resetScale2d"]]
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.45 system-ui, sans-serif; color: #222; margin: 0 auto; max-width: 1500px; }
header { padding: 1em 20px 0; max-width: 62em; }
h1 { font-size: 1.3em; margin: 0; }
p { margin: 0.5em 0; }
main { overflow-x: auto; }
#map { min-width: ${least}px; max-width: ${most}px; }
</style>
</head>
<body>
<header>
<h1>$title</h1>
<p>Each point is one atom's surroundings, as the database's descriptor p sees them. Of the many
components of p, each panel shows the two in which the references z of its element vary most, so
that points that look alike here may still differ in the others; the separation |p − z| counts all
of them. $legend Point at an atom to see which it is; drag to enlarge, double-click to go back.</p>
<p>$missing</p>
</header>
<main>
$plot
</main>
</body>
</html>
""")


def writer_for(path: str | Path) -> Callable[..., None]:
    """Return ``write_html`` or ``write_png``, by the suffix of a file.

    Raises:
        InputError: If the suffix is another one, or if what draws it is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".png":
        needs("matplotlib", "a map as a picture")
        return write_png
    if suffix != ".html":
        raise InputError(f"{path}: a map is a page or a picture: name it .html or .png")
    _plotly("graph_objects")
    return write_html


def write_png(
    drawn: EnvironmentMap, path: str | Path, overwrite: bool = False, title: str = TITLE
) -> None:
    """Draw a map as a PNG picture, with a panel for each element.

    Raises:
        InputError: If matplotlib is missing, and as in ``losiko_torch.io.atomic.replacement``.
    """
    needs("matplotlib", "a map as a picture")
    from matplotlib.figure import Figure

    rows, columns, limit, farthest = _layout(drawn)
    figure = Figure(figsize=(3.4 * columns + 0.8, 3.3 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    colors = None
    for panel in panels[len(drawn.elements) :]:
        panel.set_axis_off()
    for panel, element in zip(panels, drawn.elements, strict=False):
        xy = element.references.xy[_sample(element, limit)]
        # Large points would hide each other in a dense cloud.
        size, opacity = (4, 0.3) if len(xy) > 1000 else (9, 0.6)
        panel.scatter(*xy.T, s=size, c="0.5", alpha=opacity, linewidths=0)
        if len(element.separation):
            order = np.argsort(element.separation, kind="stable")
            colors = panel.scatter(
                *element.atoms.xy[order].T,
                s=24,
                c=element.separation[order],
                cmap=COLORS,
                vmin=0,
                vmax=farthest,
                edgecolors="0.15",
                linewidths=0.3,
            )
        panel.set_title(_counts(element), fontsize=9, loc="left")
        panel.set_xlabel(_axis(element, 0), fontsize=8)
        panel.set_ylabel(_axis(element, 1), fontsize=8)
        panel.set_aspect("equal", adjustable="datalim")
        panel.locator_params(nbins=5)
        panel.tick_params(labelsize=7, color="0.6")
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color("0.6")
    if colors is not None:
        bar = figure.colorbar(colors, ax=panels, shrink=min(0.8, 1.2 / rows), aspect=30, pad=0.02)
        bar.set_label(f"{SEPARATION} |p − z|", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)
    note = textwrap.fill(_legend(drawn, limit), 56 * columns)
    figure.suptitle(textwrap.fill(title, 36 * columns), fontsize=11, x=0.01, ha="left")
    figure.supxlabel(note, fontsize=8, color="0.3", x=0.01, ha="left")
    with replacement(path, overwrite) as temporary:
        figure.savefig(temporary, format="png", dpi=160)


def write_html(
    drawn: EnvironmentMap, path: str | Path, overwrite: bool = False, title: str = TITLE
) -> None:
    """Draw a map as one HTML page that needs no network, with names shown under the pointer.

    Raises:
        InputError: If plotly is not installed, and as in ``losiko_torch.io.atomic.replacement``.
    """
    plots, subplots = _plotly("graph_objects"), _plotly("subplots")
    rows, columns, limit, farthest = _layout(drawn)
    height = 420 * rows + 90
    figure = subplots.make_subplots(
        rows,
        columns,
        subplot_titles=[_counts(element) for element in drawn.elements],
        horizontal_spacing=0.2 / columns,
        vertical_spacing=90 / height,
    )
    style = {"mode": "markers", "hoverinfo": "text", "showlegend": False}
    for k, element in enumerate(drawn.elements):
        place = {"row": k // columns + 1, "col": k % columns + 1}
        chosen = _sample(element, limit)
        x, y = element.references.xy[chosen].astype(np.float32).T
        texts = [_whose(drawn.references, element, element.references, n) for n in chosen]
        marker: dict[str, Any] = {
            "size": 3 if len(x) > 1000 else 5,
            "color": "#888",
            "opacity": 0.5,
        }
        figure.add_trace(plots.Scattergl(x=x, y=y, text=texts, marker=marker, **style), **place)
        order = np.argsort(element.separation, kind="stable")
        x, y = element.atoms.xy[order].astype(np.float32).T
        texts = [_atom_text(drawn, element, n) for n in order]
        marker = {
            "size": 8,
            "color": element.separation[order],
            "coloraxis": "coloraxis",
            "line": {"width": 0.5, "color": "#222"},
        }
        figure.add_trace(plots.Scattergl(x=x, y=y, text=texts, marker=marker, **style), **place)
        figure.update_xaxes(title_text=_axis(element, 0), **place)
        anchor = f"x{k + 1 if k else ''}"
        figure.update_yaxes(title_text=_axis(element, 1), scaleanchor=anchor, **place)
    lines = {"gridcolor": "#eee", "zeroline": False, "linecolor": "#aaa", "ticks": "outside"}
    figure.update_xaxes(**lines, title_standoff=6, nticks=7)
    figure.update_yaxes(**lines, title_standoff=6, nticks=7)
    bar = {"title": {"text": "|p − z|"}, "thickness": 14, "outlinewidth": 0}
    bar |= {"lenmode": "pixels", "len": 300}
    scale = {"colorscale": COLORS.capitalize(), "cmin": 0, "cmax": farthest, "colorbar": bar}
    figure.update_layout(
        height=height,
        coloraxis={**scale, "showscale": any(len(each.separation) for each in drawn.elements)},
        margin={"l": 60, "r": 20, "t": 70, "b": 60},
        plot_bgcolor="white",
        font={"family": "system-ui, sans-serif", "size": 12},
        hoverlabel={"align": "left", "bgcolor": "white", "font": {"color": "#222"}},
    )
    plot = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="map",
        config={"displaylogo": False, "responsive": True, "modeBarButtons": BUTTONS},
        post_script=WITHOUT_WEBGL,
    )
    missing = [f"{drawn.structures[k]}: {reason}" for k, reason in drawn.failures.items()]
    if len(missing) > LISTED:
        missing[LISTED:] = [f"and {plural(len(missing) - LISTED, 'more structure')}"]
    page = PAGE.substitute(
        title=html.escape(title),
        legend=html.escape(_legend(drawn, limit)),
        missing=html.escape(f"Not on the map: {'; '.join(missing)}." if missing else ""),
        least=330 * columns + 120,
        most=600 * columns + 120,
        plot=plot,
    )
    with replacing(path, overwrite) as file:
        file.write(page)


def _layout(drawn: EnvironmentMap) -> tuple[int, int, int, float]:
    """Return rows and columns of panels, the most references in a panel, and the colours' end."""
    n = len(drawn.elements)
    columns = min(n, 2 if n == 4 else 3)
    farthest = max((float(s) for each in drawn.elements for s in each.separation), default=0.0)
    return -(-n // columns), columns, min(DRAWN, DRAWN_IN_ALL // n), max(farthest, FAR)


def _sample(element: ElementMap, limit: int) -> np.ndarray:
    """Return the indices of the references that are drawn: all, or a reproducible choice.

    The nearest references of the atoms are among them, or an atom would seem far from all.
    """
    n = len(element.references.xy)
    if n <= limit:
        return np.arange(n)
    return np.union1d(np.random.default_rng(SEED).choice(n, limit, replace=False), element.nearest)


def _counts(element: ElementMap) -> str:
    counts = f"{element.symbol}:  {plural(len(element.references.xy), 'reference')}"
    return (
        f"{counts}, {plural(len(element.separation), 'atom')}"
        if len(element.separation)
        else counts
    )


def _axis(element: ElementMap, k: int) -> str:
    return f"component {k + 1} ({100 * element.share[k]:.0f} % of variance)"


def _legend(drawn: EnvironmentMap, limit: int) -> str:
    text = "Grey: environments of the database"
    if any(len(element.references.xy) > limit for element in drawn.elements):
        text += f", at most {limit:,} an element, chosen at random"
    if any(len(element.separation) for element in drawn.elements):
        placed = len(drawn.structures) - len(drawn.failures)
        text += f". Coloured: atoms of {plural(placed, 'structure')}, by {SEPARATION}"
    return text + "."


def _whose(names: list[str], element: ElementMap, points: Points, n: int) -> str:
    """Return the name of a point, escaped for plotly: "C2 of ethanol (C2H6O)"."""
    return html.escape(f"{element.symbol}{points.atom[n]} of {names[points.structure[n]]}")


def _atom_text(drawn: EnvironmentMap, element: ElementMap, n: int) -> str:
    own = _whose(drawn.structures, element, element.atoms, n)
    other = _whose(drawn.references, element, element.references, element.nearest[n])
    separation = f"|p − z| = {element.separation[n]:.3f}"
    return f"<b>{own}</b><br>{separation} from the nearest reference,<br>{other}"


def _plotly(name: str) -> Any:
    try:
        return importlib.import_module(f"plotly.{name}")
    except ImportError:
        raise InputError(
            "a map as a page needs plotly: pip install 'losiko-torch[map]', or write a .png"
        ) from None
