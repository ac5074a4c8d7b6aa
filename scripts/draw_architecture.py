"""Draw docs/architecture.svg: the packages of losiko_torch by level, from their imports.

    python scripts/draw_architecture.py

A package stands one level above the highest package that it imports; modules outside of packages
share a box. Needs import-linter's grimp (extra [test]).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import grimp
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

TARGET = Path(__file__).parent.parent / "docs" / "architecture.svg"
#: One line on each package.
IDEAS = {
    "cli": "the commands",
    "report": "what became of a run; maps",
    "runs": "runs that survive",
    "relaxation": "relax: settings, stages, loop",
    "batching": "what fits; in-flight batching",
    "loss": "targets, terms, objective",
    "verdict": "what speaks against an end",
    "learned": "networks, fitted to geometries",
    "similarity": "kernels between structures",
    "database": "reference environments",
    "descriptors": "SOAP, ACSF, modules",
    "io": "files in and out",
    "optimizers": "L-BFGS, FIRE, Adam, ...",
    "search": "nearest references",
    "systems": "structures as tensors",
    "shown": "lines and plain tables",
    "calculator": "ASE",
    "torchsim": "TorchSim",
}


def imports() -> dict[str, set[str]]:
    """Return which packages (or modules outside of packages) each one imports."""
    graph = grimp.build_graph("losiko_torch", cache_dir=None)
    found: dict[str, set[str]] = defaultdict(set)
    for module in graph.modules:
        parts = module.split(".")
        if len(parts) < 2:
            continue
        found[parts[1]] |= {
            name.split(".")[1]
            for name in graph.find_modules_directly_imported_by(module)
            if "." in name and name.split(".")[1] != parts[1]
        }
    return found


def levels(imported: dict[str, set[str]]) -> dict[str, int]:
    """Return the level of each package: one above the highest that it imports."""
    known: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in known:
            known[name] = 1 + max(map(level, imported[name]), default=0)
        return known[name]

    return {name: level(name) for name in sorted(imported)}


def main() -> None:
    found = levels(imports())
    small = [name for name in found if name not in IDEAS]
    rows: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for name, level in found.items():
        if name in IDEAS:
            rows[level].append((name, IDEAS[name]))
    order = sorted(rows)
    middle = 2.75 * max(len(row) for row in rows.values()) / 2
    figure, axes = plt.subplots(figsize=(2 * middle + 0.2, 0.72 * (len(order) + 1) + 0.3))
    for height, level in enumerate(order, start=1):
        row = rows[level]
        for place, (name, idea) in enumerate(row):
            x = middle + 2.75 * (place - (len(row) - 1) / 2)
            _box(axes, x, height, 2.6, name, idea)
        axes.text(-0.45, height, str(level), ha="center", va="center", color="#888888", size=9)
    _box(axes, middle, 0, 8.2, "modules without a package", ", ".join(small))
    axes.annotate(
        "",
        (2 * middle + 0.4, 0.1),
        (2 * middle + 0.4, len(order)),
        arrowprops={"arrowstyle": "->", "color": "#888888"},
    )
    axes.text(
        2 * middle + 0.55,
        len(order) / 2,
        "imports",
        rotation=90,
        va="center",
        color="#888888",
        size=9,
    )
    axes.set(xlim=(-0.7, 2 * middle + 0.75), ylim=(-0.5, len(order) + 0.5))
    axes.axis("off")
    plt.rcParams |= {"svg.hashsalt": "losiko", "svg.fonttype": "none"}
    figure.savefig(TARGET, bbox_inches="tight", metadata={"Date": None})


def _box(axes: plt.Axes, x: float, y: float, width: float, name: str, idea: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.32),
            width,
            0.64,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor="#f2f5f9",
            edgecolor="#5b7083",
            linewidth=1,
        )
    )
    axes.text(x, y + 0.1, name, ha="center", va="center", size=10, weight="bold", color="#22313f")
    axes.text(x, y - 0.15, idea, ha="center", va="center", size=7, color="#22313f")


if __name__ == "__main__":
    main()
