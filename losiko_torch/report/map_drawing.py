"""Drawing a map of environments as a picture, and what the picture and the page share."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from losiko_torch.extras import needs
from losiko_torch.io.atomic import replacement
from losiko_torch.report.environment_map import ElementMap, EnvironmentMap
from losiko_torch.report.wording import plural

#: Most references drawn of an element, and of all together; more only hide each other.
DRAWN, DRAWN_IN_ALL = 5000, 50_000
#: Seed of the choice of references where there are more.
SEED = 0
#: Colours from near to far, by matplotlib's name.
COLORS = "plasma"
#: Smallest separation at the far end of the colours, so that near atoms look near.
FAR = 0.2
TITLE = "Atomic environments among those of a database"
SEPARATION = "separation from the nearest reference"


def write_png(
    drawn: EnvironmentMap, path: str | Path, overwrite: bool = False, title: str = TITLE
) -> None:
    """Draw a map as a PNG picture, with a panel for each element.

    Raises:
        InputError: If matplotlib is missing, and as in ``losiko_torch.io.atomic.replacement``.
    """
    needs("matplotlib", "a map as a picture")
    from matplotlib.figure import Figure

    rows, columns, limit, farthest = layout(drawn)
    figure = Figure(figsize=(3.4 * columns + 0.8, 3.3 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    colors = None
    for panel in panels[len(drawn.elements) :]:
        panel.set_axis_off()
    for panel, element in zip(panels, drawn.elements, strict=False):
        xy = element.references.xy[sample(element, limit)]
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
        panel.set_title(counts(element), fontsize=9, loc="left")
        panel.set_xlabel(axis(element, 0), fontsize=8)
        panel.set_ylabel(axis(element, 1), fontsize=8)
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
    note = textwrap.fill(legend(drawn, limit), 56 * columns)
    figure.suptitle(textwrap.fill(title, 36 * columns), fontsize=11, x=0.01, ha="left")
    figure.supxlabel(note, fontsize=8, color="0.3", x=0.01, ha="left")
    with replacement(path, overwrite) as temporary:
        figure.savefig(temporary, format="png", dpi=160)


def layout(drawn: EnvironmentMap) -> tuple[int, int, int, float]:
    """Return rows and columns of panels, the most references in a panel, and the colours' end."""
    n = len(drawn.elements)
    columns = min(n, 2 if n == 4 else 3)
    farthest = max((float(s) for each in drawn.elements for s in each.separation), default=0.0)
    return -(-n // columns), columns, min(DRAWN, DRAWN_IN_ALL // n), max(farthest, FAR)


def sample(element: ElementMap, limit: int) -> np.ndarray:
    """Return the indices of the references that are drawn: all, or a reproducible choice.

    The nearest references of the atoms are among them, or an atom would seem far from all.
    """
    n = len(element.references.xy)
    if n <= limit:
        return np.arange(n)
    return np.union1d(np.random.default_rng(SEED).choice(n, limit, replace=False), element.nearest)


def counts(element: ElementMap) -> str:
    """Return what a panel shows: "C:  120 references, 12 atoms"."""
    told = f"{element.symbol}:  {plural(len(element.references.xy), 'reference')}"
    return f"{told}, {plural(len(element.separation), 'atom')}" if len(element.separation) else told


def axis(element: ElementMap, k: int) -> str:
    """Return the title of an axis."""
    return f"component {k + 1} ({100 * element.share[k]:.0f} % of variance)"


def legend(drawn: EnvironmentMap, limit: int) -> str:
    """Return what the points and their colours are."""
    text = "Grey: environments of the database"
    if any(len(element.references.xy) > limit for element in drawn.elements):
        text += f", at most {limit:,} an element, chosen at random"
    if any(len(element.separation) for element in drawn.elements):
        placed = len(drawn.structures) - len(drawn.failures)
        text += f". Coloured: atoms of {plural(placed, 'structure')}, by {SEPARATION}"
    return text + "."
