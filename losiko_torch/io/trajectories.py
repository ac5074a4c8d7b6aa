"""Trajectories of relaxations: the frames that were kept of each structure, as files.

A name with a suffix is one file, with the frames of all structures in input order. One without, or
one that ends in "/", is a folder with a file for each structure, "000012_ethanol.extxyz". Frames
carry ``losiko_number``, ``losiko_step``, ``losiko_loss``, ``losiko_fmax`` and, with learned
targets, ``losiko_expected_rmsd`` in ``info``; the last one of a structure that did not fail is the
relaxed structure itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.trajectory import TrajectoryWriter

from losiko_torch.errors import InputError
from losiko_torch.io.atomic import check_output, replacement, replacing
from losiko_torch.io.formats.extxyz import NAME, text_of
from losiko_torch.io.formats.left_out import Tell, left_out
from losiko_torch.io.formats.trajectory import writable
from losiko_torch.results import Frames, Result
from losiko_torch.systems.names import DRAWN, METADATA

#: Suffixes of files of frames; files in a folder have the second unless its name has the first.
ASE, XYZ, SUFFIXES = ".traj", ".extxyz", (".traj", ".extxyz", ".xyz")
#: Distance (Angstrom) within which a frame of the last step is the relaxed structure.
SAME = 1e-4

AddResults = Callable[[Sequence[Result]], None]


def frames_of(result: Result) -> Iterator[Atoms]:
    """Yield the frames that were kept of a result, the relaxed structure last."""
    frames = None if result.history is None else result.history.frames
    if frames is None:
        return
    count, end = len(frames.steps), result.atoms
    if not result.failed and count and frames.steps[-1] >= result.n_steps:
        apart = np.abs(frames.positions[-1] - end.positions).max(initial=0.0)
        count -= int(apart < SAME)
    for k in range(count):
        yield _frame(result, frames, k)
    if not result.failed:
        fmax = frames.fmax[-1] if count < len(frames.steps) else np.nan
        rmsd = np.nan if result.expected_rmsd is None else result.expected_rmsd
        yield _told(end.copy(), result.number, result.n_steps, result.loss, fmax, rmsd)


def check_trajectory(target: str | Path, overwrite: bool = False) -> None:
    """Check before any work is done that trajectories can be written.

    Raises:
        InputError: For a suffix that is none, a file or folder that is there already, or one that
            cannot be written.
    """
    path, suffix = _parsed(target)
    if suffix is None:
        check_output(path, overwrite=overwrite)
        return
    if path.is_file():
        raise InputError(f"{path}: a file, not a folder for trajectories")
    if not path.exists() and not path.absolute().parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.absolute().parent} to make it in")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise InputError(
            f"{path}: has files in it: choose a new folder for the trajectories, or overwrite "
            "those of the same names (--force)"
        )


def trajectories(target: str | Path, overwrite: bool = False) -> AbstractContextManager[AddResults]:
    """Return a context with a function that adds the frames of results.

    Files appear whole or not at all.

    Raises:
        InputError: As in ``check_trajectory``.
    """
    check_trajectory(target, overwrite)
    path, suffix = _parsed(target)
    return _one_file(path, overwrite) if suffix is None else _folder(path, suffix)


def write_each(path: Path, suffix: str, results: Sequence[Result]) -> None:
    """Write the frames of results into a folder, a file for each, which replaces one of before."""
    for result in results:
        frames = list(frames_of(result))
        if frames:
            with _opened(path / _name(result, suffix), True) as write:
                for atoms in frames:
                    write(atoms)


def folder_of(target: str) -> tuple[str, str]:
    """Return name and suffix of the files of a folder of trajectories within another one.

    Raises:
        InputError: For what is no plain name of a folder.
    """
    path, suffix = _parsed(target)
    if suffix is None or path.is_absolute() or len(path.parts) != 1 or path.name.startswith("."):
        raise InputError(
            f"{target}: trajectories of a run are in a folder within it: give a plain name such as "
            "'paths', or 'paths.traj/' for files of ASE"
        )
    return path.name, suffix


def _parsed(target: str | Path) -> tuple[Path, str | None]:
    """Return the path, and the suffix of files in it if it is a folder."""
    path, text = Path(target), str(target)
    suffix = path.suffix.lower()
    if text.endswith("/") or path.is_dir():
        return path, suffix if suffix in SUFFIXES else XYZ
    if not suffix:
        return path, XYZ
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path}: trajectories are written to {', '.join(SUFFIXES)}, or to a folder, whose "
            "name has no suffix"
        )
    return path, None


@contextmanager
def _folder(path: Path, suffix: str) -> Iterator[AddResults]:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    yield lambda results: write_each(path, suffix, results)


@contextmanager
def _one_file(path: Path, overwrite: bool) -> Iterator[AddResults]:
    with _opened(path, overwrite) as write:

        def add(results: Sequence[Result]) -> None:
            for result in results:
                for atoms in frames_of(result):
                    write(atoms)

        yield add


@contextmanager
def _opened(path: Path, overwrite: bool) -> Iterator[Callable[[Atoms], Any]]:
    """Yield a function that adds a frame to a file, which appears at the end."""
    if path.suffix.lower() == ASE:
        with (
            left_out("traj") as tell,
            replacement(path, overwrite) as temporary,
            TrajectoryWriter(str(temporary), "w") as trajectory,
        ):
            yield lambda atoms: trajectory.write(_kept(atoms, tell))
        return
    with left_out(NAME) as tell, replacing(path, overwrite) as file:
        yield lambda atoms: file.write(text_of(atoms, tell))


def _kept(atoms: Atoms, tell: Tell) -> Atoms:
    copy, lost = writable(atoms)
    tell(lost)
    return copy


def _frame(result: Result, frames: Frames, k: int) -> Atoms:
    atoms = result.atoms.copy()
    if atoms.pbc.any():
        # Vectors that are missing stay missing.
        there = atoms.cell.array.any(axis=1)[:, None]
        atoms.set_cell(np.where(there, frames.cells[k], 0.0))
    atoms.set_positions(frames.positions[k], apply_constraint=False)
    numbers = (each[k] for each in (frames.steps, frames.loss, frames.fmax, frames.expected_rmsd))
    return _told(atoms, result.number, *numbers)


def _told(
    atoms: Atoms, number: int, step: int, loss: float, fmax: float, expected_rmsd: float
) -> Atoms:
    """Add the numbers of a frame to its ``info``; those that are unknown are left out."""
    for key in (METADATA, DRAWN, "losiko_fmax", "losiko_expected_rmsd"):
        atoms.info.pop(key, None)
    atoms.info |= {"losiko_number": int(number), "losiko_step": int(step)}
    atoms.info["losiko_loss"] = float(loss)
    named = {"losiko_fmax": fmax, "losiko_expected_rmsd": expected_rmsd}
    atoms.info |= {key: float(value) for key, value in named.items() if np.isfinite(value)}
    return atoms


def _name(result: Result, suffix: str) -> str:
    """Return the name of a structure's file: its number keeps it from meeting another."""
    name = str(result.atoms.info.get("name") or result.atoms.get_chemical_formula())
    return f"{result.number:06d}_{re.sub(r'[^A-Za-z0-9.+-]+', '_', name)[:40]}{suffix}"
