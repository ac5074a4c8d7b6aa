"""The paper's cases at full size, which ``notebooks/README.md`` compares with the paper.

    python benchmarks/paper.py CASE

Each case's starting structures, parameters and seeds are in ``notebooks/cases``; its table goes to
``benchmarks/results/CASE.md`` when it is complete. ``LOSIKO_DATA`` names the reference data;
without it they are fetched or replaced, see ``notebooks/cases/data.py``.
"""

from __future__ import annotations

import argparse
import importlib
import platform
from importlib.metadata import version
from pathlib import Path

import common

CASES = (
    "water",
    "water_learned",
    "qm9",
    "qm9_sharp",
    "proton_defect",
    "interface",
    "interface_learned",
    "carbon",
)
RESULTS = Path(__file__).parent / "results"
#: Packages whose versions a table names.
PACKAGES = ("losiko-torch", "torch", "ase", "numpy")


def processor() -> str:
    """Name of the processor, in detail on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("case", choices=CASES)
    case = parser.parse_args().case
    common.one_core()
    table = importlib.import_module(f"cases.{case}").table()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    text = (
        f"`python benchmarks/paper.py {case}`, on one core ({processor()}); {versions}.\n\n"
        f"{table.strip()}\n"
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{case}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
