"""Structures as a run was given them, read again from its inputs, which it does not copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms

from losiko_torch.errors import InputError
from losiko_torch.io.stream import one_after_the_other
from losiko_torch.runs.folder import RunFolder
from losiko_torch.runs.identity import digests
from losiko_torch.systems.names import UNREADABLE
from losiko_torch.systems.reference_geometry import REFERENCE, deviation

#: Structures between two reports of progress.
STEP = 64


@dataclass(frozen=True)
class Starts:
    """Structures before the relaxation.

    Attributes:
        atoms: The structures, by number; those that could not be read are not there.
        note: Reason why there are none, a sentence; "" if there are.
    """

    atoms: dict[int, Atoms] = field(default_factory=dict)
    note: str = ""


def starts_of(
    run: RunFolder, numbers: Iterable[int], progress: Callable[[int], None] = lambda n: None
) -> Starts:
    """Return the structures of some numbers as a run was given them.

    The inputs must be the files that the run was made with, by their contents.

    Args:
        run: The run.
        numbers: The numbers.
        progress: Function that is called with the number of structures just read.
    """
    wanted = set(numbers)
    if not wanted:
        return Starts()
    sources, why = _sources(run)
    if why:
        return Starts(note=why)
    no_pbc = run.record["configuration"].get("no_pbc", False)
    frames = islice(one_after_the_other(sources, no_pbc), max(wanted) + 1)
    found = {}
    try:
        for number, atoms in enumerate(frames):
            if number in wanted and UNREADABLE not in atoms.info:
                found[number] = atoms
            if number % STEP == STEP - 1:
                progress(STEP)
    except InputError as error:
        return Starts(found, f"Some starts cannot be read again: {error}.")
    return Starts(found)


def moved(atoms: Atoms, start: Atoms) -> float | None:
    """Return the RMSD (Angstrom) of a structure from its start; None if that has other atoms.

    Molecules are superposed, and positions in a cell that was strained are taken along with it.
    """
    if len(atoms) == 0 or not np.array_equal(atoms.numbers, start.numbers):
        return None
    before = start.positions
    if atoms.pbc.any():
        cell, strained = (each.cell.complete() for each in (start, atoms))
        before = strained.cartesian_positions(cell.scaled_positions(before))
    both = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    both.arrays[REFERENCE] = before
    return deviation(both)


def _sources(run: RunFolder) -> tuple[list[str], str]:
    """Return the files to read, slices included, or a sentence on why there are none."""
    known = run.record["configuration"].get("structures")
    given = run.record["structures"]
    if not isinstance(known, dict) or not all(source in known for source in given):
        return [], "The run does not tell what its inputs were, so that no starts are shown."
    why = ""
    for folder in dict.fromkeys([Path(), run.path.resolve().parent]):
        sources = [str(folder / source) for source in given]
        try:
            now = digests(sources)
        except InputError:
            continue
        if all(now[source] == known[name] for source, name in zip(sources, given, strict=True)):
            return sources, ""
        why = "are no longer what the run was made with"
    files = ", ".join(given)
    return [], f"The inputs ({files}) {why or 'are not there any more'}, so no starts are shown."
