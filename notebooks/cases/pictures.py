"""Pictures of the notebooks: one style, and structures as balls and sticks, coloured by how far
each atom is from its references."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.utils import rotate
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from losiko_torch.systems.geometry import superposed  # noqa: F401  for what is drawn over another

#: Colours of Okabe and Ito, which people who see colours differently tell apart, too.
BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY, GREY, BLACK = "#cc79a7", "#56b4e9", "#9a9a9a", "#222222"
CYCLE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY, BLACK)
#: Markers that go with them, as shape tells what colour does not.
MARKERS = "osD^vPX*"

#: Colours from near to far, and the distance at which they end.
COLORS, FAR = "viridis", 0.1
#: Balls have this share of their element's covalent radius, but of no smaller one than this
#: (Angstrom): hydrogen's letter needs room.
BALL, LEAST = 0.45, 0.45
#: Share of white in the colour of the farthest atoms.
FOG = 0.45
#: Sizes of letters on atoms (points): the largest, and the one below which there are none.
LETTER, TINY = 11.0, 5.5
#: Height of a line of a panel's title, and width of the colour bar with its labels, inches.
LINE, BAR = 0.22, 1.2


def style() -> None:
    """Set matplotlib to the notebooks' style: readable at half the size, on white."""
    plt.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 12,
            "axes.titlesize": 13,
            "axes.prop_cycle": cycler(color=CYCLE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "grid.color": "#dddddd",
            "legend.fontsize": 11,
            "legend.frameon": False,
            "lines.linewidth": 2,
        }
    )


def outlines(panel: Axes, samples: dict[str, np.ndarray], bins: np.ndarray, **colours: str) -> None:
    """Draw histograms over each other as lightly filled outlines, each line with its own dashes.

    Args:
        panel: Axes to draw on. bins: Edges of the bins.
        samples: Values of each histogram, by its label.
        colours: Colour of a label; those of the style in their order otherwise.
    """
    dashes = ("-", "--", "-.", ":")
    for k, (label, values) in enumerate(samples.items()):
        colour = colours.get(label, CYCLE[k])
        panel.hist(values, bins, color=colour, alpha=0.18)
        outline = {"histtype": "step", "color": colour, "linestyle": dashes[k % 4], "lw": 2}
        panel.hist(values, bins, label=label, **outline)


def draw(
    structures: Sequence[Atoms],
    distances: Sequence[np.ndarray | None] | None = None,
    titles: Sequence[str] | None = None,
    behind: Sequence[Atoms | None] | None = None,
    columns: int = 4,
    width: float = 2.2,
    rotation: str = "-75x,12y,0z",
    letters: bool = False,
    far: float = FAR,
) -> Figure:
    """Draw a panel for each structure, all to one scale.

    Args:
        structures: Structures to draw; cells are drawn around periodic ones.
        distances: One number an atom for each structure, such as ``Result.distances``. None means
            that atoms have their elements' colours (Jmol's).
        titles: Titles above the panels.
        behind: Structure to draw behind each one, in grey: superpose them first (``superposed``).
        columns: Panels side by side. width: Width of a panel, inches.
        rotation: Rotation in the notation of ASE's ``plot_atoms``; molecules are laid flat instead,
            along the axes of their largest extent.
        letters: Whether to write elements on the atoms.
        far: The distance at which colours end.
    """
    unders = behind or [None] * len(structures)
    shades = distances or [None] * len(structures)
    titles = titles or [""] * len(structures)
    views = [
        rotate(rotation) if atoms.pbc.any() else _flat(atoms if under is None else under)
        for atoms, under in zip(structures, unders, strict=True)
    ]
    coloured = any(shade is not None for shade in shades)
    boxes = np.array(
        [_box(each, view) for each, view in zip(structures, views, strict=True)]
    )  # (n, 2, 2): lower and upper corners
    figure, panels, inch = _panels(boxes, titles, columns, width, coloured)
    colours = ScalarMappable(Normalize(0, far), COLORS)
    for panel, atoms, shade, under, view in zip(
        panels, structures, shades, unders, views, strict=True
    ):
        if under is not None:
            _draw_behind(panel, under, view)
        rgb = (
            jmol_colors[atoms.numbers]
            if shade is None
            else colours.to_rgba(np.asarray(shade))[:, :3]
        )
        _draw_one(panel, atoms, rgb, view)
        if letters:
            _write_elements(panel, atoms, rgb, view, 72 * inch)
    if coloured:
        height = figure.get_figheight()
        long = min(0.8, 2.6 / height)
        wide = figure.get_figwidth()
        place = figure.add_axes(((wide - BAR + 0.15) / wide, 0.5 - long / 2, 0.14 / wide, long))
        bar = figure.colorbar(colours, cax=place, extend="max")
        bar.set_label("squared distance\nto the references", fontsize=11)
        bar.ax.locator_params(nbins=4)
        bar.ax.tick_params(labelsize=10)
    return figure


def _panels(
    boxes: np.ndarray, titles: Sequence[str], columns: int, width: float, coloured: bool
) -> tuple[Figure, list[Axes], float]:
    """Figure and panels, placed by hand as all have one scale; and inches an Angstrom."""
    count = len(boxes)
    columns = min(columns, count)
    rows = -(-count // columns)
    spans = boxes[:, 1] - boxes[:, 0]
    inch = 0.88 * width / spans[:, 0].max()
    above = LINE * max(title.count("\n") + 1 if title else 0 for title in titles) + 0.08
    tall = [
        inch * spans[row * columns : (row + 1) * columns, 1].max() + above + 0.12
        for row in range(rows)
    ]
    size = width * columns + (BAR if coloured else 0), sum(tall)
    figure = plt.figure(figsize=size, layout="none")
    panels = []
    for k, ((left, low), (right, high)) in enumerate(boxes):
        row, column = divmod(k, columns)
        up, across = (tall[row] - above - 0.06) / inch, width / inch
        below = size[1] - sum(tall[: row + 1]) + 0.04
        panel = figure.add_axes(
            (
                column * width / size[0],
                below / size[1],
                width / size[0],
                (tall[row] - above - 0.06) / size[1],
            )
        )
        panel.set_axis_off()
        middle = (left + right) / 2, (low + high) / 2
        panel.set(
            xlim=(middle[0] - across / 2, middle[0] + across / 2),
            ylim=(middle[1] - up / 2, middle[1] + up / 2),
        )
        panel.set_title(titles[k], fontsize=11, pad=3)
        panels.append(panel)
    return figure, panels, inch


def _box(atoms: Atoms, view: np.ndarray) -> np.ndarray:
    """Lower and upper corner of what is drawn of a structure, (2, 2), Angstrom."""
    places, radii = atoms.positions @ view, _radii(atoms)[:, None]
    points = [places[:, :2] - radii, places[:, :2] + radii]
    if atoms.pbc.any():
        points.append((_corners() @ atoms.cell.array @ view)[:, :2])
    every = np.concatenate(points)
    return np.array([every.min(0), every.max(0)])


def _radii(atoms: Atoms) -> np.ndarray:
    return BALL * np.maximum(covalent_radii[atoms.numbers], LEAST)


def _flat(atoms: Atoms) -> np.ndarray:
    """Rotation (3, 3) to the view along the shortest of a molecule's axes, tilted a little."""
    centred = atoms.positions - atoms.positions.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=len(atoms) < 3)[2].T
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return axes @ rotate("-25x,15y,0z")


def _sticks(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Bonded atoms within the cell, each pair once."""
    first, second, shift = neighbor_list("ijS", atoms, natural_cutoffs(atoms, mult=1.15))
    within = (first < second) & (shift == 0).all(axis=1)
    return first[within], second[within]


def _draw_behind(panel: Axes, atoms: Atoms, view: np.ndarray) -> None:
    """Draw a grey skeleton below all else, so that it shows where the other one left it."""
    turned = (atoms.positions @ view)[:, :2]
    first, second = _sticks(atoms)
    ends = np.stack([turned[first], turned[second]], axis=1)
    grey = "#b5b5b5"
    panel.add_collection(LineCollection(ends, colors=grey, linewidths=4, zorder=-2))
    panel.add_collection(_balls(panel, turned, 0.7 * _radii(atoms), grey, grey, -1))


def _draw_one(panel: Axes, atoms: Atoms, rgb: np.ndarray, view: np.ndarray) -> None:
    """Draw balls and sticks back to front; at the same depth a ball covers a stick."""
    turned = atoms.positions @ view
    if atoms.pbc.any():
        _draw_cell(panel, atoms, view)
    near = _nearness(turned[:, 2])
    faded = 1 - (1 - rgb) * (1 - FOG * (1 - near))[:, None]
    first, second = _sticks(atoms)
    # Matplotlib orders by zorder: thin slices of depth, each with its sticks, then its balls.
    slices = np.clip((near * 20).astype(int), 0, 20)
    for at in np.unique(slices):
        mine = np.minimum(slices[first], slices[second]) == at
        sticks = np.stack([turned[first[mine], :2], turned[second[mine], :2]], axis=1)
        grey = (0.35 + 0.5 * FOG * (1 - at / 20),) * 3
        panel.add_collection(
            LineCollection(sticks, colors=[grey], linewidths=1.8, zorder=2 * at + 1)
        )
        balls = np.flatnonzero(slices == at)
        panel.add_collection(
            _balls(
                panel,
                turned[balls, :2],
                _radii(atoms)[balls],
                faded[balls],
                [grey],
                2 * at + 2,
            )
        )


def _nearness(depth: np.ndarray) -> np.ndarray:
    """Nearness from 0 (the farthest atom) to 1; all 1 where a structure is flat."""
    span = max(np.ptp(depth), 1e-9)
    return (depth - depth.min()) / span if span > 1 else np.ones(len(depth))


def _balls(panel, places, radii, faces, edges, order) -> EllipseCollection:
    return EllipseCollection(
        2 * radii,
        2 * radii,
        np.zeros(len(radii)),
        units="xy",
        offsets=places,
        offset_transform=panel.transData,
        facecolors=faces,
        edgecolors=edges,
        linewidths=0.7,
        zorder=order,
    )


def _write_elements(
    panel: Axes, atoms: Atoms, rgb: np.ndarray, view: np.ndarray, points: float
) -> None:
    """Write elements on the atoms that no nearer one covers; ``points`` is the scale, 1/A."""
    turned, radii = atoms.positions @ view, _radii(atoms)
    near = _nearness(turned[:, 2])
    for k, (symbol, place) in enumerate(zip(atoms.symbols, turned, strict=True)):
        size = min(LETTER, 1.25 * radii[k] * points)
        nearer = turned[:, 2] > place[2]
        apart = np.linalg.norm(turned[:, :2] - place[:2], axis=1)
        if size < TINY or (nearer & (apart < radii + 0.5 * radii[k])).any():
            continue
        light = (1 - (1 - rgb[k]) * (1 - FOG * (1 - near[k]))) @ [0.3, 0.6, 0.1]
        shade = "white" if light < 0.5 else "black"
        panel.text(
            *place[:2], symbol, color=shade, fontsize=size, ha="center", va="center", zorder=100
        )


def _corners() -> np.ndarray:
    return np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])


def _draw_cell(panel: Axes, atoms: Atoms, view: np.ndarray) -> None:
    corners = _corners()
    turned = corners @ atoms.cell.array @ view
    edges = [
        (turned[a, :2], turned[b, :2])
        for a in range(8)
        for b in range(a)
        if np.abs(corners[a] - corners[b]).sum() == 1
    ]
    panel.add_collection(LineCollection(edges, colors="#9a9a9a", linewidths=0.7, zorder=0))
