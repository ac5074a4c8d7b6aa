"""Kinds of structures that the built-in database leaves out, and what is said about each.

    python benchmarks/uncovered.py

Metals, noble gases, radicals, carbenes, transition states, odd valences, crystals
(``notebooks/cases/uncovered.py``) are relaxed from simple drawings. Those that are called reliable
are compared with what GFN2-xTB makes of the same drawing.
"""

from __future__ import annotations

import argparse

import common
from cases import uncovered
from cases.energies import xtb_relaxed

from losiko_torch import relax
from losiko_torch.systems.geometry import rmsd


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    common.one_core()
    drawn = uncovered.structures()
    print("| kind | reliable | what is said |\n" + "|---" * 3 + "|")
    silent = 0
    for name, atoms, result in zip(drawn, drawn.values(), relax(drawn.values()), strict=True):
        said = result.doubt.split(":")[0]
        if result.reliable:
            silent += 1
            (truth,) = xtb_relaxed([atoms], fmax=0.01)
            said = f"nothing; {rmsd(result.atoms, truth.atoms):.3f} A from GFN2-xTB's end"
        print(f"| {name} | {'yes' if result.reliable else 'no'} | {said} |", flush=True)
    print(f"\n{len(drawn)} kinds, {silent} of them called reliable")


if __name__ == "__main__":
    main()
