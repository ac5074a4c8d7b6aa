"""POSCAR: a file for one structure, a folder of numbered files for several."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ase.constraints import FixAtoms, FixCartesian, FixScaled
from ase.io.vasp import write_vasp

from losiko_torch.errors import InputError
from losiko_torch.io.atomic import free_name, mode_of_new, replacement
from losiko_torch.io.formats.interface import Add, Format
from losiko_torch.io.formats.left_out import (
    Tell,
    beside_geometry,
    check_geometry,
    left_out,
    one_line,
)
from losiko_torch.io.labels import labelled
from losiko_torch.results import Result
from losiko_torch.systems.names import source_of
from losiko_torch.systems.scaled_constraints import fixed_axes


@contextmanager
def vasp_files(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """Yield a function that adds structures, each a file of its own.

    A single one becomes the file ``path``. Several become files in a folder of this name, by the
    numbers of the structures among those given.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    target = Path(os.path.realpath(path))
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        with left_out("vasp") as tell:

            def add(results: Sequence[Result]) -> None:
                texts = {each.number: _poscar(each, tell) for each in results}
                for number, text in texts.items():
                    (folder / f"{number:06d}.vasp").write_text(text, encoding="ascii")

            yield add
        _settle(folder, path, target, overwrite)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


FORMAT = Format("vasp", (".vasp", ".poscar", ".contcar"), vasp_files, names=("POSCAR", "CONTCAR"))


def _settle(folder: Path, path: Path, target: Path, overwrite: bool) -> None:
    """Move what was written to its place."""
    files = sorted(folder.iterdir())
    if len(files) == 1:
        with replacement(path, overwrite) as temporary:
            shutil.copyfile(files[0], temporary)
    elif files:
        os.chmod(folder, mode_of_new(0o777))
        if target.is_dir() or (target.exists() and not overwrite):
            kept = free_name(target)
            os.replace(folder, kept)
            raise InputError(
                f"{path}: exists by now and is left alone, the new files are in {kept}"
            )
        target.unlink(missing_ok=True)
        os.replace(folder, target)


def _poscar(result: Result, tell: Tell) -> str:
    atoms = labelled(result)
    check_geometry(atoms)
    if not atoms.pbc.all():
        tell(["that a direction is not periodic"])
    constraints = []
    for each in atoms.constraints:
        mask = _along_cell(each, atoms.cell.array)
        if mask is None:
            tell([f"constraint {type(each).__name__}"])
        else:
            constraints.append(FixScaled(each.index, mask))
    atoms.set_constraint(constraints)
    text = io.StringIO()
    write_vasp(text, atoms)
    momenta = ("momenta",) if atoms.has("momenta") else ()
    tell(name for name in beside_geometry(atoms) if name not in [f"array {m!r}" for m in momenta])
    _, _, rest = text.getvalue().partition("\n")
    return f"{one_line(source_of(atoms, result.number), result.reason)}\n{rest}"


def _along_cell(constraint: object, cell: np.ndarray) -> np.ndarray | None:
    """Return the fractional coordinates that a constraint fixes; None if it is no such one."""
    if isinstance(constraint, FixScaled):
        return np.asarray(constraint.mask)
    if isinstance(constraint, FixAtoms):
        return np.ones(3, dtype=bool)
    if not isinstance(constraint, FixCartesian):
        return None
    for mask in map(np.array, itertools.product((False, True), repeat=3)):
        axes = fixed_axes(mask, cell)
        if axes is not None and np.array_equal(axes, constraint.mask):
            return mask
    return None
