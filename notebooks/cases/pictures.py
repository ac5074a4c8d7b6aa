"""Structures as balls and sticks, coloured by how far each atom is from its references."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.utils import rotate
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from losiko_torch.systems.geometry import superposed  # noqa: F401  for what is drawn over another

#: Colours from near to far, and the distance at which they end.
COLORS, FAR = "viridis", 0.1
#: Balls have this share of their element's covalent radius.
BALL = 0.45
#: Share of white in the colour of the farthest atoms.
FOG = 0.45


def draw(
    structures: Sequence[Atoms],
    distances: Sequence[np.ndarray | None] | None = None,
    titles: Sequence[str] | None = None,
    behind: Sequence[Atoms | None] | None = None,
    columns: int = 4,
    width: float = 3.0,
    rotation: str = "-75x,12y,0z",
    letters: bool = False,
    far: float = FAR,
) -> Figure:
    """Draw a panel for each structure.

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
    count = len(structures)
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns, width * rows), squeeze=False, layout="constrained"
    )
    for panel in axes.flat:
        panel.set_axis_off()
    colours = ScalarMappable(Normalize(0, far), COLORS)
    coloured = False
    for k, atoms in enumerate(structures):
        panel = axes.flat[k]
        shade = None if distances is None else distances[k]
        under = None if behind is None else behind[k]
        view = rotate(rotation) if atoms.pbc.any() else _flat(atoms if under is None else under)
        if under is not None:
            _draw_one(panel, under, np.full((len(under), 3), 0.8), view, 0.5 * BALL)
        if shade is None:
            rgb = jmol_colors[atoms.numbers]
        else:
            coloured = True
            rgb = colours.to_rgba(np.asarray(shade))[:, :3]
        _draw_one(panel, atoms, rgb, view)
        if letters:
            _write_elements(panel, atoms, rgb, view)
        panel.set_aspect("equal")
        panel.autoscale_view()
        panel.margins(0.08)
        if titles is not None:
            panel.set_title(titles[k], fontsize=9)
    if coloured:
        bar = figure.colorbar(colours, ax=axes, shrink=0.7, aspect=30, extend="max")
        bar.set_label("squared distance to the references")
    return figure


def to_scale(figure: Figure, span: float) -> None:
    """Set all panels of ``draw`` to the width ``span`` (Angstrom) and to half of it in height."""
    *panels, bar = figure.axes
    for panel in panels:
        across, up = np.mean(panel.get_xlim()), np.mean(panel.get_ylim())
        panel.set(xlim=(across - span / 2, across + span / 2), ylim=(up - span / 4, up + span / 4))
    bar.set_ylabel("squared\ndistance")


def _flat(atoms: Atoms) -> np.ndarray:
    """Rotation (3, 3) to the view along the shortest of a molecule's axes, tilted a little."""
    centred = atoms.positions - atoms.positions.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=len(atoms) < 3)[2].T
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return axes @ rotate("-25x,15y,0z")


def _draw_one(
    panel: Axes, atoms: Atoms, rgb: np.ndarray, view: np.ndarray, ball: float = BALL
) -> None:
    """Draw balls and sticks back to front; at the same depth a ball covers a stick."""
    turned = atoms.positions @ view
    if atoms.pbc.any():
        _draw_cell(panel, atoms, view)
    depth = turned[:, 2]
    span = max(np.ptp(depth), 1e-9)
    near = (depth - depth.min()) / span if span > 1 else np.ones(len(atoms))
    faded = 1 - (1 - rgb) * (1 - FOG * (1 - near))[:, None]
    first, second, shift = neighbor_list("ijS", atoms, natural_cutoffs(atoms, mult=1.15))
    within = (first < second) & (shift == 0).all(axis=1)
    # Matplotlib orders by zorder: thin slices of depth, each with its sticks, then its balls.
    slices = np.clip((near * 20).astype(int), 0, 20)
    for at in np.unique(slices):
        mine = within & (np.minimum(slices[first], slices[second]) == at)
        sticks = np.stack([turned[first[mine], :2], turned[second[mine], :2]], axis=1)
        grey = 0.35 + 0.5 * FOG * (1 - at / 20)
        panel.add_collection(
            LineCollection(sticks, colors=[(grey,) * 3], linewidths=1.6, zorder=2 * at + 1)
        )
        balls = np.flatnonzero(slices == at)
        size = 2 * ball * covalent_radii[atoms.numbers[balls]]
        panel.add_collection(
            EllipseCollection(
                size,
                size,
                np.zeros(len(balls)),
                units="xy",
                offsets=turned[balls, :2],
                offset_transform=panel.transData,
                facecolors=faded[balls],
                edgecolors=[(grey,) * 3],
                linewidths=0.6,
                zorder=2 * at + 2,
            )
        )
    radii = ball * covalent_radii[atoms.numbers, None]
    panel.update_datalim(np.concatenate([turned[:, :2] - radii, turned[:, :2] + radii]))


def _write_elements(panel: Axes, atoms: Atoms, rgb: np.ndarray, view: np.ndarray) -> None:
    turned = atoms.positions @ view
    for symbol, place, colour in zip(atoms.symbols, turned, rgb, strict=True):
        shade = "white" if colour @ [0.3, 0.6, 0.1] < 0.5 else "black"
        panel.text(
            *place[:2], symbol, color=shade, fontsize=7, ha="center", va="center", zorder=100
        )


def _draw_cell(panel: Axes, atoms: Atoms, view: np.ndarray) -> None:
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    turned = corners @ atoms.cell.array @ view
    edges = [
        (turned[a, :2], turned[b, :2])
        for a in range(8)
        for b in range(a)
        if np.abs(corners[a] - corners[b]).sum() == 1
    ]
    panel.add_collection(LineCollection(edges, colors="#9a9a9a", linewidths=0.7, zorder=0))
    panel.update_datalim(turned[:, :2])
