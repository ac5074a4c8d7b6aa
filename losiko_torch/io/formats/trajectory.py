"""A trajectory of ASE: structures in input order, with their numbers in ``info``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ase import Atoms
from ase.io.trajectory import TrajectoryWriter

from losiko_torch.io.atomic import replacement
from losiko_torch.io.extras import EXTRAS
from losiko_torch.io.formats.interface import Add, Format
from losiko_torch.io.formats.left_out import left_out
from losiko_torch.io.formats.rows import encodable, is_data
from losiko_torch.io.labels import labelled
from losiko_torch.results import Result

#: Arrays that ASE's trajectories have; others are kept in ``info``.
OWN = ("numbers", "positions", "tags", "momenta", "masses", "initial_magmoms", "initial_charges")


@contextmanager
def trajectory_file(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """Yield a function that adds structures to a trajectory of ASE.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    with (
        left_out("traj") as tell,
        replacement(path, overwrite) as temporary,
        TrajectoryWriter(str(temporary), "w") as file,
    ):

        def add(results: Sequence[Result]) -> None:
            for result in results:
                atoms, lost = writable(labelled(result))
                file.write(atoms)
                tell(lost)

        yield add


FORMAT = Format("traj", (".traj",), trajectory_file)


def writable(atoms: Atoms) -> tuple[Atoms, list[str]]:
    """Return what a trajectory holds of a structure, and names of what it does not."""
    copy, lost, extras = atoms.copy(), [], {}
    copy.info = {}
    for key, value in atoms.info.items():
        value = encodable(value)
        if is_data(key, value):
            copy.info[str(key)] = value
        else:
            lost.append(f"info {key!r}")
    for key, values in atoms.arrays.items():
        if key in OWN:
            continue
        del copy.arrays[key]
        kept = encodable(values)
        if is_data(key, kept):
            extras[key] = kept
        else:
            lost.append(f"array {key!r}")
    if extras:
        copy.info[EXTRAS] = {"arrays": extras}
    return copy, lost
