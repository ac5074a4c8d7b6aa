"""Fetching a public set of structures by its name, as a file that every command reads.

``fetch("qm9")`` writes ``qm9.npz``; ``fetch("mp:Si-O", hull=0.1)`` writes ``mp-Si-O.extxyz``. The
file keeps title, level of theory, licence and citation, and a database that is built of it does
too.
"""

from __future__ import annotations

from pathlib import Path

from losiko_torch.checks import finite
from losiko_torch.errors import InputError
from losiko_torch.io.atomic import check_output
from losiko_torch.io.fetching.dataset import Dataset, Fetched, Watch
from losiko_torch.io.fetching.materials_project import crystals_of
from losiko_torch.io.fetching.qm9 import QM9
from losiko_torch.keywords import names_unknown, nearest_name

#: Sets that are whole, by name.
WHOLE: dict[str, Dataset] = {"qm9": QM9()}
#: Beginning of the names of chemical systems in the Materials Project, and an example.
PREFIX, EXAMPLE = "mp:", "mp:Si-O"


@names_unknown
def fetch(
    source: str | Dataset,
    path: str | Path | None = None,
    *,
    hull: float | None = None,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> Fetched:
    """Fetch a public set of structures and write it to a file, all or nothing.

    Args:
        source: "qm9"; "mp:" and a chemical system, such as "mp:Si-O", whose subsystems are included
            (this needs ``mp-api``, and your key in the environment variable ``MP_API_KEY``); or a
            record that says where to find one.
        path: File to write. None means a name after the set, in the current folder.
        hull: For crystals: largest energy above the hull, eV per atom. None takes all.
        overwrite: Whether a file there may be overwritten.
        watch: Function that is told the step of the work, what is done of it, and its end (None:
            unknown), both in bytes.

    Raises:
        InputError: If there is no such set, if it cannot be fetched, or if the file cannot be
            written or exists and ``overwrite`` is not set.

    A download that was interrupted goes on where it was when the same is fetched again.
    """
    dataset = dataset_of(source, hull) if isinstance(source, str) else source
    if not hasattr(dataset, "fetch"):
        raise InputError(f"a source of structures is a name such as 'qm9', not {source!r}")
    path = Path(dataset.file if path is None else path)
    check_output(path, overwrite=overwrite)
    return dataset.fetch(path, overwrite, watch or (lambda step, done, total: None))


def dataset_of(name: str, hull: float | None = None) -> Dataset:
    """Return the set of a name; ``InputError`` names the nearest one where there is none."""
    if hull is not None and finite("hull", hull) < 0:
        raise InputError(f"hull must be 0 or more, not {hull!r}")
    if name.lower().startswith(PREFIX):
        return crystals_of(name[len(PREFIX) :], hull)
    if name in WHOLE:
        if hull is not None:
            raise InputError(f"an energy above the hull is one of crystals, such as {EXAMPLE}")
        return WHOLE[name]
    known = f"known are {', '.join(WHOLE)} and {PREFIX}SYSTEM, such as {EXAMPLE}"
    raise InputError(f"'{name}' is no source of structures{_nearest(name)}: {known}")


def _nearest(name: str) -> str:
    """Return a question for what was meant, "" where nothing is like it."""
    try:
        crystals_of(name)
        return f" (did you mean '{PREFIX}{name}'?)"
    except InputError:
        like = nearest_name(name.lower(), [*WHOLE, EXAMPLE])
        return f" (did you mean '{like}'?)" if like else ""
