"""Runs from archives of noisy QM9 molecules into folders, as ``losiko relax --run`` makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import common
import numpy as np

from losiko_torch.io import stream
from losiko_torch.relaxation.execute import Workers
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.runs.folder import RunFolder
from losiko_torch.runs.identity import VERSION
from losiko_torch.runs.resume import folder_of, go_on


def chosen_of(qm9: common.molecules.QM9, count: int | None) -> np.ndarray:
    """Return the places in QM9 of so many molecules at random, ascending; None means all."""
    every = np.arange(len(qm9.ids))
    return every if count is None else np.sort(np.random.default_rng(0).permutation(every)[:count])


def write_noisy(
    path: Path,
    qm9: common.molecules.QM9,
    chosen: np.ndarray,
    noise: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Write an archive of noisy molecules.

    Args:
        path: The archive.
        qm9: All molecules.
        chosen: Places in it of those to write.
        noise: Displacements (N, 3) in Angstrom of atoms with these places (N,) in their molecules.
    """
    sizes = np.diff(qm9.offsets)[chosen]
    atoms = np.concatenate([np.arange(qm9.offsets[k], qm9.offsets[k + 1]) for k in chosen])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    place = np.arange(len(atoms)) - np.repeat(offsets[:-1], sizes)
    positions = qm9.positions[atoms] + noise(place)
    np.savez(path, Z=qm9.numbers[atoms], R=positions, offsets=offsets, id=qm9.ids[chosen])


def run_into(path: Path, source: str, relaxer: Callable[[int | None], Relaxer]) -> RunFolder:
    """Relax the molecules of an archive into a new folder; return the finished run.

    ``relaxer`` returns the relaxer for batches of so many atoms; None means as many as fit.
    """
    folder = folder_of(path, [], [source], None, {VERSION: "any"})
    return go_on(folder, lambda: stream.streamed([source]), relaxer, Workers(), no_progress)


def no_progress(count: int) -> None:
    """Show none."""


def same(one: RunFolder, other: RunFolder) -> bool:
    """Return whether the structures and the tables of two finished runs are the same bytes."""
    pairs = ((one.structures_file, other.structures_file), (one.table_file, other.table_file))
    return all(here.read_bytes() == there.read_bytes() for here, there in pairs)
