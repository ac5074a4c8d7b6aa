"""``losiko relax``: move the atoms, write them, report what became of each structure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from losiko_torch.cli.inputs import (
    DatabaseFile,
    Force,
    NoPbc,
    ReferenceWeights,
    Structures,
    input_files,
    name_of,
)
from losiko_torch.cli.pipe import PIPE
from losiko_torch.cli.relax_run import RelaxRequest, relax_into_file, relax_into_folder
from losiko_torch.cli.settings_options import takes
from losiko_torch.errors import InputError
from losiko_torch.extras import needs
from losiko_torch.io.atomic import check_output
from losiko_torch.io.formats.registry import format_of, suffixes
from losiko_torch.io.stream import check_sources
from losiko_torch.options import WHAT, WHERE
from losiko_torch.relaxation.execute import Workers
from losiko_torch.relaxation.settings import Settings

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        show_default=False,
        help=f"Relaxed structures, in input order, in the form that the suffix names: "
        f"{', '.join(suffixes())}.",
        rich_help_panel=WHAT,
    ),
]
Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="DIR",
        show_default=False,
        help="Folder of a run that survives: the same command goes on where it stopped.",
        rich_help_panel=WHAT,
    ),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STRUCTURES",
        show_default=False,
        help="Geometries that the structures should have, in the same order: RMSDs are reported.",
        rich_help_panel=WHAT,
    ),
]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        show_default="this process alone",
        help="Processes that relax, through Ray, each on a GPU or on its share of the processor; "
        "the results are the same.",
        rich_help_panel=WHERE,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        show_default="this machine alone",
        help="Ray cluster to work on; auto: the one that this machine is part of.",
        rich_help_panel=WHERE,
    ),
]
AsFinished = Annotated[
    bool,
    typer.Option(
        "--as-finished",
        help="Write structures as they are done (losiko_source tells which is which), not in "
        "input order.",
        rich_help_panel=WHAT,
    ),
]


Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Exit status 1 also where a structure is in doubt, not only where one failed.",
        rich_help_panel=WHAT,
    ),
]


@takes(Settings)
def relax(
    structures: Structures,
    settings: dict[str, Any],
    output: Output = None,
    run: Run = None,
    database: DatabaseFile = None,
    reference: Reference = None,
    force: Force = False,
    no_pbc: NoPbc = False,
    reference_weights: ReferenceWeights = None,
    workers: WorkerCount = None,
    ray_address: RayAddress = None,
    as_finished: AsFinished = False,
    strict: Strict = False,
) -> int:
    """Move atoms until their surroundings look like those of known good structures.

    Each atom is compared with the references of its element; the loss is the sum of the squared
    distances of their descriptors, without units, 0 where every atom is matched. FixAtoms and
    FixCartesian in the structures are honoured, and a POSCAR's selective dynamics where the cell
    allows it. The output, in the form that its suffix names, has losiko_loss,
    losiko_start_loss, losiko_converged, losiko_steps, losiko_reason and losiko_source for each
    structure and losiko_distance for each atom; with learned targets also losiko_expected_rmsd and,
    for each atom, losiko_expected_error: how far (Angstrom) they may be from where they should be.
    losiko_reliable tells which to keep, losiko_doubt what speaks against the others.
    Structures that cannot be relaxed are written unmoved, with the reason, and make the exit status
    1.

    Example: [bold]losiko relax guesses.xyz -o relaxed.extxyz[/bold]

    Example: [bold]losiko relax POSCAR -d si-o.losiko --cell -o relaxed.extxyz[/bold]

    Example: [bold]losiko relax slab.xyz -d si-o.losiko --movable "within 5 of z=12.5" --noise
    0.2,0.05 -o relaxed.extxyz[/bold]

    Example: [bold]losiko relax guesses.xyz --repulsion --tether 0.1 -o relaxed.extxyz[/bold]
    """
    # Before anything is read, which may take long.
    how, by = Settings(**settings), Workers(workers, ray_address)
    if output is None and run is None:
        raise InputError("where to? Name a file (-o OUT.extxyz) or the folder of a run (--run DIR)")
    if run is not None:
        needs("pyarrow", "a run")
    references = reference or []
    if run is not None and any(Path(each).parent.name.startswith(PIPE) for each in structures):
        raise InputError("--run goes on from files, and what comes by a pipe is none: name a file")
    if output is not None:
        files = input_files([*structures, *references], database)
        format_of(output)
        check_output(output, files, force)
    check_sources([*structures, *references])
    request = RelaxRequest(structures, references, database, reference_weights, no_pbc, how)
    if run is not None:
        tally, end, complete = relax_into_folder(request, run, output, force, by)
    else:
        assert output is not None
        tally, end, complete = relax_into_file(request, output, force, not as_finished, by)
    tally.print_table()
    tally.print_summary(f"against {name_of(database)}", end)
    doubtful = strict and tally.unreliable
    return 1 if tally.failures or doubtful or not complete else 0
